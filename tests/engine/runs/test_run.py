"""Runs of arithmetic trainables on a real Ray: what is searched, recorded, and said of it."""

import json
import os
import signal
import sys
import time
from dataclasses import replace

import numpy as np
import optuna
import pytest
from ray import cloudpickle, tune
from ray.tune.schedulers import FIFOScheduler, PopulationBasedTraining
from ray.tune.search.optuna import OptunaSearch

from tune_jobs.engine import (
    ASHA,
    TPE,
    Finalists,
    Hyperband,
    Job,
    JobError,
    MedianStopping,
    Profile,
    RandomSearch,
    as_grid,
    open_experiment,
    run,
    table,
)
from tune_jobs.engine.experiments.history.records import Epoch, Event
from tune_jobs.engine.trials.fitting import fit_trial
from tune_jobs.engine.views.show import as_dict, lines

cloudpickle.register_pickle_by_value(sys.modules[__name__])
optuna.logging.set_verbosity(optuna.logging.ERROR)
pytestmark = pytest.mark.usefixtures("local_ray")


def parabola(config: dict, data: object) -> None:
    start = 0
    if checkpoint := tune.get_checkpoint():  # Hyperband pauses and resumes.
        with checkpoint.as_directory() as folder:
            start = int((__import__("pathlib").Path(folder) / "epoch").read_text())
    for epoch in range(start + 1, config["max_epochs"] + 1):
        loss = (config["x"] - 0.3) ** 2 + 1 / epoch
        _report(epoch, {"loss": loss, "seed": config["seed"], "pid": os.getpid()})


def _report(epoch: int, metrics: dict) -> None:
    import pathlib
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "epoch").write_text(str(epoch))
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def best_in_the_middle(config: dict, data: object) -> None:
    for loss in (3.0, 1.0, 2.0):
        tune.report({"loss": np.float32(loss) + np.float32(config["x"]), "steps": np.int32(3)})


def failing_above_half(config: dict, data: object) -> None:
    if config["x"] > 0.5:
        raise ValueError(f"x is {config['x']:.1f}, above 0.5")
    tune.report({"loss": config["x"]})


def failing(config: dict, data: object) -> None:
    raise RuntimeError("always")


def misnaming(config: dict, data: object) -> None:
    tune.report({"los": 1.0, "accuracy": 0.5})


def reporting_none(config: dict, data: object) -> None:
    tune.report({"loss": None})


def reporting_text(config: dict, data: object) -> None:
    tune.report({"loss": "0.5"})


def reporting_arrays(config: dict, data: object) -> None:
    for epoch in (1, 2):
        tune.report({"loss": np.array(config["x"] / epoch), "steps": np.array(3)})


def learning_from_arrays(config: dict, data: object) -> None:
    tune.report({"loss": abs(float(data.x_train["a"].mean()) - config["x"])})


def reporting_nan(config: dict, data: object) -> None:
    tune.report({"loss": float("nan")})


def endless(config: dict, data: object) -> None:
    while True:
        time.sleep(0.2)
        tune.report({"loss": config["x"]})


JOB = Job(
    trainable=parabola,
    space={"x": tune.uniform(0, 1)},
    metric="loss",
    num_samples=8,
    max_epochs=9,
    finalists=None,
)


@pytest.fixture
def profile(tmp_path) -> Profile:
    # One worker starts in half the time of two; where two matter, the test says so.
    return Profile(storage=str(tmp_path), max_concurrent_trials=1)


def quiet_run(job, profile, **options):
    return run(job, profile=profile, listeners=[], **{"name": "test", **options})


@pytest.mark.parametrize(
    ("searcher", "scheduler"),
    [
        (RandomSearch(), None),
        (RandomSearch(), MedianStopping(grace_period=2)),
        (TPE(n_initial_points=3), ASHA(grace_period=1)),
        pytest.param(TPE(n_initial_points=3), Hyperband(), marks=pytest.mark.slow),
        (lambda seed: OptunaSearch(seed=seed), lambda _: FIFOScheduler()),
    ],
    ids=["random", "random-median", "tpe-asha", "tpe-hyperband", "optuna-rays-own"],
)
def test_searchers_and_schedulers_work_together(profile, searcher, scheduler) -> None:
    both = replace(profile, max_concurrent_trials=2)
    result = quiet_run(replace(JOB, searcher=searcher, scheduler=scheduler), both)

    assert result.exit_code == 0
    assert len(result.trials) == 8
    assert set(result.trials["state"]) <= {"complete", "stopped"}
    assert (result.trials["epochs"] <= 9).all()
    if not isinstance(scheduler, ASHA | Hyperband | MedianStopping):
        assert (result.trials["epochs"] == 9).all()
    epochs = result.epochs.groupby("trial")["epoch"].apply(list)
    assert all(seen == list(range(1, len(seen) + 1)) for seen in epochs)


