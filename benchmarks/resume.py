"""Measure how long it takes to continue from a history, and how that grows with its size.

    python -m benchmarks.resume --trials 100 1000 10000 --searcher random tpe

A history of finished trials of 10 epochs each is written as a run writes it, one segment per trial;
then one more trial is run. The results are the duration of the whole run, including Ray's start,
the seconds until the new trial starts, the driver's memory, and the bytes of the history.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks import report
from benchmarks.process import run_apart

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.history.records import Event

EPOCHS = 10
SEARCHERS = ("random", "tpe")


def train(config: dict[str, Any], data: object) -> None:
    """Report ten epochs."""
    from ray import tune

    for epoch in range(1, EPOCHS + 1):
        tune.report({"loss": config["x"] + 1 / epoch, "training_iteration": epoch})


def make_job(searcher: str, trials: int) -> Any:
    """Return a job of this many trials."""
    from ray import tune

    from tune_jobs.engine import ASHA, TPE, Job, RandomSearch

    return Job(
        train,
        {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)},
        metric="loss",
        searcher=TPE() if searcher == "tpe" else RandomSearch(),
        scheduler=ASHA(),
        num_samples=trials,
        max_epochs=EPOCHS,
        finalists=None,
    )


def write_history(folder: Any, job: Any, trials: int) -> float:
    """Write a history as a run does; return the seconds."""
    from tune_jobs.engine import Profile
    from tune_jobs.engine.experiments.history.records import Attempt, Epoch, TrialEnd, TrialStart
    from tune_jobs.engine.experiments.history.segments import SegmentWriter
    from tune_jobs.engine.job.describing import describe_job
    from tune_jobs.engine.job.setup import Setup

    folder.create()
    about = describe_job(Setup(job, Profile(), folder)).to_json()
    folder.write_json("experiment.json", about)
    random, began = np.random.default_rng(0), time.perf_counter()
    writer = SegmentWriter(folder)
    writer.append(Attempt(about, trials))
    for number in range(1, trials + 1):
        config = {"x": random.random(), "y": random.random()}
        writer.append(TrialStart(number, config, number))
        for epoch in range(1, EPOCHS + 1):
            writer.append(Epoch(number, 0, epoch, 0.1, {"loss": config["x"] + 1 / epoch}))
        writer.append(TrialEnd(number, "complete", None, None))
        writer.flush()
    return time.perf_counter() - began


def resume(trials: int, searcher: str) -> dict[str, float]:
    """Write a history, continue from it in this process, and return the cost."""
    from tune_jobs.engine import Profile, run
    from tune_jobs.engine.experiments.history.records import TrialStart
    from tune_jobs.engine.storage.folder import open_folder

    job, first = make_job(searcher, trials + 1), []

    def listen(event: Event | None) -> None:
        if isinstance(event, TrialStart) and not first:
            first.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as place:
        folder = open_folder(place).child("long")
        written = write_history(folder, job, trials)
        size, began = folder.size(), time.perf_counter()
        run(
            job,
            profile=Profile(storage=place, max_concurrent_trials=1),
            name="long",
            resume=True,
            listeners=[listen],
        )
        return {
            "writing": written,
            "until": first[0] - began,
            "whole": time.perf_counter() - began,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "mib": size / 2**20,
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 1000, 10_000])
    parser.add_argument("--searcher", nargs="+", choices=SEARCHERS, default=list(SEARCHERS))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(resume(options.trials[0], options.searcher[0])))
        return
    rows = []
    for searcher in options.searcher:
        for trials in options.trials:
            options_of_one = ["--one", "--trials", str(trials), "--searcher", searcher]
            found = run_apart("benchmarks.resume", *options_of_one)
            rows.append({"searcher": searcher, "trials": trials, **found})
            print(rows[-1], flush=True)
    header = [
        "searcher",
        "trials",
        "until the next trial s",
        "whole run s",
        "driver MiB",
        "history",
    ]
    shown = [
        [
            row["searcher"],
            f"{row['trials']:,}",
            f"{row['until']:.1f}",
            f"{row['whole']:.1f}",
            f"{row['memory']:.0f}",
            f"{row['mib']:.1f} MiB",
        ]
        for row in rows
    ]
    report.show("going on from a history", header, shown)
    if options.out:
        report.save(pd.DataFrame(rows), options.out)
    report.state()


if __name__ == "__main__":
    main()
