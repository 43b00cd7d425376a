"""Experiments that go on: after an end, with more trials, more epochs, another space."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
from ray import cloudpickle, tune
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from tune_jobs.engine import (
    ASHA,
    TPE,
    Auto,
    GaussianProcess,
    Hyperband,
    Job,
    JobError,
    MedianStopping,
    Profile,
    RandomSearch,
    as_grid,
    run,
    table,
)
from tune_jobs.engine.experiments.history.records import ImportedResult, KnownConfig
from tune_jobs.engine.experiments.history.segments import read_segments
from tune_jobs.engine.resume.past import read_past
from tune_jobs.engine.storage.folder import open_folder

cloudpickle.register_pickle_by_value(sys.modules[__name__])
optuna.logging.set_verbosity(optuna.logging.ERROR)
pytestmark = pytest.mark.usefixtures("local_ray")

SPACE = {
    "x": tune.uniform(0, 1),
    "layers": tune.choice([[{"units": tune.choice([8, 16, 32])}] * n for n in (1, 2)]),
}


def train(config: dict, data: object) -> None:
    """Note every epoch that is really trained, and go on from a checkpoint."""
    import pathlib
    import tempfile

    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            start = int(pathlib.Path(folder, "epoch").read_text())
    for epoch in range(start + 1, config["max_epochs"] + 1):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "epoch").write_text(str(epoch))
            checkpoint = tune.Checkpoint.from_directory(folder)
            loss = (config["x"] - 0.3) ** 2 + 1 / epoch
            with pathlib.Path(config["log"]).open("a") as log:
                log.write(f"{config['x']!r} {epoch}\n")
            tune.report({"loss": loss, "start": start}, checkpoint=checkpoint)


@pytest.fixture
def job(tmp_path) -> Job:
    space = SPACE | {"log": str(tmp_path / "log")}
    tpe = TPE(n_initial_points=3)
    return Job(
        train, space, metric="loss", searcher=tpe, num_samples=8, max_epochs=4, finalists=None
    )


@pytest.fixture
def search(tmp_path):
    profile = Profile(storage=str(tmp_path / "results"), max_concurrent_trials=1)

    def search(job: Job, name: str = "test", **how: object):
        listeners = [how.pop("listener")] if "listener" in how else []
        return run(job, profile=profile, name=name, listeners=listeners, **how)

    return search


def trained(job: Job) -> list[str]:
    return Path(job.space["log"]).read_text().splitlines()


@pytest.mark.parametrize(
    ("searcher", "scheduler"),
    [
        (TPE(n_initial_points=3), ASHA()),
        (GaussianProcess(n_initial_points=3), ASHA()),
        (Auto(n_initial_points=3), None),
        pytest.param(RandomSearch(), MedianStopping(min_samples=2), marks=pytest.mark.slow),
        (RandomSearch(), None),
    ],
    ids=["tpe-asha", "gp-asha", "auto", "random-median", "random"],
)
def test_a_search_goes_on_as_if_it_had_never_ended(search, job, searcher, scheduler) -> None:
    job = replace(job, searcher=searcher, scheduler=scheduler)
    whole = search(job, "whole")
    once = trained(job)
    search(replace(job, num_samples=3), "parts")
    search(replace(job, num_samples=5), "parts", resume=True)
    parts = search(job, "parts", resume=True)

    told = ["trial", "state", "config", "value", "best_epoch", "epochs"]
    assert parts.trials[told].equals(whole.trials[told])
    assert trained(job) == once + once


def test_a_finished_experiment_is_reported_and_not_run_again(search, job) -> None:
    first = search(job)
    again = search(job, resume=True)

    assert again.summary == first.summary
    assert len(trained(job)) == 8 * 4


def test_extending_adds_trials(search, job) -> None:
    search(replace(job, num_samples=3))
    extended = search(replace(job, num_samples=3), extend=2)

    assert extended.trials["trial"].tolist() == [1, 2, 3, 4, 5]
    assert len(search(replace(job, num_samples=3), resume=True).trials) == 5


def test_what_is_not_there_cannot_be_extended(search, job) -> None:
    with pytest.raises(JobError, match=r"cannot extend 'test': no experiment at "):
        search(job, extend=2)


def test_with_more_epochs_the_best_go_on_from_their_checkpoints(search, job) -> None:
    few = search(replace(job, max_epochs=4, num_samples=6))
    more = search(replace(job, max_epochs=8, num_samples=6), resume=True)

    best = set(few.trials.nsmallest(2, "value")["trial"])
    assert set(more.trials[more.trials["epochs"] == 8]["trial"]) == best
    assert len(trained(job)) == 6 * 4 + 2 * 4
    assert more.epochs[more.epochs["epoch"] > 4]["start"].eq(4).all()


def test_an_edited_space_keeps_what_still_belongs_to_it(search, job, caplog) -> None:
    job = replace(job, searcher=RandomSearch())
    first = search(job)
    narrow = replace(job, space=job.space | {"x": tune.uniform(0, 0.5)}, num_samples=10)
    edited = search(narrow, resume=True)

    outside = first.trials[first.trials["config.x"] > 0.5]["trial"].tolist()
    assert len(edited.trials) == 10
    assert (edited.trials[edited.trials["trial"] > 8]["config.x"] <= 0.5).all()
    assert (
        f"{len(outside)} of 8 earlier trials do not fit the search space and are ignored ("
        in caplog.text
    )
    assert f"trial {outside[0]}: x is 0." in caplog.text


def test_a_hyperparameter_may_be_added_with_a_default(search, job, caplog) -> None:
    search(replace(job, num_samples=3))
    wider = replace(job, space=job.space | {"y": tune.uniform(0, 1)}, num_samples=5)
    search(wider, resume=True, defaults={"y": 0.5})

    assert "do not fit" not in caplog.text
    assert "the search space changed" in caplog.text
    search(replace(wider, num_samples=6), resume=True)
    assert "trial 1: y has no value" in caplog.text


def test_a_space_of_another_form_keeps_its_trials_if_the_trainable_migrates_them(
    search, job
) -> None:
    def changed(config: dict, data: object) -> None:
        train({**config, **config["net"]}, data)

    changed.migrate = lambda config: (  # type: ignore[attr-defined]
        config if "net" in config else {"net": {"x": config["x"], "depth": 2}, "log": config["log"]}
    )
    old = search(replace(job, num_samples=2, max_epochs=1)).trials["config.x"].tolist()
    space = {"net": {"x": tune.uniform(0, 1), "depth": tune.randint(1, 4)}, "log": job.space["log"]}
    other_form = replace(job, trainable=changed, space=space, num_samples=3, max_epochs=1)
    after = search(other_form, resume=True, allow_changed=True)

    assert [trial.config["net"] for trial in read_past(after, other_form).trials][:2] == [
        {"x": x, "depth": 2} for x in old
    ]
    assert read_past(after, other_form).left_out == []
    assert after.trials["state"].tolist() == ["complete"] * 3
    del changed.migrate
    assert len(read_past(after, other_form).left_out) == 2


def other(config: dict, data: object) -> None:
    train(config, data)


def test_results_that_cannot_be_compared_are_refused(search, job, caplog, tmp_path) -> None:
    csv = tmp_path / "table.csv"
    pd.DataFrame({"a": range(40), "y": [0, 1] * 20}).to_csv(csv, index=False)
    first = replace(job, num_samples=2, data=table(str(csv), target="y"))
    search(first)
    more = replace(first, num_samples=3)

    with pytest.raises(JobError, match=r"the trainable changed .*add --allow-changed"):
        search(replace(more, trainable=other), resume=True)
    with pytest.raises(JobError, match="the data changed"):
        search(
            replace(more, data=table("breast_cancer", target="malignant", test=0.3)), resume=True
        )
    with pytest.raises(JobError, match="the experiment has metric 'loss', but the job has 'start'"):
        search(replace(more, metric="start", mode="min"), resume=True)
    search(replace(more, trainable=other), resume=True, allow_changed=True)
    assert "the trainable changed" in caplog.text


def failing(config: dict, data: object) -> None:
    raise ValueError("a bug")


def test_what_failed_with_a_bug_is_tried_again_when_the_code_is_another(search, job) -> None:
    ended = search(replace(job, trainable=failing))
    assert ended.exit_code == 5

    assert not read_past(ended, job).unfinished
    assert len(read_past(ended, job, code_changed=True).unfinished) == 3
    # Nothing has a score, so there is nothing that could not be compared.
    assert search(job, resume=True).trials["state"].tolist()[3:] == ["complete"] * 5


class Forgetful(Searcher):
    """One of Ray's searchers that takes no results from elsewhere."""

    def suggest(self, trial_id: str) -> dict:
        return {"x": 0.5, "layers": 0}

    def set_search_properties(self, metric, mode, config, **spec) -> bool:
        return True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": Hyperband()}, "a search with HyperBandScheduler cannot be continued"),
        ({"searcher": lambda _: Forgetful()}, "Forgetful cannot learn from earlier trials"),
    ],
    ids=["scheduler", "searcher"],
)
def test_what_cannot_go_on_says_so_and_changes_nothing(search, job, changes, message) -> None:
    first = search(replace(job, num_samples=2))
    with pytest.raises(JobError, match=message):
        search(replace(job, num_samples=3, **changes), resume=True)

    assert search(replace(job, num_samples=2), resume=True).summary == first.summary


