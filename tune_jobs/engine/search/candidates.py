"""The rows among which a model chooses: near others, and of the branch that it visits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tune_jobs.engine.search.knowledge import Knowledge
from tune_jobs.engine.space.coordinates import Column, Condition, Rows

# How far numbers move, as a share of their range.
FIRST_STEPS, STEPS = (0.3, 0.1, 0.03, 0.01), (0.1, 0.03, 0.01, 0.003, 0.001)

FROM_PRIOR, PER_ROW, NEAR_BEST = 400, 40, 32

# How often a branch is looked at that need not be the best so far. Without such visits the branch
# that leads after the first draws is seldom left: its good configs make all others look poor.
VISITS = 0.25

# The candidates from which the next ones start, and those that stay in the race.
BEST, KEPT = 4, 200


def climb(
    knowledge: Knowledge,
    value: Callable[[Rows], np.ndarray],
    good: Rows,
    random: np.random.Generator,
    branch: Condition | None = None,
) -> Rows | None:
    """Return the untried row with the largest value that a search by ever smaller steps finds.

    Args:
        knowledge: says what is untried.
        value: of rows.
        good: rows near which to start, beside draws from the whole space.
        random: of all draws.
        branch: that the row has to take, unless no untried row does.
    """
    if knowledge.points is not None:
        left = prefer(knowledge.untried(knowledge.points), branch)
        return _best(left, value(left))
    coordinates = knowledge.coordinates
    starts = [_move(knowledge, good, PER_ROW, step, random) for step in FIRST_STEPS]
    drawn = np.concatenate([coordinates.draw(FROM_PRIOR, random), *starts])
    found = prefer(knowledge.untried(drawn), branch)
    values = value(found)
    for step in STEPS:
        order = np.argsort(-values, kind="stable")[:KEPT]
        near = _move(knowledge, found[order[:BEST]], NEAR_BEST, step, random)
        near = knowledge.untried(near[has(near, branch)])
        found = np.concatenate([found[order], near])
        values = np.concatenate([values[order], value(near)])
    return _best(found, values)


def branch_to_visit(knowledge: Knowledge, random: np.random.Generator) -> Condition | None:
    """Draw an option of a choice that has branches, or mostly none."""
    columns = knowledge.coordinates.columns
    forks = sorted({fork for column in columns for fork, _ in column.conditions})
    if not forks or random.random() >= VISITS:
        return None
    fork = forks[random.integers(len(forks))]
    return fork, int(random.integers(columns[fork].options))


def prefer(rows: Rows, branch: Condition | None) -> Rows:
    """Return the rows that take an option, or all if none does."""
    inside = has(rows, branch)
    return rows[inside] if inside.any() else rows


def has(rows: Rows, branch: Condition | None) -> np.ndarray:
    """Return which rows take an option; all if none is named."""
    if branch is None:
        return np.ones(len(rows), dtype=bool)
    return np.asarray(rows[:, branch[0]] == branch[1])


def _best(rows: Rows, values: np.ndarray) -> Rows | None:
    if not len(rows):
        return None
    best: Rows = rows[int(np.argmax(values))]
    return best


def _move(
    knowledge: Knowledge, rows: Rows, count: int, step: float, random: np.random.Generator
) -> Rows:
    """Return rows near others: some hyperparameters move, often one alone."""
    coordinates = knowledge.coordinates
    moved = np.repeat(rows, count, axis=0)
    many = 0.5 * (random.random((len(moved), 1)) < 0.5)
    chance = np.maximum(many, 1.5 / len(coordinates.columns))
    moves = random.random(moved.shape) < chance
    for place, column in enumerate(coordinates.columns):
        there = _step(column, moved[:, place], step, random)
        moved[:, place] = np.where(moves[:, place], there, moved[:, place])
    return coordinates.settle(moved, random)


def _step(column: Column, places: Rows, step: float, random: np.random.Generator) -> Rows:
    """Return places a step away; NaN, which is drawn anew, for half of the options."""
    if column.options:
        return np.where(random.random(len(places)) < 0.5, np.nan, places)
    if column.places is not None and len(column.places) > 1:
        step = max(step, 0.7 / (len(column.places) - 1))
    there = np.abs(places + step * random.normal(size=len(places)))
    return np.clip(np.where(there > 1, 2 - there, there), 0, 1)
