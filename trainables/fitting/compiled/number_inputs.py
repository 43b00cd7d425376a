"""Numbers of a model that are inputs of its program: rates, coefficients, decays.

Where Keras reads such a number while a program is traced, it finds a tensor. So models that differ
only in these numbers share one program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from trainables.fitting.compiled.keras_internals import give_seed_generator, is_keras, layers_of

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

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

Operand: TypeAlias = "float | tf.Tensor"
Place = tuple[Any, str]  # an object of Keras, and the name of its attribute


class InputNumber:
    """A number that is an input of the program, in the place of a Python float.

    Arithmetic gives tensors, in float64 as Python's floats are; comparisons, which decide what is
    traced, use an example of the number.
    """

    def __init__(self, tensor: tf.Tensor, example: float) -> None:
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

    def __neg__(self) -> InputNumber:
        return self._with(-1.0, lambda number, sign: number * sign)

    def __add__(self, other: Operand) -> InputNumber | tf.Tensor:
        return self._with(other, lambda number, other: number + other)

    def __mul__(self, other: Operand) -> InputNumber | tf.Tensor:
        return self._with(other, lambda number, other: number * other)

    def __sub__(self, other: Operand) -> InputNumber | tf.Tensor:
        return self._with(other, lambda number, other: number - other)

    def __rsub__(self, other: Operand) -> InputNumber | tf.Tensor:
        return self._with(other, lambda number, other: other - number)

    def __truediv__(self, other: Operand) -> InputNumber | tf.Tensor:
        return self._with(other, lambda number, other: number / other)

    def __rtruediv__(self, other: Operand) -> InputNumber | tf.Tensor:
        return self._with(other, lambda number, other: other / number)

    __radd__, __rmul__ = __add__, __mul__

    def _with(
        self, other: Operand, operation: Callable[[Operand, Operand], Operand]
    ) -> InputNumber | tf.Tensor:
        import tensorflow as tf

        if isinstance(other, int | float):
            return InputNumber(
                operation(self.tensor, tf.constant(other, self.tensor.dtype)),
                operation(self.example, other),
            )
        other = tf.convert_to_tensor(other)
        return operation(tf.cast(self.tensor, other.dtype), other)


@cache
def register_input_numbers() -> None:
    """Let TensorFlow convert an input number to a tensor, float32 by default."""
    import tensorflow as tf

    def convert(value: InputNumber, dtype: tf.DType = None, **_: Any) -> tf.Tensor:
        return tf.cast(value.tensor, dtype or tf.float32)

    tf.register_tensor_conversion_function(InputNumber, convert)


def list_places(model: keras.Model) -> list[Place]:
    """Return the attributes that hold the input numbers of a model's layers."""
    places: list[Place] = []
    for layer in layers_of(model):
        kind = type(layer).__name__
        if is_keras(layer):
            places += [(layer, name) for name in OF_LAYERS.get(kind, ())]
            places += [place for owner in _regularizers(layer) for place in _nonzero(owner)]
    return places


def list_numbers(optimizer: keras.optimizers.Optimizer) -> list[str]:
    """Return the names of an optimizer's input numbers: those that are not 0."""
    return [name for name in OF_OPTIMIZERS if getattr(optimizer, name, None)]


def read_places(places: list[Place]) -> np.ndarray:
    """Return the numbers at these places, in float64."""
    return np.array([getattr(owner, name) for owner, name in places], "float64")


@contextmanager
def numbers_as_inputs(
    places: Sequence[Place], numbers: tf.Tensor | Sequence[tf.Tensor]
) -> Iterator[None]:
    """Put tensors in the places of the numbers while a program is traced."""
    before = [getattr(owner, name) for owner, name in places]
    for index, ((owner, name), value) in enumerate(zip(places, before, strict=True)):
        object.__setattr__(owner, name, InputNumber(numbers[index], float(value)))
        if type(owner).__name__ == "Dropout":
            object.__setattr__(owner, "call", partial(_drop_out, owner))
    try:
        yield
    finally:
        for (owner, name), value in zip(places, before, strict=True):
            object.__setattr__(owner, name, value)
            owner.__dict__.pop("call", None)


def _drop_out(layer: keras.layers.Dropout, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Call a dropout layer whose rate is an input number, which may be 0."""
    import tensorflow as tf

    if not training:
        return inputs
    shape = tf.shape(inputs)
    if layer.noise_shape:
        sizes = zip(layer.noise_shape, tf.unstack(shape), strict=True)
        shape = tf.stack([own if fixed is None else fixed for fixed, own in sizes])
    seed = tf.math.floormod(layer.seed_generator.next(), tf.int32.max - 1)  # as Keras does
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=tf.cast(seed, "int32"))
    drawn = tf.raw_ops.StatelessRandomUniformV2(
        shape=shape,
        key=key,
        counter=counter,
        alg=tf.random.Algorithm.AUTO_SELECT.value,
        dtype=inputs.dtype,
    )
    return _keep(drawn, tf.cast(layer.rate.tensor, inputs.dtype), inputs)


def _keep(drawn: tf.Tensor, rate: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """Return the inputs whose number is not below the rate, enlarged, and 0 for the others.

    The gradient is written down because TensorFlow would make ten operations more for it, with one
    for the rate, which nobody asks for.
    """
    import tensorflow as tf

    def choose(values: tf.Tensor) -> tf.Tensor:
        return tf.where(drawn >= rate, values / (1 - rate), tf.zeros([], values.dtype))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def keep(values: tf.Tensor) -> tuple[tf.Tensor, Any]:
        return choose(values), choose

    return keep(inputs)


def give_seeds(model: keras.Model) -> None:
    """Give dropout of rate 0 the random state that it lacks, so that it is like any other rate."""
    import keras

    for layer in layers_of(model):
        if type(layer) is keras.layers.Dropout and not hasattr(layer, "seed_generator"):
            give_seed_generator(layer, keras.random.SeedGenerator(0))


def _regularizers(layer: keras.layers.Layer) -> Iterator[keras.regularizers.Regularizer]:
    """Yield a layer's regularizers whose coefficients are input numbers."""
    for name in sorted(vars(layer)):
        found = getattr(layer, name)
        is_one = name.endswith("_regularizer") and type(found).__name__ in OF_REGULARIZERS
        if is_one and is_keras(found):
            yield found


def _nonzero(regularizer: keras.regularizers.Regularizer) -> list[Place]:
    """Return the places of a regularizer's coefficients, without those that are 0."""
    names = OF_REGULARIZERS[type(regularizer).__name__]
    return [(regularizer, name) for name in names if getattr(regularizer, name)]