def test_asha_spends_fewer_epochs_than_no_scheduler(profile) -> None:
    job = replace(JOB, scheduler=ASHA(grace_period=1), num_samples=12)
    result = quiet_run(job, profile)
    assert len(result.epochs) < 12 * 9
    assert (result.trials["state"] == "stopped").any()


def test_one_worker_repeats_exactly(profile) -> None:
    job = replace(JOB, searcher=TPE(n_initial_points=3), scheduler=ASHA())
    first, second, other = (
        quiet_run(replace(job, seed=seed), profile, name=name)
        for seed, name in ((1, "first"), (1, "second"), (2, "other"))
    )

    told = ["trial", "config.x", "value", "best_epoch", "epochs", "state"]
    assert first.trials[told].equals(second.trials[told])
    assert not first.trials["config.x"].equals(other.trials["config.x"])


def flat(config: dict, data: object) -> None:
    tune.report({"loss": 0.5})


def test_a_search_is_stopped_when_done_and_stays_so(profile) -> None:
    job = replace(JOB, trainable=flat, num_samples=40, max_epochs=1, stop_when_done=True)
    result = quiet_run(job, profile)
    again = quiet_run(job, profile, resume=True)

    for ended in (result, again):
        assert len(ended.trials) == 30
        assert ended.exit_code == 0
        reason = "20 more trials: no improvement expected: stop here"
        assert ended.summary.ended_because == reason
        assert f"the search ended early: {reason}" in lines(ended, short=True)
    assert len(quiet_run(job, profile, extend=2).trials) == 42  # whatever the outlook


def bowl(config: dict, data: object) -> None:
    _report(1, {"loss": sum((config[name] - 0.3) ** 2 for name in "xyz")})


@pytest.mark.parametrize(
    ("trainable", "stops"), [(bowl, True), (flat, False)], ids=["improves", "not asked for"]
)
def test_a_search_that_still_improves_or_is_not_asked_to_does_not_stop(
    profile, trainable, stops
) -> None:
    space = {name: tune.uniform(0, 1) for name in "xyz"}
    job = replace(JOB, trainable=trainable, space=space, num_samples=35, max_epochs=1)
    job = replace(job, stop_when_done=stops, searcher=RandomSearch())

    result = quiet_run(job, profile)

    assert len(result.trials) == 35
    assert result.summary.ended_because is None


def test_a_grid_runs_each_point_once(profile) -> None:
    space = as_grid({"x": tune.choice([0.1, 0.2, 0.3]), "y": tune.choice([1, 2])})
    result = quiet_run(replace(JOB, space=space, num_samples=1), profile)
    points = set(zip(result.trials["config.x"], result.trials["config.y"], strict=True))
    assert len(points) == len(result.trials) == 6


def test_the_best_is_over_all_epochs_and_not_the_last(profile) -> None:
    result = quiet_run(replace(JOB, trainable=best_in_the_middle, max_epochs=3), profile)
    assert result.best_value == result.trials["value"].min()
    assert (result.trials["best_epoch"] == 2).all()
    assert (result.epochs["steps"] == 3).all()  # numpy's numbers are numbers
    assert result.best_config["x"] == result.trials["config.x"].min()


def test_the_history_is_complete_and_the_summary_comes_last(profile) -> None:
    result = quiet_run(JOB, profile)

    assert result.epochs.columns.tolist()[:3] == ["trial", "replica", "epoch"]
    assert len(result.epochs) == 8 * 9
    assert result.summary.outcome == "complete"
    assert result.summary.best.value == result.best_value
    assert result.summary.best_of_search == result.best_of_search.value
    assert result.description.versions["ray"]
    again = open_experiment(result.folder.uri)
    assert again.best_config == result.best_config
    names = result.folder.names()
    assert {"experiment.json", "summary.json", "trials.parquet", "epochs.parquet"} <= set(names)
    assert json.loads(result.folder.read("best_config.json")) == result.best_config


def test_workers_are_reused_and_models_are_seeded_alike(profile) -> None:
    result = quiet_run(JOB, profile)
    assert result.epochs["seed"].nunique() == 1
    assert result.epochs["seed"].iloc[0] != JOB.seed


