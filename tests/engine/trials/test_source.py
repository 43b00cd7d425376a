"""The source of trials: each is what Tune itself would make of the config."""

import pytest
from ray import tune
from ray.tune.experiment import Experiment, Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser

from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.trials.ray_trial import left_of, make_trial


def train(config: dict) -> None:
    tune.report({"loss": config["x"]})


def facts_of(trial: Trial) -> dict:
    objects = {"temporary_state", "run_metadata", "storage", "_state_json"}
    return {name: value for name, value in vars(trial).items() if name not in objects}


def test_a_trial_is_like_one_that_tune_makes(tmp_path) -> None:
    experiment = Experiment(
        "search",
        train,
        stop={"training_iteration": 3},
        config={"x": tune.uniform(0, 1)},
        resources_per_trial=tune.PlacementGroupFactory([{"CPU": 2}]),
        storage_path=str(tmp_path),
        trial_dirname_creator=str,
        max_failures=4,
    )
    tag = {"evaluated_params": {}, "experiment_tag": "00007", "trial_id": "00007"}
    spec = {**experiment.spec, "config": {"x": 0.5}}
    expected = _create_trial_from_spec(spec, _make_parser(), **tag)

    made = make_trial(experiment, open_folder(tmp_path), 7, {"x": 0.5})

    assert facts_of(made) == facts_of(expected)
    assert made.storage.experiment_fs_path == expected.storage.experiment_fs_path
    assert made.max_failures == 4


@pytest.mark.parametrize(
    ("limit", "crashes", "left"), [(3, 0, 3), (3, 2, 1), (3, 3, 0), (3, 4, 0), (-1, 9, -1)]
)
def test_crashes_of_earlier_runs_leave_fewer_attempts(limit, crashes, left) -> None:
    assert left_of(limit, crashes) == left
