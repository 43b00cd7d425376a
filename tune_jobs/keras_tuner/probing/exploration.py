"""Find all hyperparameters of a ``build``, also those behind conditions and loops."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tune_jobs.engine.errors import JobError, ends_run, reason_of
from tune_jobs.keras_tuner.conversion import is_tunable
from tune_jobs.keras_tuner.declarations import Declaration, Value
from tune_jobs.keras_tuner.hyperparameters import HyperParameters, Values
from tune_jobs.keras_tuner.probing.conditions import find_conditions
from tune_jobs.keras_tuner.probing.probes import Build, Prober, declarations_of, later
from tune_jobs.keras_tuner.probing.unread import find_unread

MOST_CALLS = 60
MOST_SECONDS = 60.0

# Calls that are kept for finding conditions.
KEPT = 20

# Of a hyperparameter with more values than this the ends and the middle are tried.
MOST_VALUES = 12


@contextmanager
def _models_collected() -> Iterator[None]:
    """Collect the models that were thrown away, without a look at what was there before.

    Imported libraries are a million objects, which the garbage collector would walk through again
    and again.
    """
    is_frozen = gc.get_freeze_count() > 0  # by the program, which knows why
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        if not is_frozen:
            gc.unfreeze()


@_models_collected()
def find_space(
    build: Build,
    hyperparameters: HyperParameters | None = None,
    *,
    tune_new: bool = True,
    allow_new: bool = True,
    may_be_empty: bool = False,
    seed: int = 0,
    calls: int = MOST_CALLS,
    seconds: float = MOST_SECONDS,
) -> HyperParameters:
    """Return the hyperparameters that ``build`` declares, and on what they depend.

    ``build`` is called with the defaults, then such that each hyperparameter takes each of its
    values, or both ends, until nothing new appears; then each is changed alone. If one appears with
    some values of others only, further calls find these values, in which all else stays as it was:
    so the third layer's units are active only in nets of three layers. What cannot be found out is
    always active, as in KerasTuner. Models are thrown away.

    Args:
        build: the function that gets ``hp`` and returns a model.
        hyperparameters: what the user declared: it overrides what ``build`` declares.
        tune_new: whether what ``build`` declares besides is tuned; otherwise it has its default.
        allow_new: whether ``build`` may declare anything besides.
        may_be_empty: whether ``build`` may declare nothing to tune.
        seed: of the values with which the result is checked.
        calls: of ``build``, at most.
        seconds: how long new calls begin.

    Raises:
        JobError: if ``build`` fails with the defaults, declares what it must not, or leaves
            nothing to tune.
    """
    given = hyperparameters.copy() if hyperparameters else HyperParameters()
    names = frozenset(each.name for each in given.space)
    until = time.monotonic() + seconds
    prober = Prober(build, given, names, tune_new, allow_new, calls, until)
    _start(prober)
    _try_values(prober)
    if not may_be_empty and not any(is_tunable(each) for each in prober.hp.space):
        raise JobError(
            "build declares no hyperparameter to tune: let it call hp.Int, hp.Float, hp.Choice or "
            "hp.Boolean"
        )
    _change_one_by_one(prober)
    found = prober.hp.with_found(find_conditions(prober, seed), find_unread(prober))
    found.values = {}
    found.ensure_active_values()
    return found


def _try_values(prober: Prober) -> None:
    """Call ``build`` until nothing new appears, or the budget is spent."""
    attempted: set[tuple[str, Any]] = set()
    while values := _next_values(prober, attempted):
        if prober.ask(values) is None:
            break


def _start(prober: Prober) -> None:
    first = prober.ask({})
    if first and first.error:
        error = first.error
        if ends_run(error):
            raise error
        values = ", ".join(f"{name}={value!r}" for name, value in first.values.items())
        raise JobError(
            f"build fails with the defaults ({values or 'no hyperparameter'}): "
            f"{type(error).__name__}: {reason_of(error)}"
        ) from error


def _change_one_by_one(prober: Prober) -> None:
    """Change each hyperparameter of the first call alone, in the call that asked for most."""
    whole = [probe for probe in prober.probes if not probe.error]
    base = max(whole, key=lambda probe: len(probe.values))
    declared = declarations_of(prober.hp)
    for name, value in base.values.items():
        if name not in prober.probes[0].values:
            continue
        values = _values_to_try(prober, declared[name])
        others = [each for each in (values[-1], values[0]) if each != value]
        if prober.calls <= KEPT or (others and prober.ask(base.values | {name: others[0]}) is None):
            break


def _next_values(prober: Prober, attempted: set[tuple[str, Any]]) -> Values | None:
    """Return values of which one at least was not tried yet; None if all were."""
    covered = {pair for probe in prober.probes for pair in probe.values.items()} | attempted
    declared = declarations_of(prober.hp)
    # A call that asks for much tries many values at once.
    for probe in sorted(
        prober.probes, key=lambda each: (each.error is not None, -len(each.values))
    ):
        for name in probe.asked:
            for value in _missing(prober, declared[name], covered):
                attempted.add((name, value))
                # What is asked for later cannot change what is asked for until here.
                others = {
                    other: next(_missing(prober, declared[other], covered), probe.values[other])
                    for other in later(probe, name)
                }
                return probe.values | {name: value} | others
    return _values_for_scope(prober, attempted)


def _values_for_scope(prober: Prober, attempted: set[tuple[str, Any]]) -> Values | None:
    """Return values that meet the conditions of a hyperparameter that was never asked for."""
    asked = {name for probe in prober.probes for name in probe.values}
    for each in prober.hp.space:
        if each.name not in asked and (each.name, each.conditions) not in attempted:
            attempted.add((each.name, each.conditions))
            return {condition.name: condition.values[0] for condition in each.conditions}
    return None


def _missing(
    prober: Prober, declared: Declaration, covered: set[tuple[str, Any]]
) -> Iterator[Value]:
    for value in _values_to_try(prober, declared):
        if (declared.name, value) not in covered:
            yield value


def _values_to_try(prober: Prober, declared: Declaration) -> Sequence[Value]:
    values = declared.values
    if values is None:
        return (declared.min_value, declared.max_value)  # type: ignore[union-attr]
    if len(values) <= MOST_VALUES or isinstance(values[0], str):
        return tuple(values)
    conditions = [each for other in prober.hp.space for each in other.conditions]
    named = [each.values[0] for each in conditions if each.name == declared.name]
    return (values[0], values[len(values) // 2], values[-1], *named)
