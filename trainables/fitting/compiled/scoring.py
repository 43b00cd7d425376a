"""Scorers in Python, called from inside a compiled program.

A program is shared by many fits, so its plan has the key of the function to call, not the function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

# Given outputs of shape (replicas, rows, outputs), and which replicas are active, it returns
# float32 scores of shape (replicas, scores).
ScoreReplicas = Callable[[np.ndarray, np.ndarray], np.ndarray]

FUNCTIONS: dict[int, ScoreReplicas] = {}


@contextmanager
def scored_by(key: int, function: ScoreReplicas) -> Iterator[None]:
    """Let programs call a function by its key during a block."""
    FUNCTIONS[key] = function
    try:
        yield
    finally:
        del FUNCTIONS[key]


@contextmanager
def scored_by_each(
    key: int, scorers: Sequence[Callable[[np.ndarray], np.ndarray]], count: int
) -> Iterator[None]:
    """Let programs call a function per replica during a block, which raises what these raise.

    Args:
        key: of the functions.
        scorers: return the scores of a replica's outputs.
        count: how many scores there are.
    """
    errors: list[Exception] = []

    def score(outputs: np.ndarray, active: np.ndarray) -> np.ndarray:
        scores = np.full((len(scorers), count), np.nan, "float32")
        try:
            for place in np.flatnonzero(active).tolist():
                scores[place] = scorers[place](outputs[place])
        except Exception as error:  # noqa: BLE001  # TensorFlow would raise its own
            errors.append(error)
        return scores

    with scored_by(key, score):
        yield
    if errors:
        raise errors[0]


def score_outputs(key: np.ndarray, outputs: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Call a function by its key with the outputs of a program, whose first axis is the rows."""
    score = FUNCTIONS[int(key)]
    if active.ndim:
        return score(outputs.swapaxes(0, 1), active)
    scores: np.ndarray = score(outputs[np.newaxis], active[np.newaxis])[0]
    return scores
