"""The mean over replicas: in a history it is what searcher and scheduler saw in the search."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.fitting.curves import Curves
from trainables.fitting.task import Replica, make_task
from tune_jobs.engine.experiments.history.frames import add_best
from tune_jobs.engine.experiments.history.replicas import average_replicas, stack_curves
from tune_jobs.engine.goal import Goal

CURVES = [{1: 3.0, 2: 1.0, 3: 2.0, 4: 5.0}, {1: 4.0, 2: 6.0}]


def frame(*trials: list[dict[int, float]]) -> pd.DataFrame:
    rows = [
        {"trial": number, "replica": replica, "epoch": epoch, "loss": value}
        for number, curves in enumerate(trials, 1)
        for replica, curve in enumerate(curves)
        for epoch, value in curve.items()
    ]
    return pd.DataFrame(rows, columns=["trial", "replica", "epoch", "loss"])


@pytest.mark.parametrize(
    ("mode", "kept", "filled"), [("min", "best", 4.0), ("max", "best", 6.0), ("min", "last", 6.0)]
)
def test_a_replica_that_ended_counts_with_its_best_or_its_last_value(mode, kept, filled) -> None:
    epochs, values = stack_curves(CURVES, Goal("loss", mode), kept)

    assert epochs.tolist() == [1, 2, 3, 4]
    assert values.tolist() == [[3.0, 4.0], [1.0, 6.0], [2.0, filled], [5.0, filled]]


@pytest.mark.parametrize(("mode", "late"), [("min", 4.0), ("max", 6.0)])
def test_the_mean_of_each_trial_is_of_its_own_replicas(mode, late) -> None:
    whole, single = [{1: 10.0, 2: 20.0}, {1: 30.0, 2: 40.0}], [{1: 7.0}, {1: 9.0}]

    means = average_replicas(frame(CURVES, whole, single), Goal("loss", mode))

    assert means["trial"].tolist() == [1, 1, 1, 1, 2, 2, 3]
    assert means["epoch"].tolist() == [1, 2, 3, 4, 1, 2, 1]
    late_means = [(2.0 + late) / 2, (5.0 + late) / 2]
    assert means["loss"].tolist() == [3.5, 3.5, *late_means, 20.0, 30.0, 8.0]


def test_a_value_that_is_not_finite_is_never_the_best_of_a_replica() -> None:
    curves = [{1: 1.0, 2: 2.0, 3: 3.0}, {1: -math.inf, 2: math.nan}]

    means = average_replicas(frame(curves), Goal("loss"))["loss"]

    assert means.isna().tolist() == [False, True, True]
    trials = pd.DataFrame({"trial": [1]})
    assert math.isnan(add_best(trials, frame(curves), Goal("loss"))["value"][0])


def test_no_epochs_have_no_means() -> None:
    assert average_replicas(frame(), Goal("loss")).empty


curves_of_logs = st.lists(
    st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=6), min_size=2, max_size=4
)


@given(curves_of_logs, st.sampled_from(["min", "max"]), st.integers(1, 3))
def test_the_history_gives_the_means_that_the_trial_reported(values, mode, patience) -> None:
    config = {"metric": "loss", "mode": mode, "max_epochs": 6, "patience": patience, "seed": 0}
    rows = dict.fromkeys(("x_train", "y_train", "x_validation", "y_validation"), np.zeros((1, 1)))
    data = SimpleNamespace(replicas=[Replica(seed) for seed in range(len(values))], **rows)
    curves = Curves(make_task(config, data))
    reported = []
    while not curves.ended:
        active = [curves.is_active(index) for index in range(len(values))]
        logs = [
            {"loss": each[curves.epoch]} if runs else None
            for each, runs in zip(values, active, strict=True)
        ]
        reported.append(curves.add(logs, seconds=0.1))
    recorded = [
        {row["epoch"]: row["replicas"][index]["loss"] for row in reported if row["replicas"][index]}
        for index in range(len(values))
    ]

    means = average_replicas(frame(recorded), Goal("loss", mode))

    assert means["epoch"].tolist() == [row["epoch"] for row in reported]
    assert np.allclose(means["loss"], [row["loss"] for row in reported])
