"""The models of a fit: built with the seeds of its replicas, and their variables as arrays."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.compiled.keras_internals import (
    has_drawn,
    is_keras,
    layers_called_once,
    layers_of,
    seed_generators_of,
    seed_tensorflow,
    value_of,
    variables_late,
)
from trainables.fitting.outputs import check_model
from trainables.fitting.units import give_units

if TYPE_CHECKING:
    import keras

# More initializers and random states than any model has.
MOST_DRAWS = 10_000

Arrays = Mapping[str, Sequence[np.ndarray]]
Build = Callable[[], "keras.Model"]
Values = dict[int, np.ndarray]  # by the id of the variable
Initializers = dict[int, "keras.initializers.Initializer"]  # by the id of the variable


def build_with_seed(build: Build, seed: int) -> keras.Model:
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


def build_replicas(build: Build, seeds: Sequence[int]) -> tuple[keras.Model, list[Values]]:
    """Build the model of the first seed; return it with the variables' values for every seed.

    Keras draws the seed of every initializer and of every random state from Python's generator, in
    the order in which they are made. So the values of a model under another seed follow from that
    order, and building the model again, which takes longer, is spared.
    """
    with variables_late() as initializers, layers_called_once():
        model = build_with_seed(build, seeds[0])
    places = _find_draws(model, initializers, seeds[0]) if len(seeds) > 1 else None
    values = [{id(variable): value_of(variable) for variable in model.variables}]
    for seed in seeds[1:]:
        if places is None:
            other = build_with_seed(build, seed)
            pairs = zip(model.variables, other.variables, strict=True)
            values.append({id(variable): np.asarray(same) for variable, same in pairs})
        else:
            values.append(values[0] | _draw_again(model, initializers, places, seed))
    return model, values


def prepare_model(model: keras.Model, config: Mapping[str, Any]) -> None:
    """Check what ``build`` has returned, and let its metrics see the target's unit.

    A model without an input layer is prepared once it has been called, since before that it has no
    outputs.

    Raises:
        ModelError: if it is no model, or its outputs do not go with the task.
    """
    check_model(model, config)
    give_units(model, config)


def build_for(model: keras.Model, shape: Sequence[int]) -> None:
    """Build a Sequential model that has no input layer for rows of a shape; leave any other."""
    import keras

    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, *shape))


def shape_of(model: keras.Model) -> list[int] | None:
    """Return the shape of a row of a Sequential model's input; None for any other model."""
    import keras

    return list(model.input_shape[1:]) if isinstance(model, keras.Sequential) else None


def list_others(model: keras.Model) -> list[keras.Variable]:
    """Return the variables that are not trained: those of the layers first, then random states."""
    own = model.non_trainable_weights
    known = {id(variable) for variable in own}
    return [*own, *(v for v in model.non_trainable_variables if id(v) not in known)]


def variables_of(model: keras.Model, *, slots: bool) -> dict[str, list[keras.Variable]]:
    """Return a model's variables by the kinds of a checkpoint; without compile it has no slots."""
    kinds = {"weights": list(model.trainable_variables), "others": list_others(model)}
    optimizer = getattr(model, "optimizer", None)
    own = [] if optimizer is None else list(optimizer.variables)
    return kinds | {"slots": own} if slots else kinds


def build_optimizer(model: keras.Model) -> None:
    """Make the variables of a model's optimizer, if it has been compiled with one."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        optimizer.build(model.trainable_variables)


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


def _find_draws(model: keras.Model, initializers: Initializers, seed: int) -> dict[int, int] | None:
    """Return the place of each random variable's seed in the order of drawing, if all are known."""
    order = {draw: place for place, draw in enumerate(_list_draws(seed))}
    states = {id(generator.state) for generator in _list_generators(model)}
    places: dict[int, int] = {}
    for variable in model.variables:
        initializer = initializers.get(id(variable))
        if id(variable) in states:
            drawn = int(value_of(variable)[0])
        elif initializer is not None and getattr(initializer, "seed", None) is not None:
            if not _is_untouched(variable, initializer):
                return None
            drawn = initializer.seed
        elif is_keras(initializer):
            continue
        else:
            return None
        if drawn not in order:
            return None
        places[id(variable)] = order[drawn]
    return places


def _is_untouched(
    variable: keras.Variable, initializer: keras.initializers.RandomInitializer
) -> bool:
    """Return whether a variable still holds its initial values, and not weights loaded since."""
    if not isinstance(initializer.seed, int):
        return False
    again = initializer.clone()
    again.seed = initializer.seed
    drawn = np.asarray(again(variable.shape, dtype=variable.dtype))
    return np.array_equal(drawn, value_of(variable))


def _draw_again(
    model: keras.Model, initializers: Initializers, places: dict[int, int], seed: int
) -> Values:
    """Return the random variables' values under another seed."""
    draws, values = _list_draws(seed), {}
    for variable in model.variables:
        place = places.get(id(variable))
        if place is None:
            continue
        if variable.dtype.startswith(("int", "uint")):  # a random state: its seed and a counter
            values[id(variable)] = np.array([draws[place], 0], variable.dtype)
        else:
            initializer = initializers[id(variable)].clone()
            initializer.seed = draws[place]
            values[id(variable)] = np.asarray(initializer(variable.shape, dtype=variable.dtype))
    return values


def _list_draws(seed: int) -> list[int]:
    """Return the seeds that Keras draws after ``set_random_seed``, in their order."""
    drawing = random.Random(seed)
    return [drawing.randint(1, int(1e9)) for _ in range(MOST_DRAWS)]


def _list_generators(model: keras.Model) -> Iterator[keras.random.SeedGenerator]:
    for layer in layers_of(model):
        yield from seed_generators_of(layer)
