"""Files of another experiment are noticed: what a copy holds is read there, and a line says so."""

import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from ray import cloudpickle

from tests.faults import arithmetic
from tune_jobs.cli.main import main
from tune_jobs.engine import Experiment, JobError, Profile, open_experiment, run
from tune_jobs.engine.experiments.history.packing import pack, unpack
from tune_jobs.engine.experiments.history.records import Event, Finish
from tune_jobs.engine.experiments.model_file import mark_model

cloudpickle.register_pickle_by_value(sys.modules[__name__])
FIXTURES = Path(__file__).parents[1] / "fixtures"


JOB = replace(arithmetic.JOB, num_samples=3)
# What each file says of itself if it is of another experiment.
LINES = {
    "experiment.json": "experiment.json is of another experiment; ignored",
    "summary.json": "summary.json is of another experiment; ignored",
    "verdict.json": "verdict.json is of another experiment; ignored",
    "trials.parquet": "trials.parquet is of another experiment; the history is read instead",
    "epochs.parquet": "epochs.parquet is of another experiment; the history is read instead",
    "best_config.json": "best_config.json is not the file that the run wrote",
    "history": "history is of another experiment; ignored",
    "finalists": "finalists is of another experiment; ignored",
}


@pytest.fixture(scope="module")
def made(local_ray, tmp_path_factory) -> Path:
    """Two experiments that have ended, and what the first one's driver leaves if it dies early."""
    place = tmp_path_factory.mktemp("results")

    def keep(event: Event | None) -> None:
        if isinstance(event, Finish) and not (place / "died").exists():
            shutil.copytree(place / "mine", place / "died")

    profile = Profile(storage=str(place), max_concurrent_trials=1)
    run(JOB, profile=profile, name="mine", listeners=[keep])
    run(replace(JOB, seed=7), profile=profile, name="other", listeners=[])
    mine, other = (open_experiment(str(place / name)) for name in ("mine", "other"))
    assert mine.problems == other.problems == []
    assert told(mine) != told(other)
    return place


@pytest.fixture
def mine(made, tmp_path) -> Path:
    return Path(shutil.copytree(made / "mine", tmp_path / "mine"))


def replace_by(foreign: Path, own: Path, name: str) -> None:
    """Copy a file or a folder of another experiment over an experiment's own."""
    if (foreign / name).is_dir():
        shutil.rmtree(own / name)
        shutil.copytree(foreign / name, own / name)
    else:
        shutil.copy(foreign / name, own / name)


def told(experiment: Experiment) -> list[dict]:
    return experiment.trials.drop(columns=["started", "ended"]).astype(str).to_dict("records")