def test_a_failing_trial_is_recorded_with_its_error_and_shown(profile) -> None:
    result = quiet_run(replace(JOB, trainable=failing_above_half, max_epochs=1), profile)

    failed = result.trials[result.trials["state"] == "failed"]
    assert 0 < len(failed) < 8
    assert (failed["config.x"] > 0.5).all()
    assert failed["error"].str.contains("above 0.5").all()
    assert result.exit_code == 3
    assert result.best_config["x"] <= 0.5
    assert any("ValueError: x is" in line for line in lines(result, short=True))


def test_a_run_in_which_every_trial_failed_is_no_success(profile) -> None:
    result = quiet_run(replace(JOB, trainable=failing), profile)

    assert result.exit_code == 5
    assert result.summary.trials == {"failed": 3}  # of 8: it is a bug
    told = lines(result, short=True)
    assert "failed (configuration): 3 x RuntimeError: always (trial 1, 2, 3)" in told
    assert any('raise RuntimeError("always")' in line for line in told)
    with pytest.raises(JobError, match=r"no trial of .* has a value of loss"):
        _ = result.best_config


def test_values_that_are_not_finite_leave_nothing_usable(profile) -> None:
    result = quiet_run(replace(JOB, trainable=reporting_nan, num_samples=2), profile)
    assert result.exit_code == 4
    json.loads(json.dumps(as_dict(result, short=False), allow_nan=False))


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        (misnaming, "metric 'loss' was never reported. The trainable reported: accuracy, los."),
        (reporting_none, "metric 'loss' must be reported as a number, got None"),
        (reporting_text, "metric 'loss' must be reported as a number, got '0.5'"),
    ],
)
@pytest.mark.parametrize("scheduler", [None, ASHA()], ids=["none", "asha"])
def test_a_metric_that_is_not_reported_ends_the_run_at_once(
    profile, trainable, message, scheduler
) -> None:
    with pytest.raises(JobError) as caught:
        quiet_run(replace(JOB, trainable=trainable, scheduler=scheduler), profile)

    assert str(caught.value) == message
    assert open_experiment(profile.storage + "/test").exit_code == 2


@pytest.mark.parametrize("scheduler", [None, ASHA()], ids=["none", "asha"])
def test_an_array_of_one_number_is_a_number(profile, scheduler) -> None:
    result = quiet_run(
        replace(JOB, trainable=reporting_arrays, scheduler=scheduler, max_epochs=2), profile
    )

    assert result.exit_code == 0
    assert result.best_value == result.best_config["x"] / 2
    assert set(result.epochs["steps"]) == {3}


def test_arrays_of_ones_own_reach_every_trial_and_the_finals(profile) -> None:
    x, y = {"a": np.ones((4, 1)), "b": np.zeros(4)}, np.ones(4)
    job = replace(
        JOB,
        trainable=learning_from_arrays,
        data=lambda _: (x, y, x, y),
        max_epochs=1,
        num_samples=3,
        finalists=Finalists(count=2, scores=2),
    )
    result = quiet_run(job, profile)

    assert result.exit_code == 0
    assert result.verdict.mean == pytest.approx(1 - result.best_config["x"])
    assert not result.summary.test
    assert result.description.fingerprint
    changed = replace(job, data=lambda _: (x, y + 1, x, y))
    with pytest.raises(JobError, match=r"compared with earlier ones: the data changed; "):
        quiet_run(changed, profile, extend=1)


def test_the_deadline_ends_the_run(profile) -> None:
    job = replace(JOB, trainable=endless, num_samples=1, max_epochs=10**6)
    result = quiet_run(job, profile, max_hours=10 / 3600)

    assert result.exit_code == 6
    assert set(result.trials["state"]) <= {"unfinished"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_keeps_what_there_is(profile, number) -> None:
    def interrupt(record: Event | None) -> None:
        if isinstance(record, Epoch) and record.epoch == 3:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    job = replace(JOB, num_samples=1, max_epochs=10**6)
    result = run(job, profile=profile, name="test", listeners=[interrupt])

    assert result.exit_code == 7
    # The checkpoint of the last message counts: it was written before the message was sent.
    assert result.folder.exists(result.best_checkpoint())
    assert result.trials["state"].tolist() == ["unfinished"]
    assert len(result.epochs) >= 3
    assert result.summary.best.config == result.best_config
    assert signal.getsignal(number) is before


def test_a_name_that_exists_already_is_refused(profile) -> None:
    quiet_run(replace(JOB, num_samples=1, max_epochs=1), profile)
    with pytest.raises(JobError, match="experiment 'test' already exists"):
        quiet_run(JOB, profile)


def test_resume_without_a_name_is_refused(profile) -> None:
    with pytest.raises(JobError, match="resume needs the name of the experiment"):
        run(JOB, profile=profile, resume=True, listeners=[])


def test_storage_that_cannot_be_written_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match="cannot write to"):
        quiet_run(JOB, Profile(storage=str(tmp_path / "file")))


