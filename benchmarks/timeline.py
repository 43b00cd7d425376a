"""Measure when the phases of ``make search`` begin, from the command to its end.

    python -m benchmarks.timeline --repetitions 3
    python -m benchmarks.timeline --checkouts /tmp/before . --repetitions 3

With several checkouts these take turns, so that all of them meet the same load. Each run is a
command of its own, in a folder of its own; the times are read from its history.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import process, report
from benchmarks.contest import ROOT, environment

JOB = "breast_cancer_tpe"

STEPS = {
    "began": "the run begins: Python and the job are imported",
    "first fit": "the first fit begins",
    "last trial": "the last trial of the search ends",
    "first final": "the first fit of the finals begins",
    "last final": "the last fit of the finals ends",
    "ended": "the summary is written: model, test score and report are there",
    "command": "the command ends",
    "idle": "from the last trial to the first fit of the finals",
    "ending": "from the last fit of the finals to the summary",
    "cpu": "CPU seconds of all processes",
    "trials": "trials",
    "epochs": "epochs",
    "workers": "worker processes",
    "load": "load of the machine before",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--checkouts", nargs="+", type=Path, default=[ROOT])
    parser.add_argument("--job", default=JOB)
    options = parser.parse_args()
    rows = []
    for _ in range(options.repetitions):
        for checkout in options.checkouts:
            rows.append({"checkout": str(checkout), **measure(checkout.resolve(), options.job)})
            print({name: _shown(value) for name, value in rows[-1].items()}, flush=True)
    frame = pd.DataFrame(rows)
    medians = [
        frame[frame["checkout"] == str(each)][[*STEPS]].median() for each in options.checkouts
    ]
    table = [[text, *(f"{each[step]:.1f}" for each in medians)] for step, text in STEPS.items()]
    header = ["seconds since the command", *(str(each) for each in options.checkouts)]
    report.show(f"medians of {options.repetitions} runs of {options.job}", header, table)
    report.state()


def measure(checkout: Path, job: str) -> dict[str, float]:
    """Run the command once with the code of a checkout, and return when its phases began."""
    load, env = os.getloadavg()[0], environment() | {"PYTHONPATH": str(checkout)}
    with tempfile.TemporaryDirectory(prefix="timeline-") as storage:
        line = f"cd {checkout} && exec {sys.executable} -m tune_jobs run {job} --name X"
        command, output = f"{line} --storage {storage}", Path(storage, "output.txt")
        usage = process.measure(["bash", "-c", command], env=env, output=output, deadline=3600.0)
        if usage.exit_code:
            raise RuntimeError(output.read_text())
        found = read(storage, usage.started)
    return {**found, "command": usage.wall, "cpu": usage.cpu, "load": load}


def read(storage: str, started: float) -> dict[str, float]:
    """Read from a run's history when its phases began."""
    from tune_jobs.engine.experiments.experiment import open_experiment

    experiment = open_experiment(f"{storage}/X")
    search, finals, summary = experiment.trials, experiment.finals, experiment.summary
    if finals is None or summary is None:
        raise RuntimeError(f"{storage} has no finals")
    tables: Sequence[Any] = [search, finals.trials]
    moments = {
        "began": summary.began,
        "first fit": search["began"].min(),
        "last trial": search["ended"].max(),
        "first final": finals.trials["began"].min(),
        "last final": finals.trials["ended"].max(),
        "ended": summary.ended,
    }
    return {
        **{name: float(moment or 0) - started for name, moment in moments.items()},
        "idle": moments["first final"] - moments["last trial"],
        "ending": float(summary.ended or 0) - moments["last final"],
        "trials": len(search),
        "epochs": len(experiment.epochs),
        "workers": len({worker for table in tables for worker in table["worker"].dropna()}),
    }


def _shown(value: Any) -> Any:
    return round(value, 2) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