def shown(place: Path) -> list[str]:
    ran = CliRunner().invoke(main, ["show", str(place)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.stdout.splitlines()


@pytest.mark.parametrize("name", LINES)
def test_a_foreign_file_is_not_used_and_a_line_says_so(made, mine, name) -> None:
    before, other = (open_experiment(str(made / each)) for each in ("mine", "other"))
    replace_by(made / "other", mine, name)

    found = open_experiment(str(mine))

    if name == "history":  # the tables hold all of it
        line = next(each for each in found.problems if each.startswith("history/"))
        assert line.endswith("is of another experiment, and so is its copy; ignored")
    else:
        assert found.problems == [LINES[name]]
        line = LINES[name]
    assert f"damaged: {line}" in shown(mine)
    assert found.identity == before.identity != other.identity
    assert told(found) == told(before)
    assert found.description.experiment_id == before.identity.id
    assert found.summary == (None if name == "summary.json" else before.summary)
    assert found.verdict == (None if name == "verdict.json" else before.verdict)


@pytest.mark.parametrize("state", ["mine", "died"])
@pytest.mark.parametrize("place", ["history", "history/mirror"])
def test_a_foreign_segment_is_not_preferred_to_the_own_copy(made, tmp_path, state, place) -> None:
    own = Path(shutil.copytree(made / state, tmp_path / "own"))
    for table in own.glob("*.parquet"):
        table.unlink()
    before = open_experiment(str(made / state))
    source = next((made / "other" / "history").glob("*.jsonl*"))
    if state == "died":  # of which there are small segments yet
        head, lines = unpack(source.read_bytes(), is_compressed=True)
        source = tmp_path / "small.jsonl"
        source.write_bytes(pack(lines, head.ends, head.experiment_id))
    target = min(path for path in (own / place).iterdir() if path.is_file())
    assert target.suffix == source.suffix
    shutil.copy(source, target)

    found = open_experiment(str(own))

    assert told(found) == told(before)
    expected = [f"history/{target.name} is of another experiment; its copy is used"]
    assert found.problems == (expected if place == "history" else [])


def test_a_segment_of_another_experiment_beside_the_own_ones_is_ignored_and_kept(
    made, tmp_path
) -> None:
    own = Path(shutil.copytree(made / "died", tmp_path / "died"))
    source = next((made / "other" / "history").glob("*.jsonl.gz"))
    target = own / "history" / source.name.replace("0001-", "0007-")
    shutil.copy(source, target)
    before = open_experiment(str(made / "died"))
    both = "is of another experiment, and its copy is damaged or missing; ignored"
    assert open_experiment(str(own)).problems == [f"history/{target.name} {both}"]
    assert told(open_experiment(str(own))) == told(before)

    profile = Profile(storage=str(tmp_path), max_concurrent_trials=1)
    found = run(JOB, profile=profile, name="died", resume=True, listeners=[])

    assert target.read_bytes() == source.read_bytes()
    assert found.problems == []  # the history is whole without it
    assert told(found)[:2] == told(open_experiment(str(made / "mine")))[:2]


def test_an_experiment_may_be_renamed_or_copied_as_a_whole(made, mine) -> None:
    before = open_experiment(str(made / "mine"))
    renamed = mine.rename(mine.with_name("renamed"))
    copied = shutil.copytree(renamed, renamed.with_name("copied"))

    for place in (renamed, copied):
        found = open_experiment(str(place))
        assert found.problems == []
        assert found.identity == before.identity
        assert found.summary == before.summary
        assert told(found) == told(before)


def test_a_file_without_an_id_is_foreign_where_all_have_one(mine) -> None:
    shutil.copy(FIXTURES / "experiment_0_1" / "verdict.json", mine)
    found = open_experiment(str(mine))

    assert found.problems == [LINES["verdict.json"]]
    assert found.verdict is None


def test_an_experiment_of_the_last_version_takes_no_file_with_an_id(made, tmp_path) -> None:
    old = Path(shutil.copytree(FIXTURES / "experiment_0_1", tmp_path / "old"))
    assert open_experiment(str(old)).problems == []
    shutil.copy(made / "other" / "verdict.json", old)
    found = open_experiment(str(old))

    assert found.problems == [LINES["verdict.json"]]
    assert found.verdict is None
    assert len(found.trials) == 8


def test_the_model_of_another_experiment_is_not_used(made, mine) -> None:
    shutil.copy(FIXTURES / "experiment_0_1" / "best.keras", mine)
    experiment = open_experiment(str(mine))
    assert experiment.summary is not None
    checksum = experiment.folder.checksum("best.keras")
    experiment.write(
        "summary.json", replace(experiment.summary, checksums={"best.keras": checksum})
    )
    with zipfile.ZipFile(mine / "best.keras", "a") as another:
        another.comment = b"a model that is whole, too"

    ran = CliRunner().invoke(main, ["export", str(mine), str(mine / "copy.keras")])

    assert ran.exit_code == 2
    assert ran.stderr.startswith(f"error: {mine}/best.keras is not the file that the run wrote")
    assert ran.stderr.count("\n") == 1
    assert not (mine / "copy.keras").exists()
    with pytest.raises(JobError, match="is not the file that the run wrote"):
        open_experiment(str(mine)).best_model()
    assert "damaged: best.keras is not the file that the run wrote" in shown(mine)


@pytest.mark.parametrize("mark", [None, "0" * 32], ids=["without an id", "with another id"])
def test_a_model_with_another_mark_is_foreign_even_before_there_is_a_summary(mine, mark) -> None:
    (mine / "summary.json").unlink()
    content = (FIXTURES / "experiment_0_1" / "best.keras").read_bytes()
    experiment = open_experiment(str(mine))
    experiment.export("best.keras", content)
    assert experiment.problems == []
    assert experiment.read_model() != content
    assert experiment.take_checksums().keys() == {
        "best.keras",
        "best_config.json",
        "rebuild_best.py",
    }

    (mine / "best.keras").write_bytes(mark_model(content, mark))

    found = open_experiment(str(mine))
    assert found.problems == ["best.keras is of another experiment"]
    assert "best.keras" not in found.take_checksums()
    with pytest.raises(JobError, match=r"best\.keras is of another experiment; put that file"):
        found.read_model()


def test_a_list_shows_a_foreign_summary_as_damaged(made, mine) -> None:
    replace_by(made / "other", mine, "summary.json")
    ran = CliRunner().invoke(main, ["ls", "--storage", str(mine.parent)], catch_exceptions=False)
    assert ran.stdout.splitlines()[1].split()[:2] == ["mine", "damaged"]
