"""Measure how long it takes to list a thousand experiments, next to the alternatives.

    python -m benchmarks.listing --out benchmarks/figures/listing.md

The experiments are made in a temporary folder: all have the summary and the description of a real
run (17 KB), a third have a retest's answer, and a live process is writing five of them. Each
command runs in a separate process with a warm page cache. The alternatives are the import that Ray
needs before it can read results, Ray reading one minimal experiment, and Optuna listing as many
studies from a local database.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.contest import ROOT, environment

COUNT, RUNNING, TRIALS = 1000, 5, 40
DESCRIPTION_BYTES = 17_000
STATES = {"complete": 30, "stopped": 9, "failed": 1}
OUTCOMES = ("complete", "some trials failed", "budget used", "interrupted")
OPTUNA_STUDY = """
import optuna, sys
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = optuna.storages.RDBStorage(sys.argv[1])
"""
MAKE_STUDIES = f"""{OPTUNA_STUDY}
for number in range(int(sys.argv[2])):
    study = optuna.create_study(storage=storage, study_name=f"nightly-{{number:04}}")
    study.add_trial(optuna.create_trial(value=0.1))
"""
LIST_STUDIES = f"""{OPTUNA_STUDY}
for each in optuna.get_all_study_summaries(storage):
    print(each.study_name, each.n_trials, each.best_trial and each.best_trial.value)
"""
RAY_EXPERIMENT = """
import sys
import ray
from ray import tune
ray.init(address="local", include_dashboard=False, num_cpus=1, log_to_driver=False)
def train(config): tune.report({"loss": config["x"]})
run = tune.RunConfig(name="x", storage_path=sys.argv[1], verbose=0)
tune.Tuner(train, param_space={"x": tune.uniform(0, 1)}, run_config=run).fit()
"""
READ_RAY = """
import sys
from ray.tune import ExperimentAnalysis
found = ExperimentAnalysis(f"{sys.argv[1]}/x", default_metric="loss", default_mode="min")
print(found.best_result["loss"])
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--out", type=Path, metavar="MARKDOWN")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        rows = compare(Path(place), options.count, options.repetitions)
    title = f"seconds of a whole process, {options.count:,} experiments"
    report.show(title, ["command", "median", "fastest", "slowest"], rows)
    report.state()
    if options.out:
        options.out.write_text(as_markdown(rows, options.count, options.repetitions), "utf-8")


def compare(place: Path, count: int, repetitions: int) -> list[list[str]]:
    """Return one row per command: the median, the fastest and the slowest of several processes."""
    storage, one = place / "results", f"nightly-{RUNNING:04}"
    database, ray_results = f"sqlite:///{place / 'studies.db'}", str(place / "ray")
    run_python(MAKE_STUDIES, database, str(count))
    run_python(RAY_EXPERIMENT, ray_results)
    ours = [sys.executable, "-m", "tune_jobs"]
    expect = ["--expect", "nightly-*", "--within", "26h"]
    python = [sys.executable, "-c"]
    with ExitStack() as running:
        for name in make_experiments(storage, count):
            running.enter_context(claimed(storage / name))
        commands = {
            "python -c pass": [*python, "pass"],
            "tune-jobs ls": [*ours, "ls", "--storage", str(storage)],
            "tune-jobs ls --json": [*ours, "ls", "--json", "--storage", str(storage)],
            "tune-jobs ls --expect": [*ours, "ls", *expect, "--storage", str(storage)],
            "tune-jobs show, of one": [*ours, "show", str(storage / one)],
            "from ray import tune, alone": [*python, "from ray import tune"],
            "Ray's ExperimentAnalysis, of one": [*python, READ_RAY, ray_results],
            "import optuna, alone": [*python, "import optuna"],
            "Optuna, all studies in sqlite": [*python, LIST_STUDIES, database],
        }
        return [[name, *time_of(command, repetitions)] for name, command in commands.items()]


def make_experiments(storage: Path, count: int) -> Iterator[str]:
    """Make experiments, and return the names of those that shall be running."""
    for number in range(count):
        folder, ended = storage / f"nightly-{number:04}", time.time() - 3600.0 * number
        (folder / "history").mkdir(parents=True)
        write(folder / "experiment.json", describe(ended))
        if number < RUNNING:
            yield folder.name
            continue
        write(folder / "summary.json", summarise(number, ended))
        if number % 3 == 0:
            write(folder / "retest.json", {"answer": "keep", "reason": "x" * 200, "time": ended})
        if number == RUNNING:
            write_history(folder)


