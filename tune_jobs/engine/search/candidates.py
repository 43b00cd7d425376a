"""Rows near others, for a search of the largest value of a function over a space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tune_jobs.engine.search.knowledge import Knowledge
from tune_jobs.engine.space.coordinates import Column, Rows

# How far numbers move, as a share of their range.
FIRST_STEPS, STEPS = (0.3, 0.1, 0.03, 0.01), (0.1, 0.03, 0.01, 0.003, 0.001)

FROM_PRIOR, PER_ROW, NEAR_BEST = 400, 40, 32

# The candidates from which the next ones start, and those that stay in the race.
BEST, KEPT = 4, 200


def climb(
    knowledge: Knowledge,
    value: Callable[[Rows], np.ndarray],
    good: Rows,
    random: np.random.Generator,
) -> Rows | None:
    """Return the untried row with the largest value that a search by ever smaller steps finds.

    Args:
        knowledge: says what is untried.
        value: of rows.
        good: rows near which to start, beside draws from the whole space.
        random: of all draws.
    """
    if knowledge.points is not None:
        left = knowledge.untried(knowledge.points)
        return _best(left, value(left))
    coordinates = knowledge.coordinates
    starts = [_move(knowledge, good, PER_ROW, step, random) for step in FIRST_STEPS]
    found = knowledge.untried(np.concatenate([coordinates.draw(FROM_PRIOR, random), *starts]))
    values = value(found)
    for step in STEPS:
        order = np.argsort(-values, kind="stable")[:KEPT]
        near = _move(knowledge, found[order[:BEST]], NEAR_BEST, step, random)
        near = knowledge.untried(near)
        found = np.concatenate([found[order], near])
        values = np.concatenate([values[order], value(near)])
    return _best(found, values)


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
