"""The update of weights in a step: by one optimizer, or by the chosen one of the common kinds.

Optimizers that treat all weights as one vector differ in a few operations. So one program has the
updates of all common kinds, and its arguments choose one: a search over optimizers compiles once
per structure of the model, not once per structure and optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from trainables.fitting.compiled.keras_internals import (
    make_stateless,
    scope_of,
    variables_late,
)
from trainables.fitting.compiled.loops import each_replica, switch
from trainables.fitting.compiled.number_inputs import list_numbers, numbers_as_inputs
from trainables.fitting.compiled.sharing import describe_optimizer
from trainables.fitting.session import Config

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# An optimizer of each common kind; others of the kind have other numbers and first values.
COMMON: tuple[tuple[str, dict[str, Any]], ...] = (
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9}),
    ("Adam", {}),
    ("AdamW", {}),
    ("Adagrad", {}),
    ("Adadelta", {}),
)

# All numbers that the common kinds have, and the most variables that one of them has.
NUMBERS = ("beta_1", "beta_2", "epsilon", "rho", "momentum", "weight_decay")
MOST_SLOTS = 4

Updated: TypeAlias = "tuple[list[tf.Tensor], list[tf.Tensor]]"  # weights and slots


class Choice(NamedTuple):
    """The optimizer of a fit, as arguments of its program."""

    kind: tf.Tensor  # its place among the common kinds, int32; 0 in a program of its own
    numbers: tf.Tensor  # (numbers,) float64


class Update:
    """The update by one optimizer.

    Args:
        optimizer: a stateless one that is not built.
        reference: variables in the place of the weights.
        names: of the numbers of a choice, in their order.
        stacked: whether there are several replicas.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        reference: Sequence[keras.Variable],
        names: Sequence[str],
        *,
        stacked: bool,
    ) -> None:
        optimizer.build(list(reference))
        self._optimizer = optimizer
        self._reference = reference
        self._stacked = stacked
        self._numbers = {name: names.index(name) for name in list_numbers(optimizer)}

    @property
    def variables(self) -> list[keras.Variable]:
        """The optimizer's variables, in the place of the slots."""
        return list(self._optimizer.variables)

    def __call__(
        self,
        choice: Choice,
        rate: tf.Tensor,
        weights: list[tf.Tensor],
        slots: list[tf.Tensor],
        gradients: list[tf.Tensor],
    ) -> Updated:
        """Return weights and slots after a step of all replicas."""
        places = [(self._optimizer, name) for name in self._numbers]
        numbers = [choice.numbers[index] for index in self._numbers.values()]
        with numbers_as_inputs(places, numbers):
            found: Updated = each_replica(
                partial(self._apply, rate), (weights, slots, gradients), stacked=self._stacked
            )
        return found

    def _apply(
        self,
        rate: tf.Tensor,
        weights: list[tf.Tensor],
        slots: list[tf.Tensor],
        gradients: list[tf.Tensor],
    ) -> Updated:
        """Return weights and slots of one replica after a step, as Keras' optimizer makes it."""
        known = [*zip(self._reference, weights, strict=True)]
        known += zip(self.variables, slots, strict=True)
        with scope_of([*known, (self._optimizer.learning_rate, rate)]) as after:
            self._optimizer.apply(gradients)
        weights = [after.get_current_value(variable) for variable in self._reference]
        return weights, [after.get_current_value(variable) for variable in self.variables]


class CommonUpdate:
    """The update by the chosen optimizer of a common kind; all weights are one vector.

    Args:
        stacked: whether there are several replicas.
    """

    def __init__(self, *, stacked: bool) -> None:
        self._branches = _trace_common(stacked=stacked)

    def __call__(
        self,
        choice: Choice,
        rate: tf.Tensor,
        weights: list[tf.Tensor],
        slots: list[tf.Tensor],
        gradients: list[tf.Tensor],
    ) -> Updated:
        """Return weights and slots after a step of all replicas."""
        arguments = (choice, rate, weights, slots, gradients)
        found: Updated = switch(choice.kind, self._branches, arguments)
        return found


