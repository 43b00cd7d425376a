"""What counts as a change of a trainable's code."""

import importlib
import inspect
import shutil
import sys
from pathlib import Path

import pytest

import trainables
from tune_jobs.engine.job.changes import differing, find_changes, source_of
from tune_jobs.engine.job.description import Description

TRAINABLE = "from {helper} import scale\n\n\ndef train(config, data):\n    return scale(1)\n"
HELPER = "def scale(x):\n    return 2 * x\n"


@pytest.fixture(params=["file", "package"])
def code(request, tmp_path, monkeypatch):
    """A trainable and its helper: two files in a folder, or two modules of a package."""
    folder, prefix = tmp_path, ""
    if request.param == "package":
        folder, prefix = tmp_path / "mine", "mine."
        folder.mkdir()
        (folder / "__init__.py").touch()
    (folder / "helping_scale.py").write_text(HELPER)
    (folder / "trained_here.py").write_text(TRAINABLE.format(helper=f"{prefix}helping_scale"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder, f"{prefix}trained_here"
    for name in [n for n in sys.modules if n.startswith(("mine", "trained_here", "helping_scale"))]:
        del sys.modules[name]


def test_a_helper_belongs_to_the_code_and_a_comment_does_not(code) -> None:
    folder, name = code
    train = importlib.import_module(name).train
    before = source_of(train)
    assert before is not None
    (folder / "helping_scale.py").write_text(f'"""Helps."""\n\n# Twice.\n{HELPER}')
    assert source_of(train) == before
    (folder / "helping_scale.py").write_text(HELPER.replace("2", "3"))
    assert source_of(train) != before


def test_what_has_no_source_has_no_hash() -> None:
    assert source_of(len) is None


def test_an_upgrade_of_the_fitting_code_leaves_the_source_as_it_is(tmp_path, monkeypatch) -> None:
    """A copy of ``trainables``: the library's part of it is edited, then the user's."""
    copy = shutil.copytree(Path(trainables.__path__[0]), tmp_path / "trainables")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "trainables"]:
        monkeypatch.delitem(sys.modules, name)
    train = importlib.import_module("trainables.tabular_mlp").train
    assert Path(inspect.getsourcefile(train)).is_relative_to(tmp_path)
    before = source_of(train)

    edit(copy / "fitting" / "fit.py")
    assert source_of(train) == before
    edit(copy / "layers.py")
    assert source_of(train) != before


def edit(file: Path) -> None:
    file.write_text(file.read_text() + "\n\nADDED = 1\n")


def describe(**facts) -> Description:
    return Description.from_json({"metric": "loss", "mode": "min", **facts})


def test_changes_are_decisive_or_worth_a_note() -> None:
    before = describe(source="a", data="table('x')", seed=0, versions={"keras": "3.1"})
    now = describe(source="b", data="table('y')", seed=1, versions={"keras": "3.2"})

    changes = find_changes(before, now)

    assert changes.decisive == [
        "the trainable's code changed",
        "the way the data is read changed (from table('x') to table('y'))",
    ]
    assert changes.notes == ["keras changed from 3.1 to 3.2", "seed changed from 0 to 1"]


def test_a_function_is_the_same_wherever_it_lies_in_memory() -> None:
    before = describe(data="<function sequences at 0x7f51f74804a0>", scheduler="<f at 0x1>")
    now = describe(data="<function sequences at 0x7f51f7480999>", scheduler="<f at 0x2>")

    assert find_changes(before, now).decisive == []
    assert find_changes(before, now).notes == []
    other = describe(data="<function tables at 0x7f51f74804a0>")
    assert differing(before, other) == ["data"]


def test_code_of_the_version_that_hashed_the_library_too_is_not_compared() -> None:
    before = describe(code="a", versions={"tune-jobs": "0.1.0"})
    now = describe(source="b", versions={"tune-jobs": "0.1.0"})

    changes = find_changes(before, now)

    assert changes.decisive == []
    assert changes.notes == ["the trainable's code cannot be compared with that of tune-jobs 0.1.0"]
    assert differing(before, now) == []
