"""Decide which models share a program: those with equal descriptions.

A *program* is a model with its loss, metrics and optimizer, compiled once. Its description is all
that Keras serialises, except what is an input of the program: initial values, the numbers of
:mod:`~.number_inputs` and, if the layers allow it, their widths.
"""

from __future__ import annotations

import hashlib
import json
import sys
import types
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import cloudpickle

from trainables.fitting.compiled.keras_internals import (
    compile_arguments_of,
    is_keras,
    is_keras_module,
    layers_of,
)
from trainables.fitting.compiled.number_inputs import OF_LAYERS, OF_REGULARIZERS, list_numbers

if TYPE_CHECKING:
    import keras

# Layers that compute the same if the width of their inputs is known only at run time.
OF_ANY_WIDTH = frozenset(
    ["Functional", "Sequential", "InputLayer", "Dense", "Embedding", "Rescaling"]
    + ["Activation", "ReLU", "LeakyReLU", "ELU", "Add", "Concatenate"]
    + ["Dropout", "GaussianNoise", "BatchNormalization"]
)

# Keys of a configuration that hold names of layers, which depend on how many were made before.
NAMES = frozenset(["name", "keras_history", "input_layers", "output_layers"])


# In descriptions of what other processes may not have.
THIS_PROCESS = f"in process {uuid.uuid4().hex}"


class NotComparableError(Exception):
    """Raised for a model that cannot be compared with others, and so shares no program."""


def is_of_any_width(model: keras.Model) -> bool:
    """Return whether the widths of a model's layers can be left open in its program."""
    return all(
        is_keras(layer) and type(layer).__name__ in OF_ANY_WIDTH for layer in layers_of(model)
    )


def describe_model(model: keras.Model, *, any_width: bool) -> str:
    """Return the text that two models have in common if one program serves both.

    Raises:
        NotComparableError: for code that Keras cannot serialise, such as a custom layer that is
            not registered with ``keras.saving.register_keras_serializable``.
    """
    for layer in layers_of(model):
        _check_comparable(layer, model)
    names = {layer.name: f"#{index}" for index, layer in enumerate(layers_of(model))}
    try:
        config = model.get_config()
    except NotImplementedError as error:
        raise NotComparableError(str(error)) from None
    described = [
        _identify(type(model)),
        _strip(config, names, any_width),
        model.input_shape,
        model.output_shape,
        [v.dtype for v in model.variables],
        [layer.trainable for layer in layers_of(model)],
    ]
    return json.dumps(described, default=_describe_object)


def describe_compilation(model: keras.Model) -> str:
    """Return the text of the loss and the metrics of a model.

    Raises:
        NotComparableError: for code that can neither be found by its name nor be pickled.
    """
    return json.dumps(compile_arguments_of(model), default=_describe_object)


def describe_optimizer(optimizer: keras.optimizers.Optimizer) -> str:
    """Return the text of a stateless optimizer, without its numbers and first values.

    Raises:
        NotComparableError: for code that can neither be found by its name nor be pickled.
    """
    numbers = list_numbers(optimizer)
    inputs = {*numbers, "name", "initial_accumulator_value"}
    own = {key: v for key, v in optimizer.get_config().items() if key not in inputs}
    described = [type(optimizer).__name__, own, numbers]
    return json.dumps(described, default=_describe_object)


def _strip(
    value: Any, names: dict[str, str], any_width: bool, key: str = "", *, keras_own: bool = True
) -> Any:
    """Drop the program's inputs and the names of layers from a configuration.

    The configuration of a class that is not Keras' own is kept whole.
    """
    if isinstance(value, list | tuple):
        return [_strip(inner, names, any_width, key, keras_own=keras_own) for inner in value]
    if not isinstance(value, dict):
        return names.get(value, value) if key in NAMES and isinstance(value, str) else value
    if "module" in value and "class_name" in value:
        _check_serialized(value)
        value = _with_identity(value)
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
    """Drop the program's inputs from the configuration of one of Keras' own classes."""
    dropped = {"seed", *OF_LAYERS.get(kind, ())}
    if any_width and kind == "Dense":
        dropped.add("units")
    regularizing = OF_REGULARIZERS.get(kind, ()) if key.endswith("_regularizer") else ()
    nonzero = {name for name in regularizing if config.get(name)}
    return {
        name: "input" if name in nonzero else value
        for name, value in config.items()
        if name not in dropped and not name.endswith("_initializer")
    }


