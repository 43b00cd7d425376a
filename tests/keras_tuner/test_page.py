"""The program of the page about KerasTuner, typed into a script."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_program_of_the_page_runs_as_a_script(tmp_path):
    page = (ROOT / "docs" / "from_keras_tuner.md").read_text(encoding="utf-8")
    (code,) = [each for each in re.findall(r"```python\n(.*?)```", page, re.S) if "search(" in each]
    script = tmp_path / "program.py"
    script.write_text(f"{code.replace('max_trials=10', 'max_trials=2')}\nprint(hp.values)\n")

    for _ in range(2):  # the second time there is nothing left to train
        ended = subprocess.run(
            [sys.executable, script.name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert "units_1" in ended.stdout
    assert (tmp_path / "untitled_project" / "report.html").exists()
    assert ended.stderr.count("complete: val_accuracy") == 0
