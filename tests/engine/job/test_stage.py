"""Coarse to fine: later stages search what the earlier ones left, as one search."""

import os
import signal
import sys
from dataclasses import replace

import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import ASHA, Job, JobError, Profile, RandomSearch, Stage, run
from tune_jobs.engine.experiments.history.records import Event, TrialEnd

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def train(config: dict, data: object) -> None:
    for epoch in range(1, config["max_epochs"] + 1):
        tune.report({"loss": (config["x"] - 0.7) ** 2 + 1 / epoch})


JOB = Job(
    train,
    {"x": tune.uniform(0, 1)},
    metric="loss",
    searcher=RandomSearch(),
    scheduler=ASHA(grace_period=1),
    max_epochs=4,
    stages=[Stage(12, max_epochs=2), Stage(6, zoom=0.3)],
    finalists=None,
)


@pytest.fixture(scope="module")
def profile(local_ray, tmp_path_factory) -> Profile:
    return Profile(storage=str(tmp_path_factory.mktemp("results")), max_concurrent_trials=1)


@pytest.fixture(scope="module")
def whole(profile):
    return run(JOB, profile=profile, name="whole", listeners=[])


def test_the_second_stage_searches_the_narrower_space_with_the_larger_budget(whole) -> None:
    first, second = (whole.trials[whole.trials["trial"] <= 12], whole.trials.iloc[12:])

    assert whole.exit_code == 0
    assert len(second) == 6
    assert first["config.x"].max() - first["config.x"].min() > 0.6
    best = first.sort_values("value").head(5)["config.x"]
    narrowed = whole.summary.stages[1].narrowed
    assert len(narrowed) == 1
    assert narrowed[0].startswith("x 0 .. 1 -> ")
    assert second["config.x"].max() - second["config.x"].min() < 0.8
    assert second["config.x"].between(*_bounds(narrowed[0])).all()
    assert best.between(*_bounds(narrowed[0])).all()
    assert second["epochs"].max() == 4


def test_the_best_of_the_first_stage_go_on_to_the_larger_budget(whole) -> None:
    epochs = whole.trials.head(12)["epochs"]
    assert epochs.max() == 4
    assert (epochs <= 2).sum() > 6


def test_the_summary_says_which_trials_a_stage_had(whole) -> None:
    stages = whole.summary.stages
    assert [stage.trials for stage in stages] == [(1, 12), (13, 18)]
    assert [stage.max_epochs for stage in stages] == [2, 4]


@pytest.mark.parametrize(
    "after",
    [pytest.param(5, marks=pytest.mark.slow), 15],
    ids=["in the first stage", "in the second"],
)
def test_a_search_that_was_cut_off_goes_on_in_its_stage(whole, profile, after) -> None:
    def cut_off(record: Event | None) -> None:
        if isinstance(record, TrialEnd) and record.trial == after:
            os.kill(os.getpid(), signal.SIGINT)

    name = f"cut-off-{after}"
    assert run(JOB, profile=profile, name=name, listeners=[cut_off]).exit_code == 7
    result = run(JOB, profile=profile, name=name, resume=True, listeners=[])

    columns = ["trial", "config.x", "value"]
    assert result.trials[columns].equals(whole.trials[columns])
    assert result.summary.stages == whole.summary.stages


def test_a_search_that_is_done_is_not_done_again(whole, profile) -> None:
    again = run(JOB, profile=profile, name="whole", resume=True, listeners=[])
    assert again.summary.attempt == whole.summary.attempt


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            [Stage(2, zoom=0.5)],
            "stage 1 has a zoom, but there are no earlier trials to narrow the space by",
        ),
        ([Stage(2, max_epochs=9)], "stage 1 has max_epochs 9, more than the job's 4"),
        (
            [Stage(2, max_epochs=3), Stage(2, max_epochs=2)],
            "stage 2 has max_epochs 2, less than the 3 of the stage before it",
        ),
    ],
)
def test_stages_that_lead_nowhere_are_refused(stages, message) -> None:
    with pytest.raises(JobError) as refused:
        replace(JOB, stages=stages)
    assert str(refused.value) == message


def test_a_zoom_is_a_fraction() -> None:
    with pytest.raises(JobError, match=r"zoom is 1.5, but must be a fraction between 0 and 1"):
        Stage(2, zoom=1.5)


def _bounds(line: str) -> tuple[float, float]:
    low, high = line.split("-> ")[1].split(":")[0].split(" .. ")
    return float(low), float(high)
