"""An experiment whose files are damaged, or of a newer version, is still shown."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tune_jobs.cli.main import main
from tune_jobs.engine import Experiment, open_experiment
from tune_jobs.engine.experiments.verdict import Verdict
from tune_jobs.engine.report import write_report

FIXTURE = Path(__file__).parents[2] / "fixtures" / "experiment_0_1"
NAMES = {
    "verdict.json": "verdict",
    "summary.json": "summary",
    "retest.json": "retest",
    "experiment.json": "description",
}
DAMAGES: dict[str, Any] = {
    "emptied": b"",
    "truncated": b'{"trial": 5, "metr',
    "no object": b"[1, 2]",
    "of other types": json.dumps(
        {key: {"newer": 1} for key in ("trial", "outcome", "metric", "answer", "space")}
    ).encode(),
}


def damage(place: Path, name: str, content: bytes) -> Experiment:
    shutil.copytree(FIXTURE, place)
    (place / name).write_bytes(content)
    return open_experiment(str(place))


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_cannot_be_read_is_a_problem_and_nothing_crashes(
    tmp_path, name, content
) -> None:
    found = damage(tmp_path / "damaged", name, content)

    (problem,) = found.problems
    assert problem.startswith(f"{name} cannot be read: ")
    if name == "experiment.json":
        assert found.description.trainable == "trainables.tabular_mlp.train"  # from the history
    else:
        assert getattr(found, NAMES[name]) is None
    assert found.best_trial["trial"] == 5
    place = str(tmp_path / "damaged")
    for words in (["show", place], ["show", place, "--json"], ["ls", "--storage", str(tmp_path)]):
        ran = CliRunner().invoke(main, words, catch_exceptions=False)
        assert ran.exit_code == 0, ran.stderr
        assert ran.stdout
    write_report([found])
    assert problem.partition(":")[0] in found.folder.read("report.html").decode()


def test_what_a_newer_version_adds_is_ignored(tmp_path) -> None:
    content = json.loads((FIXTURE / "verdict.json").read_text())
    newer = {**content, "newer": {"x": 1}, "finalists": [{**content["finalists"][0], "newer": 1}]}
    found = damage(tmp_path / "newer", "verdict.json", json.dumps(newer).encode())

    assert found.problems == []
    assert found.verdict == Verdict.from_json({**content, "finalists": content["finalists"][:1]})


def test_a_run_of_no_time_is_shown_without_its_shares(tmp_path) -> None:
    content = json.loads((FIXTURE / "summary.json").read_text())
    odd = {**content, "usage": {"useful": 0.0, "workers": 0, "seconds": {}}}
    found = damage(tmp_path / "odd", "summary.json", json.dumps(odd).encode())

    ran = CliRunner().invoke(main, ["show", str(tmp_path / "odd")], catch_exceptions=False)

    assert (ran.exit_code, found.problems) == (0, [])
    assert "useful work" not in ran.stdout


def test_a_description_that_no_run_has_written_whole_is_an_error(tmp_path) -> None:
    from tune_jobs.engine import JobError

    found = damage(tmp_path / "damaged", "experiment.json", b"{}")
    shutil.rmtree(tmp_path / "damaged" / "history")

    with pytest.raises(JobError, match=r"neither experiment\.json nor the history can be read"):
        _ = found.description


def test_the_best_of_a_search_need_not_be_the_winner(tmp_path) -> None:
    content = json.loads((FIXTURE / "verdict.json").read_text())
    other = json.dumps({**content, "trial": 6}).encode()
    found = damage(tmp_path / "other", "verdict.json", other)

    assert found.best.trial == 6
    assert found.best_of_search is not None
    assert found.best_of_search.trial == 5
    assert found.best_of_search.value == found.trials["value"].min()


def test_its_representation_is_short_and_says_how_it_ended(tmp_path) -> None:
    found = damage(tmp_path / "wine", "retest.json", b"")

    assert repr(found) == (
        f"<Experiment 'wine' in {tmp_path}: complete, 8 trials, val_loss 0.3147 by trial 5>"
    )
    (tmp_path / "wine" / "summary.json").unlink()
    assert repr(open_experiment(str(tmp_path / "wine"))).endswith(": not ended>")
    assert repr(Experiment(found.folder.child("none"))).endswith(": does not exist>")


@pytest.mark.parametrize(
    ("data", "columns", "files"),
    [
        ("table('shop.csv', target='y')", [], "NEW.csv predictions.csv"),
        ("table('shop.tsv', target='y')", [], "NEW.tsv predictions.tsv"),
        ("table('shop', target='y')", [], "NEW.parquet predictions.parquet"),
        ("Images(source='digits')", None, "NEW.npz predictions.csv"),
    ],
)
def test_the_next_command_names_files_in_the_format_of_the_data(
    tmp_path, data, columns, files
) -> None:
    known = json.loads((FIXTURE / "experiment.json").read_text())
    known |= {"data": data, "preprocessing": {**known["preprocessing"], "columns": columns}}
    damage(tmp_path / "shop", "experiment.json", json.dumps(known).encode())
    ran = CliRunner().invoke(main, ["show", str(tmp_path / "shop")], catch_exceptions=False)

    assert ran.stdout.rstrip().endswith(files)