def test_optuna_goes_on_too(search, job) -> None:
    job = replace(job, searcher=lambda seed: OptunaSearch(seed=seed))
    search(replace(job, num_samples=4))
    assert len(search(job, resume=True).trials) == 8


def test_points_come_first_and_their_results_are_learnt_from(search, job) -> None:
    layers = [{"units": 8}]
    points = [{**job.space, "x": x, "layers": layers} for x in (0.3, 0.9)]
    result = search(replace(job, points_to_evaluate=points, num_samples=4))

    assert result.trials["config.x"].tolist()[:2] == [0.3, 0.9]
    assert len(result.trials) == 4
    with pytest.raises(JobError, match=r"points_to_evaluate\[0\]: x is 7"):
        replace(job, points_to_evaluate=[{**points[0], "x": 7}])


def test_a_finite_space_is_tried_once_and_then_the_search_ends(search, job) -> None:
    space = {"x": tune.choice([0.1, 0.2, 0.3]), "log": job.space["log"]}
    for number, searcher in enumerate((TPE(n_initial_points=2), RandomSearch())):
        heard = []
        result = search(
            replace(job, space=space, searcher=searcher, num_samples=20),
            f"finite{number}",
            listener=heard.append,
        )
        assert sorted(result.trials["config.x"]) == [0.1, 0.2, 0.3]
        assert result.summary.ended_because == ("all 3 configurations of the space have been tried")
        assert result.exit_code == 0


