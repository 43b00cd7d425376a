"""The models of a fit: built with a seed, and their variables as arrays."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainables.fitting.compiled.keras_internals import has_drawn, seed_tensorflow

if TYPE_CHECKING:
    import keras

Arrays = Mapping[str, Sequence[np.ndarray]]


def build_with_seed(build: Callable[[], keras.Model], seed: int) -> keras.Model:
    """Build a model as a fresh process with that seed would.

    Keras' ``set_random_seed`` empties TensorFlow's cache of kernels, which compiled programs live
    in, and is called only for a model that draws random numbers of TensorFlow's own.
    """
    import keras

    random.seed(seed)
    np.random.seed(seed)
    if keras.backend.backend() != "tensorflow":
        return build()
    seed_tensorflow(seed)
    model = build()
    if not has_drawn(seed):
        return model
    keras.utils.set_random_seed(seed)
    return build()


def list_others(model: keras.Model) -> list[keras.Variable]:
    """Return the variables that are not trained: those of the layers first, then random states."""
    own = model.non_trainable_weights
    known = {id(variable) for variable in own}
    return [*own, *(v for v in model.non_trainable_variables if id(v) not in known)]


def variables_of(model: keras.Model, *, slots: bool) -> dict[str, list[keras.Variable]]:
    """Return a model's variables by the kinds of a checkpoint."""
    kinds = {"weights": list(model.trainable_variables), "others": list_others(model)}
    return kinds | {"slots": list(model.optimizer.variables)} if slots else kinds


def state_of(model: keras.Model, *, slots: bool = False) -> dict[str, list[np.ndarray]]:
    """Return copies of a model's variables by kind, with the optimizer's if asked for."""
    kinds = variables_of(model, slots=slots)
    return {kind: [np.array(v) for v in variables] for kind, variables in kinds.items()}


def assign(model: keras.Model, state: Arrays, *, slots: bool) -> None:
    """Put values back into a model's variables."""
    for kind, variables in variables_of(model, slots=slots).items():
        for variable, value in zip(variables, state[kind], strict=True):
            variable.assign(value)


def stack(states: Sequence[Arrays]) -> dict[str, list[np.ndarray]]:
    """Return the arrays of all replicas, their first axis being the replicas."""
    return {
        kind: [np.stack(each) for each in zip(*(state[kind] for state in states), strict=True)]
        for kind in states[0]
    }
