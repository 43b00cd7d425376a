"""The finals that follow a search with early stopping: which configs are trained to the end."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from benchmarks.searching.problem import Played, Task
from benchmarks.searching.simulation import FINALISTS
from tune_jobs.engine.finals.candidates import take_turns
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.gaussian.curve_model import CurveModel, expect_ends
from tune_jobs.engine.search.knowledge import Memory
from tune_jobs.engine.search.observations import Observation


def regret_after_finals(task: Task, tried: Iterable[tuple[Played, int]]) -> float:
    """Return the regret of the best finalist at its last epoch; infinity if there is none.

    Args:
        task: that was searched.
        tried: trials, and how many epochs each was trained.
    """
    trials = list_trials(task, tried)
    chosen = list_rules(trials)["in turn"][:FINALISTS]
    return float(trials["regret"][chosen].min()) if chosen else math.inf


def list_trials(task: Task, tried: Iterable[tuple[Played, int]]) -> pd.DataFrame:
    """Return lowest loss, expected end and regret of the trials that do not fail."""
    memory, kept = Memory(task.space, Goal("loss")), []
    for played, epochs in tried:
        if not played.fails and epochs:
            curve = list(enumerate(played.losses[:epochs], start=1))
            memory.learn(str(len(kept)), Observation(played.config, curve, "ended"))
            kept.append((played, epochs))
    return pd.DataFrame(
        {
            "value": [min(played.losses[:epochs]) for played, epochs in kept],
            "end": expect_ends(CurveModel(), memory.knowledge(task.max_epochs)) if kept else [],
            "regret": [played.regrets[-1] for played, _ in kept],
        },
        dtype=float,
    )


def list_rules(trials: pd.DataFrame) -> dict[str, list[int]]:
    """Return the trials in the order of each rule."""
    by_value = trials["value"].sort_values(kind="stable").index.tolist()
    by_end = trials["end"].sort_values(kind="stable").index.tolist()
    in_turn = list(dict.fromkeys(take_turns(by_value, trials["end"].to_dict())))
    return {"by value": by_value, "by end": by_end, "in turn": in_turn}
