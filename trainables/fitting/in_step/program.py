"""A program for replicas that have learning rates and input numbers of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trainables.fitting.compiled.arguments import Arrays, Plan, State
from trainables.fitting.compiled.loops import each_replica
from trainables.fitting.compiled.number_inputs import numbers_as_inputs
from trainables.fitting.compiled.program import Program
from trainables.fitting.compiled.updates import Choice, Update, Updated

if TYPE_CHECKING:
    import tensorflow as tf


class UpdateInStep(Update):
    """The update by one optimizer, whose rate and numbers each replica has of its own."""

    def __call__(
        self,
        choice: Choice,
        rate: tf.Tensor,
        weights: list[tf.Tensor],
        slots: list[tf.Tensor],
        gradients: list[tf.Tensor],
    ) -> Updated:
        """Return weights and slots after a step; slots that the optimizer lacks stay as they are.

        The choice's numbers have the shape (replicas, numbers), the rate has that of replicas.
        """
        places = [(self._optimizer, name) for name in self._numbers]

        def apply(numbers: tf.Tensor, *arguments: Any) -> Updated:
            own = [numbers[index] for index in self._numbers.values()]
            with numbers_as_inputs(places, own):
                return self._apply(*arguments)

        count = len(self.variables)
        arguments = (choice.numbers, rate, weights, slots[:count], gradients)
        weights, after = each_replica(apply, arguments, stacked=True)
        return weights, [*after, *slots[count:]]


class ProgramInStep(Program):
    """A program whose replicas have learning rates and input numbers of their own.

    The plan's numbers have the shape (replicas, numbers), its rates (epochs, steps, replicas).
    """

    def _run(self, state: State, arrays: Arrays, plan: Plan) -> tuple[Any, ...]:
        own, self.places = self.places, []
        self._own_places, self._numbers = own, plan.numbers
        try:
            return super()._run(state, arrays, plan)
        finally:
            self.places = own

    def _map(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        def apply(numbers: tf.Tensor, *rest: Any) -> Any:
            with numbers_as_inputs(self._own_places, numbers):
                return function(*rest)

        return super()._map(apply, (self._numbers, *arguments))

    def _make_update(self) -> Update:
        return self._make_own_update(UpdateInStep)


def join_plans(plans: Sequence[Plan]) -> Plan:
    """Return the plan of fits in step, whose plans have the axes for that."""
    import tensorflow as tf

    return plans[0]._replace(
        orders=tf.concat([plan.orders for plan in plans], 1),
        validation=tf.concat([plan.validation for plan in plans], 0),
        learning_rates=tf.concat([plan.learning_rates for plan in plans], 2),
        numbers=tf.concat([plan.numbers for plan in plans], 0),
        choice=plans[0].choice._replace(
            numbers=tf.concat([plan.choice.numbers for plan in plans], 0)
        ),
    )


def with_axes(plan: Plan) -> Plan:
    """Give the learning rates and numbers of a plan an axis for the replicas."""
    return plan._replace(
        learning_rates=plan.learning_rates[..., None],
        numbers=plan.numbers[None],
        choice=plan.choice._replace(numbers=plan.choice.numbers[None]),
    )
