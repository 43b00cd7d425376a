"""Runs of a schedule: a slot is searched once, and two runs of a series never work at once."""

import pathlib
import sys
import threading
import time
from dataclasses import replace

import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import Job, JobError, Profile, run, table
from tune_jobs.engine.experiments.history.records import Epoch, Event, TrialStart
from tune_jobs.engine.experiments.lease import SkippedError, TakenError, leased
from tune_jobs.engine.outcome import outcome_of_code
from tune_jobs.engine.storage.folder import open_folder

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("local_ray")
DAY = "2026-11-28"


def train(config: dict, data: object) -> None:
    with pathlib.Path(config["log"]).open("a") as log:
        log.write(f"{config['x']}\n")
    for _ in range(config["max_epochs"]):
        tune.report({"loss": config["x"]})


@pytest.fixture
def job(tmp_path) -> Job:
    space = {"x": tune.uniform(0, 1), "log": str(tmp_path / "log")}
    return Job(train, space, metric="loss", num_samples=2, max_epochs=1, finalists=None)


@pytest.fixture
def profile(tmp_path) -> Profile:
    return Profile(storage=str(tmp_path / "results"), max_concurrent_trials=1)


def night(job: Job, profile: Profile, slot: str = DAY, **options):
    options = {"name": "nightly-{slot}", "listeners": [], **options}
    return run(job, profile=profile, slot=slot, **options)


def trained(job: Job) -> int:
    return len(pathlib.Path(job.space["log"]).read_text().splitlines())


def test_a_second_start_in_a_slot_reports_the_first(job, profile) -> None:
    first = night(job, profile)
    pathlib.Path(job.space["log"]).unlink()
    second = night(job, profile)

    assert first.name == f"nightly-{DAY}"
    assert first.description.slot.slot == DAY
    assert second.summary == first.summary
    assert not pathlib.Path(job.space["log"]).exists()


def test_the_next_slot_is_another_run(job, profile) -> None:
    names = [night(job, profile, f"2026-11-{day}").name for day in (28, 29)]

    assert names == ["nightly-2026-11-28", "nightly-2026-11-29"]
    assert trained(job) == 4


def test_a_job_that_asks_for_more_goes_on_in_its_slot(job, profile) -> None:
    night(job, profile)
    more = night(replace(job, num_samples=3), profile)

    assert len(more.trials) == 3
    assert trained(job) == 3


def test_a_job_with_another_trainable_is_refused_in_a_slot_and_may_have_one_by_its_hash(
    job, profile
) -> None:
    def other(config: dict, data: object) -> None:
        tune.report({"loss": 0.0})

    first = night(job, profile, name="{slot}-{hash}")
    night(job, profile)
    changed = replace(job, trainable=other)

    with pytest.raises(JobError, match="the trainable changed"):
        night(changed, profile)
    assert night(changed, profile, name="{slot}-{hash}").name != first.name


def test_what_failed_is_tried_again_in_its_slot(job, profile, tmp_path) -> None:
    broken = replace(job, metric="accuracy")
    with pytest.raises(JobError, match="was never reported"):
        night(broken, profile)
    folder = open_folder(tmp_path / "results" / f"nightly-{DAY}")
    assert folder.read_json("summary.json")["outcome"] == "configuration error"

    def mended(config: dict, data: object) -> None:
        tune.report({"accuracy": 1.0})

    assert night(replace(broken, trainable=mended), profile, allow_changed=True).exit_code == 0


@pytest.fixture
def other_night(profile):
    """Another slot's run, which is at work."""
    folder = open_folder(profile.storage).child(".series").child("nightly-SLOT")
    with leased(folder) as lease:
        lease.facts = {"writes": "results/nightly-2026-11-27"}
        lease._write()
        yield lease


def test_a_run_fails_while_another_slot_is_searched(job, profile, other_night) -> None:
    with pytest.raises(TakenError, match="nightly-2026-11-27 is in use by") as refused:
        night(job, profile)

    assert outcome_of_code(refused.value.exit_code) == "lease held"
    assert not pathlib.Path(job.space["log"]).exists()


def test_a_run_does_nothing_while_another_slot_is_searched(job, profile, other_night) -> None:
    with pytest.raises(SkippedError) as skipped:
        night(job, profile, on_overlap="skip")

    assert skipped.value.exit_code == 0
    assert not open_folder(profile.storage).child(f"nightly-{DAY}").exists()


def test_a_run_waits_until_another_slot_has_been_searched(
    job, profile, other_night, caplog
) -> None:
    timer = threading.Timer(2, other_night.release)
    timer.start()
    began = time.monotonic()
    found = night(job, profile, on_overlap="wait")

    assert found.exit_code == 0
    assert time.monotonic() - began > 2
    assert "waiting: " in caplog.text
    assert "nightly-2026-11-27 is in use" in caplog.text