def test_more_cpus_than_there_are_is_an_error_and_no_endless_wait(profile) -> None:
    with pytest.raises(JobError, match="no trial could start"):
        quiet_run(JOB, replace(profile, cpus_per_trial=1000))


def test_trials_share_the_arrays_and_never_see_the_test_part(profile) -> None:
    data = table("breast_cancer", target="malignant")
    result = quiet_run(replace(JOB, trainable=looking, data=data, num_samples=4), profile)

    assert (result.epochs["writeable"] == 0).all()  # mapped from the object store, not copied
    assert (result.epochs["rows"] == 341 + 114).all()
    assert (result.epochs["has_test"] == 0).all()


def looking(config: dict, data: object) -> None:
    tune.report(
        {
            "loss": config["x"],
            "writeable": int(data.x_train.flags.writeable),
            "rows": len(data.x_train) + len(data.x_validation),
            "has_test": int(any("test" in name for name in dir(data))),
        }
    )


def test_a_listener_hears_of_every_record(profile) -> None:
    heard = []
    run(JOB, profile=profile, name="heard", listeners=[heard.append])
    kinds = [record.kind for record in heard if record]
    assert kinds.count("trial") == kinds.count("end") == 8
    assert kinds.count("epoch") == kinds.count("progress") == 72
    assert kinds[-1] == "finish"


def test_a_trial_whose_worker_is_killed_resumes_after_its_last_epoch(profile, tmp_path) -> None:
    flag = str(tmp_path / "crashed")
    job = replace(JOB, trainable=_die_once, space={"x": 0.5, "flag": flag}, num_samples=1)

    result = quiet_run(job, profile)

    assert result.exit_code == 0
    assert result.epochs["epoch"].tolist() == list(range(1, 10))


def _die_once(config: dict, data: object) -> None:
    import pathlib

    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            start = int((pathlib.Path(folder) / "epoch").read_text())
    for epoch in range(start + 1, config["max_epochs"] + 1):
        if epoch == 5 and not pathlib.Path(config["flag"]).exists():
            pathlib.Path(config["flag"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        _report(epoch, {"loss": 1 / epoch})


def test_job_and_profile_make_a_plain_tuner(profile) -> None:
    tuner = JOB.tuner(profile, "plain")

    assert isinstance(tuner, tune.Tuner)
    grid = tuner.fit()
    assert len(grid) == 8
    assert len(open_experiment(profile.storage + "/plain").trials) == 8
    with pytest.raises(JobError, match="experiment 'plain' already exists"):
        JOB.tuner(profile, "plain")


def test_a_tuner_of_ones_own_gets_a_history_too(profile, tmp_path) -> None:
    def tuner(profile: Profile, name: str) -> tune.Tuner:
        return tune.Tuner(
            tune.with_parameters(_own, extra=1),
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=3),
            run_config=tune.RunConfig(name=name, storage_path=str(tmp_path / "ray"), verbose=0),
        )

    result = quiet_run(tuner, profile)

    assert result.exit_code == 0
    assert result.trials["state"].tolist() == ["complete"] * 3
    assert result.best_value == result.trials["value"].min()


def _own(config: dict, extra: int) -> None:
    tune.report({"loss": config["x"] * extra})


def test_population_based_training_runs_in_a_tuner_of_ones_own(profile, tmp_path, caplog) -> None:
    def tuner(profile: Profile, name: str) -> tune.Tuner:
        population = PopulationBasedTraining(
            time_attr="training_iteration",
            perturbation_interval=1,
            hyperparam_mutations={"x": tune.uniform(0, 1)},
        )
        return tune.Tuner(
            tune.with_parameters(parabola, data=None),
            param_space={"x": tune.uniform(0, 1), "max_epochs": 4, "seed": 0},
            tune_config=tune.TuneConfig(
                metric="loss",
                mode="min",
                scheduler=population,
                num_samples=4,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(name=name, storage_path=str(tmp_path / "ray"), verbose=0),
        )

    result = quiet_run(tuner, profile)

    assert result.exit_code == 0
    assert result.trials["state"].tolist() == ["complete"] * 4
    assert "PopulationBasedTraining changes configs while trials train" in caplog.text


def test_an_experiments_folder_holds_an_ordinary_ray_experiment(profile) -> None:
    result = quiet_run(JOB, profile)
    restored = tune.Tuner.restore(result.folder.uri + "/trials", trainable=fit_trial)
    assert len(restored.get_results()) == 8
