"""What two models of one program may differ in: widths, rates and coefficients become inputs.

A *program* is a model with its loss, metrics and optimizer, compiled once. Two configs share it
when their descriptions are equal: everything that Keras serialises, without initial values (which
are the state that a program is given) and without the numbers that are lifted out of it.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

# Numbers that a layer, a regularizer or an optimizer reads while it computes, by class.
OF_LAYERS = {
    "Dropout": ("rate",),
    "GaussianNoise": ("stddev",),
    "BatchNormalization": ("momentum", "epsilon"),
}
OF_REGULARIZERS = {"L1": ("l1",), "L2": ("l2",), "L1L2": ("l1", "l2")}
OF_OPTIMIZERS = (
    *("beta_1", "beta_2", "epsilon", "rho", "momentum", "weight_decay"),
    *("clipnorm", "clipvalue", "global_clipnorm"),
)

# Layers that compute the same whatever the width of what they get, known only at run time.
OF_ANY_WIDTH = frozenset(
    ["Functional", "Sequential", "InputLayer", "Dense", "Embedding", "Rescaling"]
    + ["Activation", "ReLU", "LeakyReLU", "ELU", "Add", "Concatenate"]
    + ["Dropout", "GaussianNoise", "BatchNormalization"]
)

# Where a configuration holds the names of layers, which depend on how many were made before.
NAMES = frozenset(["name", "keras_history", "input_layers", "output_layers"])

Place = tuple[Any, str]  # an object, and the name of its attribute


class NotComparableError(Exception):
    """Raised for a model of which nobody can say whether another one is equal."""


class Lifted:
    """A number that is an input of the program, where Keras expects a Python float.

    Arithmetic gives tensors, in float64 as Python's floats are; comparisons, which decide what is
    traced, see an example of the number.
    """

    def __init__(self, tensor: Any, example: float) -> None:
        self.tensor = tensor
        self.example = example

    def __gt__(self, other: float) -> bool:
        return self.example > other

    def __lt__(self, other: float) -> bool:
        return self.example < other

    def __ge__(self, other: float) -> bool:
        return self.example >= other

    def __le__(self, other: float) -> bool:
        return self.example <= other

    def __eq__(self, other: object) -> bool:
        return bool(self.example == other)

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        return bool(self.example)

    def __neg__(self) -> Any:
        return self._with(-1.0, lambda number, sign: number * sign)

    def __add__(self, other: Any) -> Any:
        return self._with(other, lambda number, other: number + other)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, lambda number, other: number * other)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, lambda number, other: number - other)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda number, other: other - number)

    def __truediv__(self, other: Any) -> Any:
        return self._with(other, lambda number, other: number / other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(other, lambda number, other: other / number)

    __radd__, __rmul__ = __add__, __mul__

    def _with(self, other: Any, operation: Callable[[Any, Any], Any]) -> Any:
        import tensorflow as tf

        if isinstance(other, int | float):
            return Lifted(
                operation(self.tensor, tf.constant(other, self.tensor.dtype)),
                operation(self.example, other),
            )
        other = tf.convert_to_tensor(other)
        return operation(tf.cast(self.tensor, other.dtype), other)


@cache
def register_lifted() -> None:
    """Let TensorFlow take a lifted number for a tensor, of float32 unless it wants another."""
    import tensorflow as tf

    def convert(value: Lifted, dtype: Any = None, name: Any = None, as_ref: bool = False) -> Any:
        del name, as_ref
        return tf.cast(value.tensor, dtype or tf.float32)

    tf.register_tensor_conversion_function(Lifted, convert)


def list_places(model: keras.Model, optimizer: Any) -> list[Place]:
    """Return the attributes that hold the lifted numbers of a model and its optimizer."""
    places: list[Place] = []
    for layer in model._flatten_layers():
        kind = type(layer).__name__
        if is_keras(layer):
            places += [(layer, name) for name in OF_LAYERS.get(kind, ())]
            places += [place for owner in _regularizers(layer) for place in _nonzero(owner)]
    places += [(optimizer, name) for name in OF_OPTIMIZERS if getattr(optimizer, name, None)]
    return places


def read_places(places: list[Place]) -> np.ndarray:
    """Return the lifted numbers, in float64."""
    return np.array([getattr(owner, name) for owner, name in places], "float64")


@contextmanager
def lifted(places: list[Place], numbers: Any) -> Iterator[None]:
    """Put tensors in the place of the numbers while a program is traced."""
    before = [getattr(owner, name) for owner, name in places]
    for index, ((owner, name), value) in enumerate(zip(places, before, strict=True)):
        object.__setattr__(owner, name, Lifted(numbers[index], float(value)))
        if type(owner).__name__ == "Dropout":
            object.__setattr__(owner, "call", partial(_drop_out, owner))
    try:
        yield
    finally:
        for (owner, name), value in zip(places, before, strict=True):
            object.__setattr__(owner, name, value)
            owner.__dict__.pop("call", None)


def _drop_out(layer: Any, inputs: Any, training: bool = False) -> Any:
    """Do as the layer does, with a rate that TensorFlow accepts: a tensor, possibly 0."""
    import tensorflow as tf

    if not training:
        return inputs
    sizes = tf.unstack(tf.shape(inputs))
    fixed = layer.noise_shape or [None] * len(sizes)
    seed = tf.math.floormod(layer.seed_generator.next(), tf.int32.max - 1)  # as Keras does
    return tf.nn.experimental.stateless_dropout(
        inputs,
        tf.cast(layer.rate.tensor, inputs.dtype),
        noise_shape=[b if a is None else a for a, b in zip(fixed, sizes, strict=True)],
        seed=tf.cast(seed, "int32"),
    )


def give_seeds(model: keras.Model) -> None:
    """Give dropout of rate 0 the random state that it lacks, so that it is like any other rate."""
    import keras

    for layer in model._flatten_layers():
        if type(layer) is keras.layers.Dropout and not hasattr(layer, "seed_generator"):
            layer._tracker.unlock()
            layer.seed_generator = keras.random.SeedGenerator(0)
            layer._tracker.lock()


def is_of_any_width(model: keras.Model) -> bool:
    """Return whether the widths of a model's layers can be left open in its program."""
    return all(
        is_keras(layer) and type(layer).__name__ in OF_ANY_WIDTH
        for layer in model._flatten_layers()
    )


