"""Texts that a job makes up: halves of characters, control sequences, 50 MB."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from ray import cloudpickle, tune

from tune_jobs.cli.main import main
from tune_jobs.engine import Job, Profile, run
from tune_jobs.engine.experiments.experiment import open_experiment
from tune_jobs.engine.experiments.history import segments
from tune_jobs.engine.experiments.history.records import Epoch, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.storage.folder import open_folder

cloudpickle.register_pickle_by_value(sys.modules[__name__])

# Half a character, as Python reads a byte that is not UTF-8 in a name of a file.
HALF = "caf\udce9"
CATEGORIES = ["\udcff", "\udcfe", "plain"]


def train(config: dict, data: object) -> None:
    """Report a metric of a half name; raise half a character once."""
    if config["x"] == 3:
        raise ValueError(f"{HALF} {config['kind']}{'x' * 5_000_000} end")
    tune.report({"loss": config["x"] + len(config["kind"]) / 10, HALF: 1.0})


def job() -> Job:
    return Job(
        train,
        {"x": tune.grid_search([1, 2, 3, 4]), "kind": tune.choice(CATEGORIES)},
        metric="loss",
        num_samples=1,
        max_epochs=1,
        finalists=None,
    )


def invoke(*arguments: str):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_half_characters_are_written_as_their_codes_and_long_texts_cut(local_ray, tmp_path) -> None:
    profile = Profile(storage=str(tmp_path), max_concurrent_trials=1)
    result = run(job(), profile=profile, name="test", listeners=[])

    assert result.exit_code == 3
    [error] = result.trials["error"].dropna()
    assert "ValueError: caf\\udce9" in error
    assert {repr(value) for value in result.trials["config.kind"]} <= {
        "'\\\\udcff'",
        "'\\\\udcfe'",
        "'plain'",
    }
    assert "caf\\udce9" in result.epochs
    assert error.startswith("Traceback")
    assert error.endswith("x end")
    assert len(error) < 21_000
    assert result.folder.size() < 1_000_000

    longer = replace(job(), space={**job().space, "x": tune.grid_search([1, 2, 3, 4, 5])})
    result = run(longer, profile=profile, name="test", resume=True, listeners=[])

    assert len(result.trials) == 5  # the configs of the history are of the space
    place = str(tmp_path / "test")
    for command in (["show", place], ["show", place, "--json"], ["report", place]):
        assert invoke(*command).exit_code == 0
    assert invoke("compare", place, place).exit_code == 0
    assert len(invoke("show", place).output) < 5_000


def write_as_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a history as versions did that kept half characters."""
    monkeypatch.setattr(segments, "as_line", lambda record, _: json.dumps(segments.to_json(record)))
    writer = SegmentWriter(open_folder(folder))
    writer.append(TrialStart(1, {"kind": "\udcff"}))
    writer.append(Epoch(1, 0, 1, 0.1, {"loss": 1.0, HALF: 2.0}))
    writer.append(TrialEnd(1, "complete", None, None))
    writer.append(TrialStart(2, {"kind": "\N{GRINNING FACE}"}))
    writer.append(TrialEnd(2, "failed", "configuration", f"ValueError: {HALF}"))
    writer.flush()
    (folder / "experiment.json").write_text(
        json.dumps({"job": HALF, "metric": "loss", "mode": "min", "space": {HALF: ["\udcff"]}})
    )


def test_an_error_of_50_mb_is_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("job.py").write_text(
        "from tune_jobs.engine import Job\n"
        "JOB = Job(print, {'x': 1}, metric='loss', mode='y' * 50_000_000)\n"
    )
    ran = invoke("check", "job.py")

    assert ran.exit_code == 2
    assert len(ran.output) < 3_000
    assert ran.output.count("\n") == 1
    assert "must be 'min' or 'max'" in ran.output


def test_an_experiment_that_holds_half_characters_opens(tmp_path, monkeypatch) -> None:
    write_as_before(tmp_path, monkeypatch)
    found = open_experiment(str(tmp_path))

    assert list(found.trials["config.kind"]) == ["\\udcff", "\N{GRINNING FACE}"]
    assert "caf\\udce9" in found.epochs
    assert found.trials["error"][1] == "ValueError: caf\\udce9"
    for command in ("show", "report"):
        assert invoke(command, str(tmp_path)).exit_code == 0
    assert not found.problems
