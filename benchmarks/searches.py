"""Search with arithmetic trainables, by tune-jobs or plain Ray Tune, each in its own process.

    python -m benchmarks.searches tune-jobs --trials 64 --workers 8 --reports 4 --seconds 1.5

Prints the cost of the search as JSON: that of its workers if trials sleep and so have a known
duration, that of the driver if they take no time. :mod:`benchmarks.scaling` runs many of them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import tune

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.history.records import Event

CONTENDERS = ("tune-jobs", "tune-jobs, TPE", "Ray Tune", "Ray Tune, no loggers")
MARKS = 20  # how often in a search the driver's clocks are read
Row = dict[str, Any]


@dataclass(frozen=True)
class Search:
    """The search to run: trials with this many reports and, on average, this many seconds."""

    contender: str
    trials: int
    workers: int
    reports: int
    seconds: float

    @property
    def durations(self) -> list[float]:
        """The durations of the trials: from two thirds to four thirds of the average, shuffled."""
        steps = [2 / 3 * (1 + (index + 0.5) / self.trials) for index in range(self.trials)]
        random.Random(0).shuffle(steps)
        return [self.seconds * step for step in steps]

    @property
    def space(self) -> dict[str, Any]:
        """The hyperparameters; durations become a grid of them, in the same order for all."""
        lasting = tune.grid_search(self.durations) if self.seconds else 0
        return {"x": tune.uniform(0, 1), "seconds": lasting, "reports": self.reports}

    @property
    def num_samples(self) -> int:
        """The number of trials per point of the grid."""
        return 1 if self.seconds else self.trials

    @property
    def cpus_per_trial(self) -> float:
        """The CPUs per trial that let all workers fit the machine: they sleep."""
        return min(1.0, len(os.sched_getaffinity(0)) / self.workers)


class Meter(tune.Callback):
    """Reads the driver's clocks as trials end.

    Attributes:
        marks: trials that have ended, seconds, CPU seconds and peak memory in MiB at that moment.
    """

    def __init__(self, trials: int) -> None:
        self._every = max(1, trials // MARKS)
        self._ended = 0
        self.marks: list[tuple[int, float, float, float]] = []

    def on_trial_complete(self, **_: Any) -> None:
        """Count a trial of plain Ray Tune."""
        self.count()

    def listen(self, event: Event | None) -> None:
        """Count a trial of tune-jobs."""
        if event is not None and event.kind == "end":
            self.count()

    def count(self) -> None:
        """Count a trial, and read the clocks at the first and at every twentieth."""
        self._ended += 1
        if self._ended == 1 or self._ended % self._every == 0:
            self.marks.append((self._ended, *read_clocks()))


def train(config: Row, data: object = None) -> None:
    """Report a loss as often as the config states."""
    for epoch in range(1, config["reports"] + 1):
        tune.report({"loss": (config["x"] - 0.3) ** 2 + 1 / epoch})


def sleep(config: Row, data: object = None) -> None:
    """Sleep as long as the config states, and report a loss, the worker and its clock."""
    began = time.time()
    for epoch in range(1, config["reports"] + 1):
        time.sleep(max(0.0, began + epoch * config["seconds"] / config["reports"] - time.time()))
        clock = {"worker": os.getpid(), "began": began, "ended": time.time()}
        tune.report({"loss": (config["x"] - 0.3) ** 2 + 1 / epoch, **clock})


def search_with_tune_jobs(search: Search, meter: Meter, folder: str) -> list[Row]:
    """Run a job as users do, with its report and its lines on standard error."""
    from tune_jobs.engine import TPE, Job, Profile, RandomSearch, run
    from tune_jobs.engine.views.live import choose_view

    job = Job(
        trainable=sleep if search.seconds else train,
        space=search.space,
        metric="loss",
        searcher=TPE() if search.contender.endswith("TPE") else RandomSearch(),
        num_samples=search.num_samples,
        max_epochs=search.reports,
        finalists=None,
    )
    profile = Profile(
        storage=folder,
        cpus_per_trial=search.cpus_per_trial,
        max_concurrent_trials=search.workers,
    )
    view = choose_view(job.num_trials, job.max_epochs, job.goal)
    found = run(job, profile=profile, listeners=[view, meter.listen])
    check_ended(len(found.trials[found.trials["state"] == "complete"]), search)
    last = found.epochs.groupby("trial").last() if search.seconds else found.epochs[:0]
    return last.to_dict("records")


def search_with_ray_tune(search: Search, meter: Meter, folder: str) -> list[Row]:
    """Run Ray's own tuner with the options that help: warm workers, quiet output."""
    import ray

    if search.contender.endswith("no loggers"):
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    ray.init(
        address="local",
        num_cpus=len(os.sched_getaffinity(0)),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    found = tune.Tuner(
        tune.with_resources(sleep if search.seconds else train, {"cpu": search.cpus_per_trial}),
        param_space=search.space,
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            num_samples=search.num_samples,
            max_concurrent_trials=search.workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="trials", storage_path=folder, callbacks=[meter], verbose=0),
    ).fit()
    check_ended(len(found) - found.num_errors, search)
    rows = [each.metrics or {} for each in found] if search.seconds else []
    ray.shutdown()
    return rows


def check_ended(count: int, search: Search) -> None:
    if count != search.trials:
        raise RuntimeError(f"{search.contender}: {count} of {search.trials} trials ended well")


def measure(search: Search) -> Row:
    """Run one search in this process and return its cost."""
    by_ray = search.contender.startswith("Ray")
    run: Callable[..., list[Row]] = search_with_ray_tune if by_ray else search_with_tune_jobs
    meter = Meter(search.trials)
    with tempfile.TemporaryDirectory() as folder:
        called, before = time.time(), read_clocks()
        fits = run(search, meter, folder)
        returned, after = time.time(), read_clocks()
    if search.seconds:
        return account(search, fits, called, returned)
    return {"marks": meter.marks, "before": before, "after": after}


def account(search: Search, fits: list[Row], called: float, returned: float) -> Row:
    """Return where the workers' seconds went, from the call of the search until it returned.

    Returns:
        ``startup``, until a worker's first trial began, and ``tail``, from its last trial until
        the last of all, both averaged over the workers. ``gap``: between two trials of a worker,
        averaged over the gaps. ``efficiency``: the trials' seconds among those after start-up.
    """
    ended = max(fit["ended"] for fit in fits)
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for fit in fits:
        first[fit["worker"]] = min(first.get(fit["worker"], ended), fit["began"])
        last[fit["worker"]] = max(last.get(fit["worker"], 0.0), fit["ended"])
    busy = sum(fit["ended"] - fit["began"] for fit in fits)
    present = sum(ended - began for began in first.values())
    tail = sum(ended - end for end in last.values())
    gaps = max(len(fits) - len(first), 1)
    return {
        "ideal": sum(search.durations) / search.workers,
        "wall": returned - called,
        "seen": len(first),
        "startup": sum(began - called for began in first.values()) / len(first),
        "slowest_startup": max(first.values()) - called,
        "gap": (present - busy - tail) / gaps,
        "tail": tail / len(first),
        "closing": returned - ended,
        "efficiency": busy / present,
        "efficiency_of_all": sum(search.durations) / search.workers / (returned - called),
    }


def read_clocks() -> tuple[float, float, float]:
    """Return seconds, this process's CPU seconds, and its peak memory in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contender", choices=CONTENDERS)
    for name in ("trials", "workers", "reports"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=0.0, help="seconds per trial, on average")
    search = Search(**vars(parser.parse_args()))
    print(json.dumps(measure(search)), file=sys.stdout)


if __name__ == "__main__":
    main()
