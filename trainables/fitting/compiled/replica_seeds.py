"""Initial values of replicas: one model is built, and drawn again for each further seed.

Keras draws the seed of every initializer and of every random state from Python's generator, in the
order in which they are made; so what a model would have been under another seed follows from that
order, without the time that it takes to build it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.compiled.sharing import is_keras

if TYPE_CHECKING:
    import keras

# More initializers and random states than any model has.
MOST_DRAWS = 10_000

Values = dict[int, np.ndarray]  # by the id of the variable


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
    from tensorflow.python.eager.context import context

    context()._seed, context()._rng = seed, random.Random(seed)
    model = build()
    if context()._rng.getstate() == random.Random(seed).getstate():
        return model
    keras.utils.set_random_seed(seed)
    return build()


def build_replicas(
    build: Callable[[], keras.Model], seeds: Sequence[int]
) -> tuple[keras.Model, list[Values]]:
    """Build the model of the first seed; return with it the variables' values for every seed."""
    with _recorded() as initializers:
        model = build_with_seed(build, seeds[0])
    places = _find_draws(model, initializers, seeds[0]) if len(seeds) > 1 else None
    values = [{id(variable): np.asarray(variable) for variable in model.variables}]
    for seed in seeds[1:]:
        if places is None:
            other = build_with_seed(build, seed)
            pairs = zip(model.variables, other.variables, strict=True)
            values.append({id(variable): np.asarray(same) for variable, same in pairs})
        else:
            values.append(values[0] | _draw_again(model, initializers, places, seed))
    return model, values


@contextmanager
def _recorded() -> Iterator[dict[int, Any]]:
    """Note which initializer each variable is made with."""
    from keras.src.backend import Variable

    found: dict[int, Any] = {}
    original = Variable._initialize_with_initializer

    def record(variable: Any, initializer: Any) -> None:
        found[id(variable)] = initializer
        original(variable, initializer)

    Variable._initialize_with_initializer = record
    try:
        yield found
    finally:
        Variable._initialize_with_initializer = original


def _find_draws(
    model: keras.Model, initializers: dict[int, Any], seed: int
) -> dict[int, int] | None:
    """The place, in the order of drawing, of each random variable's seed; None where unknown."""
    order = {draw: place for place, draw in enumerate(_list_draws(seed))}
    states = {id(generator.state) for generator in _list_generators(model)}
    places: dict[int, int] = {}
    for variable in model.variables:
        initializer = initializers.get(id(variable))
        if id(variable) in states:
            drawn = int(np.asarray(variable)[0])
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


def _is_untouched(variable: Any, initializer: Any) -> bool:
    """Whether a variable holds what it was made with, and not weights loaded since."""
    if not isinstance(initializer.seed, int):
        return False
    anew = initializer.clone()
    anew.seed = initializer.seed
    return np.array_equal(np.asarray(anew(variable.shape, dtype=variable.dtype)), variable)


def _draw_again(
    model: keras.Model, initializers: dict[int, Any], places: dict[int, int], seed: int
) -> Values:
    """The random variables' values under another seed."""
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
    """What Keras' ``make_default_seed`` gives after ``set_random_seed``."""
    drawing = random.Random(seed)
    return [drawing.randint(1, int(1e9)) for _ in range(MOST_DRAWS)]


def _list_generators(model: keras.Model) -> Iterator[Any]:
    for layer in model._flatten_layers():
        yield from layer._seed_generators