def describe_model(model: keras.Model, *, any_width: bool) -> str:
    """Return the text that two models have in common if one program serves both.

    Raises:
        NotComparableError: for code that Keras cannot serialise, such as a layer of one's own that
            is not registered with ``keras.saving.register_keras_serializable``.
    """
    for layer in model._flatten_layers():
        _check_comparable(layer, model)
    names = {layer.name: f"#{index}" for index, layer in enumerate(model._flatten_layers())}
    try:
        config = model.get_config()
    except NotImplementedError as error:
        raise NotComparableError(str(error)) from None
    described = [
        type(model).__name__,
        _strip(config, names, any_width),
        model.input_shape,
        model.output_shape,
        [v.dtype for v in model.variables],
        [layer.trainable for layer in model._flatten_layers()],
    ]
    return json.dumps(described, default=_describe_object)


def describe_compilation(model: keras.Model, optimizer: Any) -> str:
    """Return the text for the loss, the metrics and the optimizer that a model is compiled with.

    Raises:
        NotComparableError: for a function that is not found by its name in its module.
    """
    kept = dict(model._compile_config.config)
    kept.pop("optimizer", None)
    numbers = {name for name in OF_OPTIMIZERS if getattr(optimizer, name, None)}
    own = {key: v for key, v in optimizer.get_config().items() if key not in numbers}
    for name in ("learning_rate", "name", "initial_accumulator_value"):
        own.pop(name, None)  # rates and first values are inputs
    described = [kept, type(optimizer).__name__, own, sorted(numbers)]
    return json.dumps(described, default=_describe_object)


def _strip(
    value: Any, names: dict[str, str], any_width: bool, key: str = "", *, keras_own: bool = True
) -> Any:
    """Drop from a configuration what is an input of the program, and what layers are called.

    A class that is not of Keras keeps all that it says of itself.
    """
    if isinstance(value, list | tuple):
        return [_strip(inner, names, any_width, key, keras_own=keras_own) for inner in value]
    if not isinstance(value, dict):
        return names.get(value, value) if key in NAMES and isinstance(value, str) else value
    if "module" in value and "class_name" in value:
        _check_serialized(value)
        keras_own = keras_own and is_keras_module(value["module"])
    kept = {
        inner_key: _strip(inner, names, any_width, inner_key, keras_own=keras_own)
        for inner_key, inner in value.items()
        if inner_key not in ("build_config", "compile_config")
        and not (inner_key == "shape" and any_width and "keras_history" in value)
    }
    if keras_own and "module" in value and isinstance(kept.get("config"), dict):
        kept["config"] = _strip_class(value["class_name"], kept["config"], any_width, key)
    return kept


