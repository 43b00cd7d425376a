"""Find by further calls on which values of others a hyperparameter depends.

A hyperparameter that a call did not ask for depends on those that the calls with it asked for
before. The fewest of them that explain all calls without it are candidates. Each is tested: of a
call with the hyperparameter one candidate's value is changed, and all else stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from tune_jobs.keras_tuner.conversion import to_space, values_of
from tune_jobs.keras_tuner.declarations import Condition, Conditions, Value
from tune_jobs.keras_tuner.hyperparameters import HyperParameters
from tune_jobs.keras_tuner.probing.probes import Probe, Prober, declarations_of

# How often what was found is checked with random values, and how many; fewer if nothing was.
ROUNDS, DRAWS, FEW_DRAWS = 3, 6, 2

# Of a hyperparameter with more values than this the borders are found by halving; one with even
# more is no candidate.
MOST_TESTED, MOST_VALUES = 12, 10_000


def find_conditions(prober: Prober, seed: int) -> dict[str, Conditions]:
    """Return the conditions that no scope declares, by name.

    Args:
        prober: whose calls so far had every value at least once.
        seed: of the random values with which the conditions are checked.
    """
    found: dict[str, Conditions] = {}
    for number in range(ROUNDS):
        names = dict.fromkeys(name for probe in prober.probes for name in probe.values)
        found = {name: _explain(prober, name) for name in names}
        found = {name: conditions for name, conditions in found.items() if conditions}
        if _check(prober, prober.hp.with_found(found), seed + number):
            return found
    return {name: own for name, own in found.items() if _holds(prober, name, own)}


def _check(prober: Prober, hp: HyperParameters, seed: int) -> bool:
    """Return whether ``build`` asks for exactly what is active, with some random values."""
    from tune_jobs.engine.space.coordinates import Coordinates

    coordinates = Coordinates(to_space(hp))
    count = DRAWS if hp.found else FEW_DRAWS
    for row in coordinates.draw(count, np.random.default_rng(seed)):
        values = values_of(coordinates.config_of(row))
        probe = prober.ask(values)
        if probe is None:
            return True
        missing = probe.values.keys() - values.keys()
        if missing or (not probe.error and values.keys() - probe.values.keys()):
            return False
    return True


def _holds(prober: Prober, name: str, conditions: Conditions) -> bool:
    present, _ = _calls(prober, name)
    return all(each.is_met(probe.values) for probe in present for each in conditions)


def _explain(prober: Prober, name: str) -> Conditions:
    """Return the conditions of a hyperparameter; none if it has none, or they were not found."""
    while True:
        present, absent = _calls(prober, name)
        parents = _explanation(prober, name, present, absent)
        base = max(present, key=lambda probe: len(probe.values))
        tests = (
            base.values | {parent: value}
            for parent in parents
            for value in _untested(prober, parent, base, present)
        )
        values = next(tests, None)
        if values is None:
            return tuple(_condition(prober, parent, present) for parent in parents)
        if prober.ask(values) is None:
            return ()


def _calls(prober: Prober, name: str) -> tuple[list[Probe], list[Probe]]:
    """Return the calls that asked for a name, and those that could have and did not."""
    declared = [each for each in prober.hp.space if each.name == name]
    present = [probe for probe in prober.probes if name in probe.values]
    absent = [
        probe
        for probe in prober.probes
        if name not in probe.values
        and not probe.error
        and any(all(c.is_met(probe.values) for c in each.conditions) for each in declared)
    ]
    return present, absent


def _explanation(
    prober: Prober, name: str, present: Sequence[Probe], absent: Sequence[Probe]
) -> list[str]:
    """Return the fewest names whose values explain the absence, if any do, greedily."""
    explained = {
        parent: {
            place
            for place, probe in enumerate(absent)
            if probe.values.get(parent) not in _values_in(present, parent)
        }
        for parent in _candidates(prober, name, present)
    }
    chosen: list[str] = []
    left = set(range(len(absent)))
    while left:
        best = max(explained, key=lambda parent: len(explained[parent] & left), default=None)
        if best is None or not explained[best] & left:
            return []
        chosen.append(best)
        left -= explained[best]
    for parent in list(chosen):
        others = [explained[other] for other in chosen if other != parent]
        if len(set().union(*others)) == len(absent):
            chosen.remove(parent)
    return chosen


def _candidates(prober: Prober, name: str, present: Sequence[Probe]) -> Iterator[str]:
    declared = declarations_of(prober.hp)
    before = [probe.asked[: probe.asked.index(name)] for probe in present]
    for parent in before[0]:
        values = declared[parent].values
        is_finite = values is not None and 1 < len(values) <= MOST_VALUES
        if is_finite and all(parent in names for names in before):
            yield parent


def _values_in(present: Sequence[Probe], parent: str) -> set[Value]:
    return {probe.values[parent] for probe in present}


def _untested(
    prober: Prober, parent: str, base: Probe, present: Sequence[Probe]
) -> Iterator[Value]:
    """Yield the values of a parent with which the hyperparameter is not known to be active or not.

    Of many values those halfway between one with and one without it, down to neighbours.
    """
    values = list(declarations_of(prober.hp)[parent].values or ())
    with_it = _values_in(present, parent)
    tried = {probe.values[parent] for probe in prober.probes if parent in probe.values}
    tested = {value for value in tried if prober.find(base.values | {parent: value})}
    known = [place for place, value in enumerate(values) if value in tested | with_it]
    if len(values) <= MOST_TESTED:
        yield from (value for place, value in enumerate(values) if place not in known)
        return
    tried |= {values[0], values[-1]}
    yield from (value for value in values if value in tried - tested - with_it)
    for one, other in itertools.pairwise(known):
        is_border = (values[one] in with_it) != (values[other] in with_it)
        if is_border and other - one > 1:
            yield values[(one + other) // 2]


def _condition(prober: Prober, parent: str, present: Sequence[Probe]) -> Condition:
    """Return the condition; a value between two with which it is active is one of them."""
    values = list(declarations_of(prober.hp)[parent].values or ())
    with_it = _values_in(present, parent)
    if len(values) <= MOST_TESTED:
        return Condition(parent, tuple(value for value in values if value in with_it))
    asked = {probe.values[parent] for probe in prober.probes if parent in probe.values}
    known = [place for place, value in enumerate(values) if value in asked]
    nearest = np.array(known)[
        np.abs(np.subtract.outer(np.arange(len(values)), known)).argmin(axis=1)
    ]
    own = (value for value, near in zip(values, nearest, strict=True) if values[near] in with_it)
    return Condition(parent, tuple(own))