def describe(started: float) -> dict[str, Any]:
    """Return a description as long as that of the breast cancer table's job."""
    columns = {f"column_{n}": {"kind": "number", "mean": n / 7, "std": 1 / 3} for n in range(30)}
    about = {"metric": "val_loss", "mode": "min", "started": started, "data": columns}
    about |= {"space": {"learning_rate": "loguniform(0.0001, 0.1)"}, "max_epochs": 27, "seed": 0}
    missing = DESCRIPTION_BYTES - len(json.dumps(about, indent=2))
    return about | {"packages": "x" * max(0, missing - 20)}


def summarise(number: int, ended: float) -> dict[str, Any]:
    """Return a summary as the end of a run writes it."""
    config = {"layers": [{"units": 64, "dropout": 0.1}] * 4, "learning_rate": 0.01, "patience": 8}
    value = 0.1 + number / 10_000
    return {
        "outcome": OUTCOMES[number % len(OUTCOMES)],
        "attempt": 1,
        "workers": 2,
        "usage": {"useful": 0.5, "workers": 2, "seconds": {"training": 40.0, "waiting": 20.0}},
        "best": {"trial": 12, "epoch": 7, "value": value, "config": config},
        "test": {"accuracy": 0.97, "log_loss": 0.11},
        "metric": "val_loss",
        "mode": "min",
        "trials": STATES,
        "began": ended - 60,
        "ended": ended,
        "seconds": 60.0,
        "worker_seconds": 120.0,
        "winner": {"trial": 12, "mean": value + 0.01, "interval": [value, value + 0.02]},
    }


def write_history(folder: Path) -> None:
    """Write trials for the one experiment that is shown."""
    from tune_jobs.engine.experiments.history.records import Epoch, TrialEnd, TrialStart
    from tune_jobs.engine.experiments.history.segments import SegmentWriter
    from tune_jobs.engine.storage.folder import open_folder

    history = SegmentWriter(open_folder(folder))
    states = [state for state, count in STATES.items() for _ in range(count)]
    for number, state in enumerate(states, 1):
        history.append(TrialStart(number, {"learning_rate": number / 99}))
        for epoch in range(1, 28):
            history.append(Epoch(number, 0, epoch, 0.1, {"val_loss": 1 / epoch}))
        error = "ValueError: units is -3" if state == "failed" else None
        history.append(TrialEnd(number, state, "configuration" if error else None, error))
    history.flush()


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold an experiment in the name of a run of this process."""
    from tune_jobs.engine.experiments.lease import leased
    from tune_jobs.engine.storage.folder import open_folder

    with leased(open_folder(folder)) as lease:
        lease.facts = {"states": STATES, "best": 0.1}
        yield


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def run_python(code: str, *arguments: str) -> None:
    """Run code in a separate process.

    Raises:
        CalledProcessError: if it failed.
    """
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=environment(), cwd=ROOT)


def time_of(command: list[str], repetitions: int) -> list[str]:
    """Return median, fastest and slowest wall seconds of a command, without a first run."""
    seconds = []
    for _ in range(repetitions + 1):
        began = time.perf_counter()
        ran = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=ROOT)
        seconds.append(time.perf_counter() - began)
        if ran.returncode:
            raise RuntimeError(f"{command} ended with code {ran.returncode}:\n{ran.stderr[-2000:]}")
    counted = seconds[1:]
    return [f"{each:.2f}" for each in (statistics.median(counted), min(counted), max(counted))]


def as_markdown(rows: list[list[str]], count: int, repetitions: int) -> str:
    """Return the table for the documentation."""
    about = (
        f"{count:,} experiments, {RUNNING} of them running, on a local disk; wall seconds of whole "
        f"processes, {repetitions} each, the page cache warm."
    )
    lines = [
        about,
        "",
        "| command | median | fastest | slowest |",
        "|---|---:|---:|---:|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        report.machine(),
        "",
        report.versions(),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