def _strip_class(kind: str, config: dict[str, Any], any_width: bool, key: str) -> dict[str, Any]:
    """Drop what is an input from the configuration of one of Keras' own classes."""
    dropped = {"seed", *OF_LAYERS.get(kind, ())}
    if any_width and kind == "Dense":
        dropped.add("units")
    regularizing = OF_REGULARIZERS.get(kind, ()) if key.endswith("_regularizer") else ()
    nonzero = {name for name in regularizing if config.get(name)}
    return {
        name: "lifted" if name in nonzero else value
        for name, value in config.items()
        if name not in dropped and not name.endswith("_initializer")
    }


def _check_serialized(value: dict[str, Any]) -> None:
    """Refuse what Keras knows only by a name that others may have too: functions, closures.

    Raises:
        NotComparableError: unless it is of Keras, or a class registered with it.
    """
    registered = ">" in str(value.get("registered_name") or "")
    if value["class_name"] == "function" or not (is_keras_module(value["module"]) or registered):
        raise NotComparableError(f"{value['config']} is not of Keras, nor registered with it")


def is_keras_module(module: Any) -> bool:
    """Return whether a module's name is one of Keras' own."""
    return str(module or "").split(".")[0] == "keras"


def _describe_object(value: Any) -> Any:
    """Return JSON for what a configuration holds beside JSON."""
    import keras

    if isinstance(value, types.FunctionType) and not is_keras_module(value.__module__):
        _check_findable(value)
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    kind = type(value)
    if not is_keras_module(kind.__module__):
        says = getattr(kind, "get_config", None)
        if says is None or is_keras_module(says.__module__) or not _is_registered(kind):
            raise NotComparableError(
                f"{kind.__name__} is not of Keras, nor registered with it with its get_config"
            )
    try:
        return _strip(keras.saving.serialize_keras_object(value), {}, any_width=False)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise NotComparableError(str(error)) from None


def _check_findable(function: types.FunctionType) -> None:
    import sys

    module = sys.modules.get(function.__module__)
    if getattr(module, function.__qualname__, None) is not function:
        raise NotComparableError(f"function {function.__qualname__} is defined inside another one")


def _check_comparable(layer: Any, model: keras.Model) -> None:
    kind = type(layer)
    if kind.__name__ == "Lambda" or not (is_keras(layer) or _is_registered(kind)):
        raise NotComparableError(f"{kind.__name__} is not a layer of Keras, nor registered with it")
    if kind.__name__ == "Normalization" and layer.input_mean is None:
        raise NotComparableError("Normalization learnt its mean from data")
    if layer is model and kind.__name__ not in ("Functional", "Sequential") and is_keras(layer):
        raise NotComparableError(f"{kind.__name__} is neither functional nor sequential")


def _is_registered(kind: type) -> bool:
    """Whether Keras knows a class, one that is not made anew by each call of a function."""
    import keras

    name = keras.saving.get_registered_name(kind)
    return "<locals>" not in kind.__qualname__ and keras.saving.get_registered_object(name) is kind


def is_keras(thing: Any) -> bool:
    """Return whether an object is of a class of Keras' own."""
    return is_keras_module(type(thing).__module__)


def _regularizers(layer: Any) -> Iterator[Any]:
    for name in sorted(vars(layer)):
        found = getattr(layer, name)
        is_one = name.endswith("_regularizer") and type(found).__name__ in OF_REGULARIZERS
        if is_one and is_keras(found):
            yield found


def _nonzero(regularizer: Any) -> list[Place]:
    names = OF_REGULARIZERS[type(regularizer).__name__]
    return [(regularizer, name) for name in names if getattr(regularizer, name)]


def make_stateless(optimizer: Any) -> Any:
    """Return an optimizer of the same class and numbers that changes no variable of TensorFlow's.

    Keras writes its optimizers without reference to a backend; for TensorFlow it puts assignments
    in place that need resource variables. These are taken back here.
    """
    import keras
    from keras.src.backend.tensorflow.optimizer import TFOptimizer
    from keras.src.optimizers.base_optimizer import BaseOptimizer

    names = [name for name in vars(TFOptimizer) if name in vars(BaseOptimizer)]
    plain = {name: vars(BaseOptimizer)[name] for name in names if name != "__init__"}
    between = type("StatelessOptimizer", (keras.optimizers.Optimizer,), plain)
    kind: Any = type(type(optimizer).__name__, (type(optimizer), between), {})
    return kind.from_config(optimizer.get_config() | {"learning_rate": 0.0})