def test_a_run_waits_no_longer_than_it_may_take(job, profile, other_night) -> None:
    with pytest.raises(TakenError):
        night(job, profile, on_overlap="wait", max_hours=1 / 3600)


def test_a_run_ends_whose_series_was_taken_over(job, profile) -> None:
    series = pathlib.Path(profile.storage) / ".series" / "nightly-SLOT" / "lease"

    def take_over(record: Event | None) -> None:
        if isinstance(record, TrialStart) and record.trial == 1:
            for claim in series.iterdir():
                claim.unlink()

    def slow(config: dict, data: object) -> None:
        for _ in range(600):
            time.sleep(0.1)
            tune.report({"loss": 0.0})

    with pytest.raises(TakenError, match=r"nightly-SLOT was taken over by another run") as caught:
        night(replace(job, trainable=slow, max_epochs=600), profile, listeners=[take_over])

    assert caught.value.exit_code == 10


def test_a_run_without_a_slot_guards_its_experiment_only(job, profile, other_night) -> None:
    assert run(job, profile=profile, name="by-hand", listeners=[]).exit_code == 0


def test_what_no_run_may_be_asked_is_refused(job, profile) -> None:
    with pytest.raises(JobError, match="on_overlap must be one of fail, skip, wait, got 'queue'"):
        night(job, profile, on_overlap="queue")
    with pytest.raises(JobError, match="--extend does not go with --slot"):
        night(job, profile, extend=1)
    with pytest.raises(JobError, match="builds its own tuner"):
        night(lambda *_: None, profile)


def test_a_summary_says_when_and_what_it_took(job, profile) -> None:
    first = night(job, profile).summary
    second = night(replace(job, num_samples=4), profile).summary

    assert first.began < first.ended <= second.began
    assert first.workers == 1
    assert first.worker_seconds == pytest.approx(first.seconds)
    both = first.seconds + second.seconds
    assert second.worker_seconds == pytest.approx(both)
    assert second.metric == "loss"


def test_an_unforeseen_error_leaves_a_summary(job, profile, tmp_path) -> None:
    def stumble(record: Event | None) -> None:
        if isinstance(record, Epoch):
            raise ZeroDivisionError("a view that is broken")

    with pytest.raises(Exception, match="a view that is broken"):
        night(job, profile, listeners=[stumble])

    summary = open_folder(tmp_path / "results" / f"nightly-{DAY}").read_json("summary.json")
    assert summary["outcome"] == "unexpected error"
    assert "a view that is broken" in summary["error"]


def test_a_winner_that_cannot_be_trained_in_time_is_left_for_the_next_run(
    profile, tmp_path, monkeypatch
) -> None:
    from tune_jobs.engine.runs import finish, phases

    module = tmp_path / "slow_to_refit.py"
    module.write_text(SLOW_TO_REFIT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(finish, "EXPORT_SECONDS", 1.0)
    monkeypatch.setattr(phases, "SEARCH_SHARE", 1.0)
    import slow_to_refit

    cloudpickle.register_pickle_by_value(slow_to_refit)
    gate = tmp_path / "gate"
    job = Job(
        slow_to_refit.train,
        {"x": tune.uniform(0, 1), "gate": str(gate)},
        data=table("breast_cancer", target="malignant"),
        num_samples=2,
        max_epochs=1,
    )
    late = night(job, profile, max_hours=15 / 3600)
    assert late.summary.outcome == "budget used"
    assert late.summary.no_model == "the time ran out before the model was made"
    assert late.verdict.trial in (1, 2)

    gate.touch()
    ended = night(job, profile)
    assert ended.summary.outcome == "complete"
    assert ended.folder.read("best.keras") == b"a model"
    assert ended.verdict.mean == late.verdict.mean


SLOW_TO_REFIT = '''
"""A trainable whose training on all rows takes for ever, until a file is there."""
import pathlib
import time

import numpy as np
from ray import tune


class Model:
    compute_dtype = "float32"

    def predict(self, inputs, verbose=0):
        return np.full((len(inputs), 1), 0.5)


def build(config): ...


def train(config, data):
    while "epochs" in config and not pathlib.Path(config["gate"]).exists():
        time.sleep(0.1)
    if "epochs" not in config:
        tune.report({"val_loss": config["x"]})
    return Model()


def export(build, config, checkpoint, preprocessing, path):
    pathlib.Path(path).write_bytes(b"a model")


def load(path):
    return Model()


def predict(model, inputs):
    return np.full((len(next(iter(inputs.values()))), 1), 0.5)
'''
