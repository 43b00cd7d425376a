"""The report's tables: rungs, failures, trials, and where everything came from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.formatting import (
    NONE,
    count,
    duration,
    listed,
    number,
    setting,
    shortened,
    visible,
)
from tune_jobs.engine.report.findings import Findings, Trial

# Hyperparameters that the table of trials has a column for: the most important.
COLUMNS = 12
# Lines of a traceback that are shown.
LAST_LINES = 60
KINDS = {
    "configuration": "configuration: it cannot work",
    "divergence": "divergence: the metric was not finite",
    "infrastructure": "infrastructure: a machine was lost",
    "storage": "storage: it could not be written",
    "hang": "hang: silent for too long",
}


@dataclass(frozen=True)
class Failures:
    """Trials that failed of one cause, with one traceback."""

    kind: str
    cause: str
    count: int
    trials: str
    error: str


@dataclass(frozen=True)
class Table:
    """Heads and rows of text; ``trials`` says whose each row is."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    trials: Sequence[int] = ()


def rung_table(findings: Findings) -> Table | None:
    """How many trials came to each rung, how many went on, and with which values."""
    if not findings.rungs or not findings.curves:
        return None
    rows = []
    for rung in findings.rungs:
        values = findings.values_at(rung)
        if not values:
            continue
        last = {t.number: t.epochs for t in findings.trials}
        on = [value for trial, value in values.items() if last[trial] > rung]
        worst = max if findings.goal.minimises else min
        best = min if findings.goal.minimises else max
        rows.append(
            [
                number(rung),
                number(len(values)),
                number(len(on)),
                number(best(values.values())),
                number(median(values.values())),
                number(worst(on)) if on else NONE,
            ]
        )
    heads = ["after epoch", "reached by", "went on", "best", "median", "worst that went on"]
    return Table(heads, rows) if rows else None


def failure_table(findings: Findings) -> list[Failures]:
    """A row a cause, the most frequent first."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in findings.trials:
        if trial.state == "failed":
            key = (trial.failure or "unknown", cause(trial.error or ""))
            groups.setdefault(key, []).append(trial)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [
        Failures(
            KINDS.get(kind, visible(kind)),
            shortened(text, 300),
            len(trials),
            listed([str(trial.number) for trial in trials], 8),
            _traceback(trials[0].error or ""),
        )
        for (kind, text), trials in ordered
    ]


def trial_table(findings: Findings) -> Table:
    """Every trial that is shown, the best first, those without a value last."""
    columns = findings.hyperparameters[:COLUMNS]
    ranked = [*findings.ranked, *(t for t in findings.trials if not t.is_usable)]
    inside = {trial.number for trial in findings.shown}
    trials = [trial for trial in ranked if trial.number in inside]
    heads = ["trial", "state", visible(findings.metric), "best epoch", "epochs", "seconds"]
    return Table(
        [*heads, *(visible(h.name) for h in columns)],
        [
            [
                *_facts(t),
                *(setting(h.values[t.number]) if t.number in h.values else "" for h in columns),
            ]
            for t in trials
        ],
        [trial.number for trial in trials],
    )


def configs_as_json(findings: Findings) -> str:
    """The config of every trial that is shown, as text that may stand inside a page.

    The configs are kept as the text that they were written as, so that copies are exact.
    """
    found = {str(trial.number): trial.written for trial in findings.shown}
    return json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")


def provenance(findings: Findings) -> list[tuple[str, str]]:
    """Job, versions, data, seeds, code, machine and cost."""
    known = findings.experiment.description
    command, summary = known.get("command") or {}, findings.summary
    versions = known.get("versions") or {}
    rows = [
        ("job", command.get("job")),
        ("trainable", known.get("trainable")),
        ("commit", known.get("commit")),
        ("fingerprint of the code", known.get("code")),
        ("searcher", known.get("searcher")),
        ("scheduler", known.get("scheduler")),
        ("budget", _budget(known)),
        ("seed", known.get("seed")),
        ("data", known.get("data")),
        ("fingerprint of the data", known.get("fingerprint")),
        ("finalists", None if known.get("finalists") == "None" else known.get("finalists")),
        ("evaluation", None if known.get("evaluation") == "None" else known.get("evaluation")),
        ("machine", known.get("machine")),
        ("for each trial", _resources(known.get("resources") or {})),
        ("began", _moment(known.get("started"))),
        ("took", duration(summary["seconds"]) if summary.get("seconds") else None),
        ("cost", _cost(findings, known.get("resources") or {})),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("folder", findings.experiment.folder.uri),
    ]
    return [(name, visible(value)) for name, value in rows if value not in (None, "")]


def _traceback(error: str) -> str:
    """An error of several lines, of very many the last; nothing where a line says it all."""
    lines = [visible(line) for line in error.splitlines()]
    return "\n".join(lines[-LAST_LINES:]) if len(lines) > 1 else ""


def _facts(trial: Trial) -> list[str]:
    seconds = trial.seconds
    return [
        str(trial.number),
        visible(trial.state),
        number(trial.value) if trial.value is not None else "",
        str(trial.best_epoch) if trial.best_epoch else "",
        str(trial.epochs),
        number(seconds, 3) if math.isfinite(seconds) else "",
    ]


def _budget(known: dict[str, Any]) -> str:
    trials, epochs = known.get("num_trials"), known.get("max_epochs")
    if not isinstance(trials, int) or not isinstance(epochs, int):
        return ""
    return f"{count(trials, 'trial')} of at most {count(epochs, 'epoch')}"


def _resources(resources: dict[str, Any]) -> str:
    return ", ".join(
        f"{number(amount)} {name.upper()}" for name, amount in resources.items() if amount
    )


def _cost(findings: Findings, resources: dict[str, Any]) -> str:
    """What the trials held of the machine, for how long."""
    spent = sum(t.seconds for t in findings.trials if math.isfinite(t.seconds))
    said = [count(len(findings.experiment.epochs), "epoch"), f"{duration(spent)} of trials"]
    said += [
        f"{number(amount * spent / 3600, 3)} {name.upper()} hours"
        for name, amount in resources.items()
        if isinstance(amount, int | float) and amount
    ]
    return ", ".join(said)


def _moment(seconds: Any) -> str:
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
