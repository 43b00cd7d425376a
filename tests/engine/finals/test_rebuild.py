"""The file that builds the winner again imports its model from where it lies."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tune_jobs.engine import open_experiment
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.finals.rebuild import code_that_rebuilds
from tune_jobs.engine.job.trust import Trusted

FIXTURE = Path(__file__).parents[2] / "fixtures" / "experiment_0_1"
MODEL = "def build(config):\n    return sorted(config)\n"


def write_code(tmp_path: Path, name: str, file: str | None) -> str:
    """The code for an experiment whose trainable lies in a module of a name and file."""
    found = open_experiment(FIXTURE)
    module = ModuleType(name)
    if file:
        module.__file__ = str(tmp_path / file)
        Path(module.__file__).parent.mkdir(exist_ok=True)
        Path(module.__file__).write_text(MODEL)
    vars(found)["description"] = replace_trainable(found, f"{name}.train")
    vars(found)["trusted"] = Trusted(module)
    return code_that_rebuilds(found)


def replace_trainable(found: Experiment, name: str):
    from dataclasses import replace

    return replace(found.description, trainable=name)


PLACES = {
    "rebuilt_a": "rebuilt_a.py",
    "__main__": "rebuilt_b.py",
    "package_c.model": "package_c/model.py",
}


@pytest.mark.parametrize(("name", "file"), PLACES.items())
def test_your_own_module_is_imported_from_any_folder(tmp_path, monkeypatch, name, file) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    built: dict = {}

    exec(write_code(tmp_path, name, file), built)

    assert built["model"] == sorted(built["CONFIG"])


def test_a_notebook_has_no_file_to_import_from(tmp_path) -> None:
    code = write_code(tmp_path, "__main__", None)

    assert "# The search ran in a notebook or a terminal: put its `build` in place" in code
    compile(code, "rebuild_best.py", "exec")
