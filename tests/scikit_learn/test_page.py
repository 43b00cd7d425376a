"""The program of the page for those who come from scikit-learn, run as a script elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "from_scikit_learn.md"

# What is made smaller: the budget only.
SMALLER = {
    "n_iter=20": "n_iter=2",
    "n_iter=5": "n_iter=1",
    "epochs=200": "epochs=60",
    "cv=3": "cv=2",
}


def test_the_program_of_the_page_searches_and_estimates(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for large, small in SMALLER.items():
        assert large in program
        program = program.replace(large, small)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")

    ran = subprocess.run(
        [sys.executable, "program.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert ran.returncode == 0, ran.stderr
    best, nested = ran.stdout.strip().splitlines()
    assert "'hidden_layers':" in best
    score, epochs = best.split("} ")[1].split()
    assert 0.97 < float(score) <= 1
    assert 1 <= int(epochs) <= 60
    assert 0.97 < float(nested) <= 1
    assert len(list((tmp_path / "results").iterdir())) == 3