def _check_serialized(value: dict[str, Any]) -> None:
    """Refuse what Keras serialises by its name alone: functions, closures, unregistered classes.

    Raises:
        NotComparableError: unless it is Keras' own, or a class registered with it.
    """
    registered = ">" in str(value.get("registered_name") or "")
    if value["class_name"] == "function" or not (is_keras_module(value["module"]) or registered):
        raise NotComparableError(f"{value['config']} is neither Keras' own nor registered with it")


def _describe_object(value: Any) -> Any:
    """Return JSON for an object in a configuration that is not JSON."""
    import keras

    if isinstance(value, types.FunctionType) and not is_keras_module(value.__module__):
        return describe_function(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    kind = type(value)
    if not is_keras_module(kind.__module__):
        get_config = getattr(kind, "get_config", None)
        is_own = get_config is not None and not is_keras_module(get_config.__module__)
        if not is_own or not _is_registered(kind):
            raise NotComparableError(
                f"{kind.__name__} is neither Keras' own nor registered with a get_config"
            )
    try:
        return _strip(keras.saving.serialize_keras_object(value), {}, any_width=False)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise NotComparableError(str(error)) from None


def _with_identity(value: dict[str, Any]) -> dict[str, Any]:
    """Add the class that is registered now: a notebook may define another one of the name."""
    import keras

    kind = keras.saving.get_registered_object(str(value.get("registered_name")))
    return value if kind is None else {**value, "class": _identify(kind)}


def describe_function(function: types.FunctionType) -> str:
    """Return the same text for functions that do the same.

    One of a script, of a notebook or inside another function is new in each trial: its content is
    compared. That has the values of the variables that it reads.

    Raises:
        NotComparableError: if it holds something that cannot be pickled.
    """
    if _is_findable(function):
        return _identify(function)
    try:
        content = cloudpickle.dumps(function)
    except Exception as error:  # noqa: BLE001  # whatever its values raise
        reason = (str(error).splitlines() or [""])[0]
        raise NotComparableError(f"function {function.__qualname__}: {reason}") from None
    return f"{function.__qualname__} {THIS_PROCESS} {hashlib.sha256(content).hexdigest()}"


def _is_findable(function: types.FunctionType) -> bool:
    """Return whether every trial finds this function by its name in its module."""
    module = sys.modules.get(function.__module__)
    is_main = function.__module__ == "__main__"
    return not is_main and getattr(module, function.__qualname__, None) is function


def _identify(thing: Any) -> str:
    """Return a text for a class or a function that a later one of the same name has not.

    A program holds its model, so no other object gets the number while it can be shared.
    """
    name = f"{thing.__module__}.{thing.__qualname__}"
    return name if is_keras_module(thing.__module__) else f"{name} {THIS_PROCESS} {id(thing)}"


def is_of_process(description: str) -> bool:
    """Return whether a description has code in it that another process may not have."""
    return THIS_PROCESS in description


def _check_comparable(layer: Any, model: keras.Model) -> None:
    kind = type(layer)
    if kind.__name__ == "Lambda" or not (is_keras(layer) or _is_registered(kind)):
        raise NotComparableError(f"{kind.__name__} is neither Keras' own nor registered with it")
    if kind.__name__ == "Normalization" and layer.input_mean is None:
        raise NotComparableError("Normalization learned its mean from data")
    if layer is model and kind.__name__ not in ("Functional", "Sequential") and is_keras(layer):
        raise NotComparableError(f"{kind.__name__} is neither functional nor sequential")


def _is_registered(kind: type) -> bool:
    """Return whether a class is registered with Keras and not local to a function."""
    import keras

    name = keras.saving.get_registered_name(kind)
    return "<locals>" not in kind.__qualname__ and keras.saving.get_registered_object(name) is kind
