"""Compiled fits, and those that a worker prepares ahead, to train them in step.

A config may have ``in_step``: the configs that the same worker is given next. Their models are
built with the first one's, those that are alike train in the same calls of a program, and each fit
finds its epochs when its trial starts. A fit that is not asked for costs only time: another worker,
or this one after a crash, trains it from the beginning, with the same result.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from trainables.fitting.compiled.eligibility import UncompilableError, check_model
from trainables.fitting.compiled.fit import CompiledFit
from trainables.fitting.compiled.keras_internals import (
    forget_names,
    variables_late,
    why_unsupported,
)
from trainables.fitting.compiled.sharing import NotComparableError, describe_function
from trainables.fitting.curves import check_metric
from trainables.fitting.in_step.fits import FitInStep, Group
from trainables.fitting.models import Build, Values, build_replicas
from trainables.fitting.outputs import check_values
from trainables.fitting.session import Config, Session
from trainables.fitting.task import Task

if TYPE_CHECKING:
    import keras

    from trainables.fitting.callbacks import Lists

# The key of a config with the configs that its worker is given next.
IN_STEP = "in_step"

AnyFit = TypeVar("AnyFit", bound=CompiledFit)

ARRAYS = ("x_train", "y_train", "x_validation", "y_validation")


@dataclass(frozen=True)
class Planned:
    """A fit to be made.

    Attributes:
        make: builds the model of a config, as the trainable has given it.
        build: builds the model of the fit.
        task: what is fitted.
    """

    make: Callable[..., Any]
    build: Build
    task: Task

    def is_same(self, other: Planned) -> bool:
        """Return whether another fit would give the same result."""
        one, two = self.task, other.task
        return (
            _is_same_function(self.make, other.make)
            and one.config == two.config
            and list(one.scorers) == list(two.scorers)
            and is_same_data(one, two)
        )


# The fits that this worker has prepared, until they are asked for.
AHEAD: list[tuple[Planned, FitInStep, float]] = []


def fit_compiled(
    planned: Planned,
    session: Session,
    callbacks: Lists,
    *,
    plan: Callable[[Config], Planned],
    followers: Sequence[Config],
) -> keras.Model:
    """Fit the replicas of a model in compiled epochs and return the first one's model.

    Args:
        planned: the fit.
        session: of its trial.
        callbacks: by replica; they may only stop it. A fit that has some is not in step.
        plan: plans the fit of a config.
        followers: the configs that this worker is given next.

    Raises:
        UncompilableError: with the reason why ``model.fit`` has to run; nothing was trained.
    """
    if any(callbacks):
        with session.clock("building"):
            alone = _make(CompiledFit, planned, session)
        return _train(alone, session, callbacks)
    fit = _take(planned, session)
    if fit is None:
        with session.clock("building"):
            fit = _make(FitInStep, planned, session)
    if followers:
        _prepare(fit, session, plan, followers)
    try:
        return _train(fit, session, callbacks)
    finally:
        fit.leave()


def _make(
    kind: Callable[[Task, Session, keras.Model, list[Values]], AnyFit],
    planned: Planned,
    session: Session,
) -> AnyFit:
    """Build the replicas of a model, and return their fit before any epoch.

    Raises:
        UncompilableError: with the reason why ``model.fit`` has to run.
    """
    if reason := why_unsupported("compiled fit"):
        raise UncompilableError(reason)
    task = planned.task
    model, values = build_replicas(planned.build, [each.seed for each in task.replicas])
    check_model(model)
    check_values(model, task.config, task.data.x_validation)
    with variables_late():
        return kind(task, session, model, values)


def _train(fit: CompiledFit, session: Session, callbacks: Lists) -> keras.Model:
    """Train a fit to its end.

    Raises:
        UncompilableError: with the reason why ``model.fit`` has to run; nothing was trained.
    """
    with session.clock("building"):
        session.parameters = int(fit.model.count_params())
        fit.stop_with(callbacks)
    with session.clock("compiling"):
        fit.compile()
    session.resume(fit.load)
    check_metric(fit.task, fit.metrics, in_tune=session.in_tune)
    while not fit.curves.ended:
        fit.train_on()
    fit.stoppers.end()
    return fit.best_model()


def is_same_data(one: Task, two: Task) -> bool:
    """Return whether two fits have the same rows, targets and weights."""
    pairs = [(getattr(one.data, name), getattr(two.data, name)) for name in ARRAYS]
    pairs += [(one.weights, two.weights), (one.weights_validation, two.weights_validation)]
    if len(one.replicas) != len(two.replicas):
        return False
    for first, second in zip(one.replicas, two.replicas, strict=True):
        pairs += [(first.train, second.train), (first.validation, second.validation)]
    return all(_is_same_array(first, second) for first, second in pairs)


def _is_same_function(one: Callable[..., Any], two: Callable[..., Any]) -> bool:
    """Return whether two functions do the same; one that is sent by value is new in each trial."""
    if one is two:
        return True
    if not (isinstance(one, FunctionType) and isinstance(two, FunctionType)):
        return False
    try:
        return describe_function(one) == describe_function(two)
    except NotComparableError:
        return False


def _is_same_array(one: Any, two: Any) -> bool:
    if one is two:
        return True
    if not (isinstance(one, np.ndarray) and isinstance(two, np.ndarray)):
        return False
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    is_shared = one.ctypes.data == two.ctypes.data and one.strides == two.strides
    return is_shared or np.array_equal(one, two, equal_nan=one.dtype.kind == "f")


def _take(planned: Planned, session: Session) -> FitInStep | None:
    """Take a fit that was prepared ahead, and give it the session of its trial."""
    for place, (other, fit, seconds) in enumerate(AHEAD):
        if other.is_same(planned):
            del AHEAD[place]
            fit.session = session
            session.spent["building"] += seconds
            return fit
    return None


def _prepare(
    first: FitInStep,
    session: Session,
    plan: Callable[[Config], Planned],
    followers: Sequence[Config],
) -> None:
    """Build the models of the fits that follow, and put those that are alike in step."""
    AHEAD.clear()
    for config in followers:
        began = time.perf_counter()
        forget_names()
        with suppress(Exception):  # its own trial says what is wrong
            other = plan(config)
            fit = _make(FitInStep, other, session)
            AHEAD.append((other, fit, time.perf_counter() - began))
    with session.clock("compiling"):
        _put_in_step([first, *(fit for _, fit, _ in AHEAD)], session)


def _put_in_step(fits: Sequence[FitInStep], session: Session) -> None:
    """Group the fits that are alike; those of other data than the first stay alone."""
    alike: dict[str, list[FitInStep]] = defaultdict(list)
    for fit in fits:
        if (key := fit.describe()) and is_same_data(fit.task, fits[0].task):
            alike[key].append(fit)
    for group in alike.values():
        if len(group) > 1 and (program := group[0].compile_in_step()) is not None:
            Group(group, program, session.next_stop(0, group[0].task.epochs))
