"""What counts as a change of a trainable's code."""

import importlib
import sys

import pytest

from tune_jobs.engine.job.changes import find_changes, fingerprint_of

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
    before = fingerprint_of(train)
    assert before is not None
    (folder / "helping_scale.py").write_text(f'"""Helps."""\n\n# Twice.\n{HELPER}')
    assert fingerprint_of(train) == before
    (folder / "helping_scale.py").write_text(HELPER.replace("2", "3"))
    assert fingerprint_of(train) != before


def test_what_has_no_source_has_no_fingerprint() -> None:
    assert fingerprint_of(len) is None


def test_changes_are_decisive_or_worth_saying() -> None:
    before = {"code": "a", "data": "table('x')", "seed": 0, "versions": {"keras": "3.1"}}
    now = {"code": "b", "data": "table('y')", "seed": 1, "versions": {"keras": "3.2"}}

    decisive, notes = find_changes(before, now)

    assert decisive == [
        "the trainable's code changed",
        "the way the data is read changed (from table('x') to table('y'))",
    ]
    assert notes == ["keras changed from 3.1 to 3.2", "seed changed from 0 to 1"]