def choose(optimizer: keras.optimizers.Optimizer, kind: int | None) -> Choice:
    """Return an optimizer as arguments: of a common kind, or of a program of its own."""
    import tensorflow as tf

    names = list_numbers(optimizer) if kind is None else NUMBERS
    numbers = [getattr(optimizer, name, None) or 0.0 for name in names]
    return Choice(tf.constant(kind or 0), tf.constant(numbers, "float64"))


def find_kind(optimizer: keras.optimizers.Optimizer, config: Config) -> int | None:
    """Return the place among the common kinds of a stateless optimizer that a config names.

    None if it is of no common kind; if the config does not name it, so that it is the same for all
    trials and a choice would only take time; or if there is a GPU, where the choice was not tried.
    """
    import tensorflow as tf

    name = type(optimizer).__name__
    if not _is_named(name, config) or tf.config.get_visible_devices("GPU"):
        return None
    return _describe_common(name).get(describe_optimizer(optimizer))


def fill_slots(slots: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Add empty vectors to the variables of replicas' optimizers, for those of other kinds."""
    empty = np.empty([len(slots[0]), 0], "float32")
    return [*slots, *[empty] * (MOST_SLOTS - len(slots))]


def make_vector(variables: Sequence[keras.Variable]) -> keras.Variable:
    """Return a variable with as many elements as these have together."""
    import keras

    return keras.Variable(np.zeros(sum(int(np.prod(v.shape)) for v in variables), "float32"))


def _is_named(name: str, value: object) -> bool:
    """Return whether a config, or a value in it, names an optimizer in small or capital letters."""
    if isinstance(value, str):
        return value.lower() == name.lower()
    inner = [*value.values()] if isinstance(value, Mapping) else value
    return isinstance(inner, list | tuple) and any(_is_named(name, each) for each in inner)


@cache
def _describe_common(name: str) -> dict[str, int]:
    """Return the places of the common kinds of a class, by the descriptions of their optimizers."""
    places = [place for place, (known, _) in enumerate(COMMON) if known == name]
    return {describe_optimizer(_make(place)): place for place in places}


def _make(place: int) -> keras.optimizers.Optimizer:
    """Return a stateless optimizer of a common kind."""
    import keras

    name, options = COMMON[place]
    with variables_late():
        # It has a name, so that Keras does not count it among the user's.
        return make_stateless(getattr(keras.optimizers, name)(**options, name=name))


@cache
def _trace_common(*, stacked: bool) -> list[tf.types.experimental.ConcreteFunction]:
    """Return the updates by the common kinds, which all programs of this process have in them."""
    return [_trace(_make(place), stacked=stacked) for place in range(len(COMMON))]


def _trace(
    optimizer: keras.optimizers.Optimizer, *, stacked: bool
) -> tf.types.experimental.ConcreteFunction:
    """Return the update by an optimizer as a function of vectors of any length."""
    import keras
    import tensorflow as tf

    with variables_late():
        own = Update(optimizer, [keras.Variable([0.0])], NUMBERS, stacked=stacked)
    count = len(own.variables)

    def update(choice: Choice, rate: tf.Tensor, weights: Any, slots: Any, gradients: Any) -> Any:
        weights, after = own(choice, rate, weights, slots[:count], gradients)
        return weights, [*after, *slots[count:]]

    choice = Choice(tf.TensorSpec([], "int32"), tf.TensorSpec([None], "float64"))
    numbers = [tf.TensorSpec([None] * stacked, kind) for kind in ("int64", "float32")]
    vector = tf.TensorSpec([None] * (1 + stacked), "float32")
    return tf.function(update, autograph=False).get_concrete_function(
        choice,
        tf.TensorSpec([], "float32"),
        [vector],
        [*numbers, *[vector] * (MOST_SLOTS - len(numbers))],
        [vector],
    )
