"""Run one contender in a separate process, measured from outside."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import Usage, measure
from benchmarks.task import make_task

ROOT = Path(__file__).parents[1]
DEADLINE = 3 * 3600.0  # seconds
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True)
class Run:
    """The result of a contender, its cost, and the epochs that it noted."""

    usage: Usage
    found: dict[str, Any]
    epochs: list[dict[str, float]]


def contend(kind: str, contender: str, *what: Any, **how: Any) -> Run:
    """Give a new task to a contender.

    Raises:
        RuntimeError: if it failed or ran for hours; the message ends with its output.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        task = make_task(Path(folder), *what, **how)
        output = Path(task.folder, "output.txt")
        command = [sys.executable, "-m", "benchmarks.contenders", kind, contender, task.folder]
        usage = measure(command, env=environment(), output=output, deadline=DEADLINE)
        said = output.read_text(encoding="utf-8", errors="replace")
        found = _last_line(said, contender)
        if usage.exit_code or usage.killed or not found:
            raise RuntimeError(f"{contender} ended with code {usage.exit_code}:\n{said[-3000:]}")
        return Run(usage, found, _read_log(task.log))


def warm_up() -> None:
    """Compile the packages to bytecode and bring them into the page cache, for all contenders."""
    names = "tensorflow, keras, keras_tuner, optuna, sklearn.model_selection, ray.tune, hyperopt"
    with tempfile.NamedTemporaryFile() as output:
        command = [sys.executable, "-c", f"import {names}"]
        measure(command, env=environment(), output=Path(output.name), deadline=DEADLINE)


def environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(paths)}
    # Without bytecode on disk every process compiles TensorFlow anew, and many processes suffer.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def _last_line(said: str, contender: str) -> dict[str, Any]:
    """Return the contender's line of JSON, which late output of a daemon may follow."""
    start = f'{{"contender": "{contender}"'
    lines = [line for line in said.splitlines() if line.startswith(start)]
    return json.loads(lines[-1]) if lines else {}


def _read_log(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