def test_a_known_config_is_answered_from_the_history(search, job) -> None:
    space = {"x": tune.choice([0.1, 0.2, 0.3, 0.4]), "log": job.space["log"]}
    job = replace(job, space=space, num_samples=4, searcher=RandomSearch(), seed=3)
    result = search(job)
    records = list(read_segments(result.folder).records())

    answers = [record for record in records if isinstance(record, KnownConfig)]
    assert answers
    values = result.trials.set_index("trial")["value"]
    assert all(record.score == values[record.of] for record in answers)
    assert len(trained(job)) == 4 * 4


def test_repeats_are_trained_where_they_are_asked_for(search, job) -> None:
    grid = as_grid({"x": tune.choice([0.1, 0.2])}) | {"log": job.space["log"]}
    job = replace(job, space=grid, searcher=RandomSearch(), num_samples=3)
    assert len(search(job, "once").trials) == 2
    assert len(search(job, "repeated", allow_repeats=True).trials) == 6


@pytest.fixture
def sources(search, job, tmp_path) -> dict[str, str]:
    """The same results in every form that a search may begin with."""
    found = search(replace(job, num_samples=6, searcher=RandomSearch()), "earlier")
    flat = found.trials[[c for c in found.trials if c.startswith("config.")] + ["value"]]
    flat.to_csv(tmp_path / "results.csv", index=False)
    flat.rename(columns={"value": "loss"}).to_parquet(tmp_path / "results.parquet")
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db", study_name="s")
    for number, row in enumerate(found.trials.itertuples()):
        config = json.loads(row.config)
        params = {"x": config["x"], "log": config["log"]}
        params |= {f"layers.{n}.units": layer["units"] for n, layer in enumerate(config["layers"])}
        distributions = {
            name: optuna.distributions.CategoricalDistribution([value])
            if name == "log"
            else optuna.distributions.FloatDistribution(0, 1)
            if name == "x"
            else optuna.distributions.IntDistribution(8, 32)
            for name, value in params.items()
        }
        trial = optuna.trial.create_trial(
            params=params, distributions=distributions, value=row.value
        )
        study.add_trial(trial)
        folder = tmp_path / "keras_tuner" / f"trial_{number}"
        folder.mkdir(parents=True)
        values = {"hyperparameters": {"values": params | {"tuner/epochs": 3}}, "score": row.value}
        (folder / "trial.json").write_text(json.dumps(values))
    names = ("results.csv", "results.parquet", "study.db", "keras_tuner")
    return {"earlier": "earlier"} | {name: str(tmp_path / name) for name in names}


def test_a_search_may_know_the_results_of_another(search, job, sources, tmp_path) -> None:
    histories = []
    for number, source in enumerate(sources.values()):
        result = search(replace(job, num_samples=2), f"warm{number}", warm_start=[source])
        assert len(result.trials) == 2
        records = list(read_segments(result.folder).records())
        imported = [r for r in records if isinstance(r, ImportedResult)]
        assert len(imported) == 6
        histories.append(sorted(r.config["x"] + r.score for r in imported))
        # It is known from then on, without being said again.
        more = replace(job, num_samples=3)
        again = search(more, f"warm{number}", resume=True, warm_start=[source])
        assert len(again.trials) == 3
        records = list(read_segments(again.folder).records())
        assert sum(isinstance(record, ImportedResult) for record in records) == 6
    assert all(history == pytest.approx(histories[0]) for history in histories)


def test_results_of_another_space_are_left_out(search, job, sources, caplog) -> None:
    with pytest.raises(JobError, match="no result fits the search space of the job"):
        search(
            replace(job, space=job.space | {"y": tune.uniform(0, 1)}),
            "other",
            warm_start=[sources["results.csv"]],
        )
    assert "result 1 of" in caplog.text
    with pytest.raises(JobError, match="has metric 'loss', but the job has 'start'"):
        search(replace(job, metric="start", mode="min"), "other", warm_start=["earlier"])
    with pytest.raises(JobError, match="no experiment 'nowhere' in "):
        search(job, "other", warm_start=["nowhere"])
    pd.DataFrame({"a": [1]}).to_csv(sources["results.csv"])
    with pytest.raises(JobError, match="has no column 'loss', 'value' or 'score'; it has"):
        search(job, "other", warm_start=[sources["results.csv"]])
    assert not open_folder(sources["results.csv"]).child("x").exists()
