"""Measure where each second of the start-up goes, from the command to the first training step.

    python -m benchmarks.startup --repetitions 3

A search of two trials on the breast cancer table, each time in a separate process with a warm page
cache. The times are those of the first trial.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from benchmarks import report
from benchmarks.contest import ROOT, environment

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.history.records import Event, Work

STEPS = {
    "imports": "Python, ray.tune and the job's module",
    "ray": "Ray's processes, and the data read meanwhile",
    "worker": "a worker imports ray.tune and takes the trial",
    "starting": "Keras and TensorFlow, imported since the worker started",
    "building": "the first model",
    "compiling": "the first program",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(search(options.one)))
        return
    run_apart()
    frame = pd.DataFrame([run_apart() for _ in range(options.repetitions)])
    medians = frame.median()
    rows = [[text, f"{medians[step]:.1f}"] for step, text in STEPS.items()]
    rows.append(["together, until the first training step", f"{medians[[*STEPS]].sum():.1f}"])
    report.show("seconds to the first training step", ["step", "s"], rows)
    report.state()


def run_apart() -> dict[str, float]:
    """Measure one start in a separate process."""
    command = [sys.executable, "-m", "benchmarks.startup", "--one", str(time.time())]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment()
    )
    return json.loads(ran.stdout.splitlines()[-1])


def search(started: float) -> dict[str, float]:
    """Run the search in this process and return when each step was reached."""
    from tune_jobs.engine import Profile, run
    from tune_jobs.engine.experiments.history.records import SearchStart, Work
    from tune_jobs.engine.job.modules import find_job

    job = replace(find_job("breast_cancer_tpe").job, num_samples=2, max_epochs=2)
    moments: dict[str, float] = {}
    work: list[Work] = []

    def listen(event: Event | None) -> None:
        if isinstance(event, SearchStart):
            moments["ready"] = time.time()
        if isinstance(event, Work):
            work.append(event)

    called = time.time()
    with tempfile.TemporaryDirectory() as folder:
        run(job, profile=Profile(storage=folder), listeners=[listen])
    first = min(work, key=lambda each: each.began)
    spent = {step: first.spent.get(step, 0.0) for step in ("starting", "building", "compiling")}
    return {
        "imports": called - started,
        "ray": moments["ready"] - called,
        "worker": first.began - moments["ready"],
        **spent,
    }


if __name__ == "__main__":
    main()
