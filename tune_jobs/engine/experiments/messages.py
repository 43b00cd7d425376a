"""The messages of trials: what a worker reports to Ray Tune, several epochs at once.

A trainable of this repository reports a row per epoch and a summary of its work. One of somebody
else may report its metrics epoch by epoch. A trial that raises an exception reports that instead.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.result import AUTO_RESULT_KEYS

from tune_jobs.engine.errors import ends_run, first_line, is_mistake
from tune_jobs.engine.experiments.failures import Failure, of_exception
from tune_jobs.engine.experiments.history.records import Work
from tune_jobs.engine.plain import as_number, bounded
from tune_jobs.engine.search.schedulers import EPOCH

NOT_METRICS = {*AUTO_RESULT_KEYS, "done", "trial_id", "experiment_tag", "epoch", "seconds"}

# What a summary of work says, and what it may say.
WORK = ("path", "worker", "began", "spent")
OPTIONAL_WORK = ("parameters", "fallback")

# Under this key a trial reports its failure, so that its worker stays warm for the next trial.
FAILURE = "failure"

# Under this one it says in a line that the job is wrong, whatever the configuration.
MISTAKE = "mistake"

# Under this one it says that the run ends with that line, whatever other trials have reported.
ENDS_RUN = "ends_run"

# What Ray Tune hands out of a message.
Result = Mapping[str, Any]


@dataclass(frozen=True)
class EpochReport:
    """One epoch of a message.

    Attributes:
        epoch: counted from 1.
        seconds: how long it took; NaN if nobody measured that.
        metrics: the means over replicas, which searcher and scheduler compare. A replica whose
            patience has ended counts in them with its best epoch.
        replicas: the metrics of each replica; None for one that has ended.
    """

    epoch: int
    seconds: float
    metrics: Mapping[str, float]
    replicas: Sequence[Mapping[str, float] | None]


def as_report(error: BaseException) -> dict[str, Any]:
    """Make the message of a trial that raised an exception, in place of its metrics."""
    message: dict[str, Any] = {FAILURE: vars(of_exception(error))}
    if is_mistake(error):
        message[MISTAKE] = first_line(error)
    if ends_run(error):
        message |= {MISTAKE: f"{type(error).__name__}: {first_line(error)}", ENDS_RUN: True}
    return message


def mistake_in(result: Result) -> str | None:
    """Return the line about a mistake in the job that a message reports, None if it has none."""
    said = result.get(MISTAKE)
    return said if isinstance(said, str) else None


def is_report(result: Result) -> bool:
    """Return whether a message reports an exception, in its own form or as Tune flattens it."""
    found = result.get(FAILURE)
    return f"{FAILURE}/kind" in result or (
        isinstance(found, dict) and found.keys() == {"kind", "error"}
    )


def failure_in(result: Result, metric: str) -> Failure | None:
    """Return the failure in a message: an exception, or a metric that is no finite number."""
    if is_report(result):
        flat = {key: result.get(f"{FAILURE}/{key}") for key in ("kind", "error")}
        return Failure(**(result.get(FAILURE) or flat))
    if said := why_unusable(result, metric):
        return Failure("configuration", said)
    value = as_number(result.get(metric))
    if value is not None and not math.isfinite(value):
        return Failure("divergence", f"{metric} is {value} at its last epoch")
    return None


def why_unusable(result: Result, metric: str) -> str | None:
    """Return why a message has no number for the metric; None if it has one, or nothing at all."""
    if metric in result:
        value = result[metric]
        if as_number(value) is not None:
            return None
        return f"metric {metric!r} must be reported as a number, got {reprlib.repr(value)}"
    known = sorted(reported_metrics(result))
    if not known and (not result or result.get("done")):
        return None  # it returned without a report
    return (
        f"metric {metric!r} was never reported. The trainable reported: "
        f"{', '.join(known) or 'nothing'}."
    )


def work_in(result: Result, trial: int) -> Work | None:
    """Return the work of a trial so far, as its message sums it up; None if it does not."""
    if not _has_work(result):
        return None
    known: dict[str, Any] = {name: result["work"].get(name) for name in (*WORK, *OPTIONAL_WORK)}
    texts = {name: bounded(fact) for name, fact in known.items() if isinstance(fact, str)}
    return Work(trial, **{**known, **texts})


def memory_in(result: Result) -> tuple[str, float] | None:
    """Return the worker of a trial and its memory in MiB; None if the message does not say."""
    memory = result["work"].get("memory") if _has_work(result) else None
    return None if memory is None else (result["work"]["worker"], memory)


def epochs_in(result: Result) -> list[EpochReport]:
    """Return the epochs of a message."""
    seconds = result.get("time_this_iter_s", math.nan)
    return [_report(row, seconds) for row in _rows_in(result)]


def reported_metrics(result: Result) -> dict[str, float]:
    """Return the numbers that a trainable reported, without those that Ray adds."""
    found = {
        name: as_number(value)
        for name, value in result.items()
        if name not in NOT_METRICS and not name.startswith("config/")
    }
    return {name: value for name, value in found.items() if value is not None}


def values_in(result: Result, metric: str) -> list[tuple[int, float]]:
    """Return (epoch, value) for each epoch of a message that has a metric."""
    found = [(row["epoch"], as_number(row.get(metric))) for row in _rows_in(result)]
    return [(int(epoch), value) for epoch, value in found if value is not None]


def _rows_in(result: Result) -> Sequence[Result]:
    if _has_work(result):
        rows: Sequence[Result] = result["epochs"]
        return rows
    return [{**result, "epoch": result.get(EPOCH, 0)}]


def _has_work(result: Result) -> bool:
    work = result.get("work")
    return isinstance(work, dict) and work.keys() >= set(WORK)


def _report(row: Result, seconds: float) -> EpochReport:
    metrics = reported_metrics(row)
    replicas: list[Mapping[str, float] | None] = [metrics]
    if isinstance(row.get("replicas"), list):
        replicas = [None if each is None else reported_metrics(each) for each in row["replicas"]]
    return EpochReport(row["epoch"], float(row.get("seconds", seconds)), metrics, replicas)
