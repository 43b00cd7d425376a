"""Trials that should have been compiled and were not: one warning per run, kept with the run."""

import logging
import sys

import pandas as pd
import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import Finalists, Job, Profile, open_experiment, run
from tune_jobs.engine.views.fallback import describe_fallbacks
from tune_jobs.engine.views.show import lines

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def falling_back(config: dict, data: object) -> None:
    """Report as ``trainables.fitting.fit`` does, where every second trial is not compiled."""
    fallback = None if config["x"] > 2 else "ValueError: no such kernel"
    work = {"path": "", "worker": "w", "began": 0.0, "spent": {}, "fallback": fallback}
    for epoch in (1, 2):
        row = {"epoch": epoch, "loss": config["x"] + config["seed"] % 7 / 100, "seconds": 0.0}
        tune.report({**row, "epochs": [row], "work": work})


def compiled(config: dict, data: object) -> None:
    falling_back(config | {"x": 3}, data)


@pytest.fixture
def search(tmp_path, local_ray, caplog):
    """Run a search with finals; return its experiment and the warnings that it logged."""

    def search(trainable):
        job = Job(
            trainable,
            {"x": tune.grid_search([1, 2, 3, 4])},
            metric="loss",
            num_samples=1,
            max_epochs=2,
            finalists=Finalists(2, scores=2),
        )
        profile = Profile(storage=str(tmp_path), max_concurrent_trials=2)
        with caplog.at_level(logging.WARNING, logger="tune_jobs"):
            run(job, profile=profile, name="test", listeners=[])
        said = [record.message for record in caplog.records if "compiled" in record.message]
        return open_experiment(str(tmp_path / "test")), said

    return search


def test_a_run_warns_once_and_its_summary_and_show_keep_the_reason(search) -> None:
    experiment, warnings = search(falling_back)

    (warning,) = warnings
    assert warning.startswith("trial ")
    assert "not be compiled and ran model.fit, which is slower: ValueError: no such ke" in warning
    expected = (
        "2 of 4 trials could not be compiled and ran model.fit, which is slower: "
        "ValueError: no such kernel"
    )
    assert expected in experiment.summary.warnings
    assert f"warning: {expected}" in lines(experiment, short=True)


def test_a_run_whose_trials_are_compiled_warns_of_nothing(search) -> None:
    experiment, warnings = search(compiled)

    assert warnings == []
    assert not any("compiled" in line for line in experiment.summary.warnings)


def test_the_most_common_reason_stands_for_the_others() -> None:
    trials = pd.DataFrame({"fallback": ["one", None, "two", "two", "three"]})

    (line,) = describe_fallbacks(trials)
    assert line.startswith("4 of 5 trials ")
    assert line.endswith(": two (and 2 other reasons)")
