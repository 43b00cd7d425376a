"""Fits of one structure in step: replicas of one program, each with numbers of its own.

Learning rates, dropout rates, coefficients, decays and momenta may differ between the fits, and
seeds; the widths of layers, the batch size and the data may not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trainables.fitting.compiled.arguments import Plan, State
from trainables.fitting.compiled.eligibility import can_be_stacked
from trainables.fitting.compiled.fit import CompiledFit
from trainables.fitting.compiled.program import Program
from trainables.fitting.compiled.scoring import scored_by_each
from trainables.fitting.compiled.serialized import LoadedProgram
from trainables.fitting.compiled.sharing import NotComparableError, describe_optimizer
from trainables.fitting.in_step.program import ProgramInStep, join_plans, with_axes
from trainables.fitting.models import Values
from trainables.fitting.session import Session
from trainables.fitting.task import Task

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True)
class Stretch:
    """Some epochs of a fit that were trained ahead.

    Attributes:
        state: the state after them.
        rows: the metrics, of shape (epochs, metrics).
        seconds: how long an epoch took, of all fits in step.
        fits: how many those were.
    """

    state: State
    rows: np.ndarray
    seconds: float
    fits: int


class FitInStep(CompiledFit):
    """A fit of one replica that may be trained ahead, together with others.

    Attributes:
        group: the fits in step; None if it trains alone.
        ahead: what was trained before the fit has come to it.
    """

    def __init__(
        self, task: Task, session: Session, model: keras.Model, values: list[Values]
    ) -> None:
        super().__init__(task, session, model, values)
        self.group: Group | None = None
        self.ahead: deque[Stretch] = deque()
        self._is_compiled = False

    @property
    def trained(self) -> int:
        """The number of epochs that its latest state has been trained."""
        return self.curves.epoch + sum(len(each.rows) for each in self.ahead)

    @property
    def state(self) -> State:
        """Its latest state."""
        return self.ahead[-1].state if self.ahead else self.states[0]

    def compile(self) -> None:
        """Find its program, which that of a group replaces until the fit is alone."""
        if self.group is None:
            super().compile()
            self._is_compiled = True
        else:
            self.session.path = "compiled, in step"

    def compile_in_step(self) -> Program | LoadedProgram | None:
        """Find the program for fits like this one in step; None if it cannot be traced."""
        with self._in_step():
            return self._find_program()

    def describe(self) -> str | None:
        """Return a text that fits have in common if they can train in step; None if it cannot."""
        task = self.task
        if len(task.replicas) > 1 or not can_be_stacked(self.model):
            return None
        try:
            with self._in_step():
                program = self._describe()
        except NotComparableError:
            return None
        variables = (*self.model.trainable_variables, *self.others)
        settings = (task.batch_size, task.patience, task.metric, task.mode, task.keeps_last)
        sizes = (task.epochs, len(task.rows(task.replicas[0])), [v.shape for v in variables])
        return repr((program, settings, sizes))

    def train_on(self) -> None:
        """Train until a scheduler may decide, or take what was trained ahead, and report."""
        if not self.ahead and self.group is not None:
            self.group.train(self, self._count_epochs())
        if self.ahead:
            self._take(self.ahead.popleft())
            return
        if not self._is_compiled:
            self.leave()
            with self.session.clock("compiling"):
                self.compile()
        super().train_on()

    def load(self, folder: str) -> None:
        """Resume from the state of a fit in a folder, alone."""
        self.leave()
        if not self._is_compiled:
            self.compile()
        super().load(folder)

    def leave(self) -> None:
        """Leave the fits in step, and forget what was trained ahead."""
        self.ahead.clear()
        if self.group is not None:
            self.group.fits.remove(self)
            self.group = None

    def plan_in_step(self, epochs: int) -> Plan:
        """Return what it does next, with axes for the fits in step."""
        return with_axes(self._plan(0, epochs=epochs))

    def _take(self, stretch: Stretch) -> None:
        self.states[0], self.seconds_per_epoch = stretch.state, stretch.seconds
        logs: list[list[dict[str, float] | None]] = [
            [dict(zip(self.metrics, row, strict=True))]
            for row in stretch.rows.astype(float).tolist()
        ]
        self._note(logs, stretch.seconds / stretch.fits)

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """Let the layout be that of fits in step during a block."""
        alone, self.layout = self.layout, replace(self.layout, stacked=True, own_numbers=True)
        try:
            yield
        finally:
            self.layout = alone

    def _describe(self) -> str:
        own = describe_optimizer(self.optimizer) if self.layout.own_numbers else ""
        return super()._describe() + own

    def _make_program(self, plan: Plan) -> Program:
        if not self.layout.own_numbers:
            return super()._make_program(plan)
        return ProgramInStep(self.model, self.layout, self.states[0], self.arrays, plan)

    def _plan(self, place: int, *, epochs: int) -> Plan:
        plan = super()._plan(place, epochs=epochs)
        return with_axes(plan) if self.layout.own_numbers else plan


class Group:
    """Fits in step: a call of their program trains those that have come equally far.

    Args:
        fits: at least two whose descriptions are equal.
        program: what trains them.
        last: the epoch up to which they train in step.
    """

    def __init__(
        self, fits: Sequence[FitInStep], program: Program | LoadedProgram, last: int
    ) -> None:
        self.fits, self._program, self._last = list(fits), program, last
        for fit in self.fits:
            fit.group, fit.metrics = self, [*program.metrics, *fit.task.scores]

    def train(self, caller: FitInStep, epochs: int) -> None:
        """Train a fit for some epochs, and all that are as far; do nothing if there is no other."""
        import tensorflow as tf

        fits = [fit for fit in self.fits if fit.trained == caller.trained and _is_active(fit)]
        epochs = min(epochs, self._last - caller.trained)
        if len(fits) < 2 or caller not in fits or epochs < 1:
            return
        states = tf.nest.map_structure(_join, *[fit.state for fit in fits])
        began = time.perf_counter()
        plan = join_plans([fit.plan_in_step(epochs) for fit in fits])
        scorers = [partial(fit.score, fit.task.replicas[0]) for fit in fits]
        with scored_by_each(id(caller), scorers, len(caller.task.scorers)):
            states, rows = self._program(states, caller.arrays, plan)
        seconds = (time.perf_counter() - began) / len(rows)
        for place, fit in enumerate(fits):
            state = tf.nest.map_structure(partial(_cut, place), states)
            fit.ahead.append(Stretch(state, rows[:, place], seconds, len(fits)))


def _is_active(fit: FitInStep) -> bool:
    return bool(np.asarray(fit.state.active)[0])


def _join(*tensors: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.concat(tensors, 0)


def _cut(place: int, tensor: tf.Tensor) -> tf.Tensor:
    return tensor[place : place + 1]
