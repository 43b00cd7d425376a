"""Make the report's tables: rungs, failures, trials, and the origin of everything."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from tune_jobs.engine.data.inspection.facts import HEADS, say_classes
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
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.report.findings import Findings, Trial
from tune_jobs.engine.views.searching import describe_search

# Hyperparameters that the table of trials has a column for: the most important.
COLUMNS = 12
# Lines of a traceback that are shown.
LAST_LINES = 60
KINDS = {
    "configuration": "configuration: it cannot work",
    "divergence": "divergence: the metric was not finite",
    "infrastructure": "infrastructure: a machine was lost",
    "storage": "storage: it could not be written",
    "hang": "hang: no report for too long",
}


@dataclass(frozen=True)
class Failures:
    """Trials that failed for the same cause, with one traceback."""

    kind: str
    cause: str
    count: int
    trials: str
    error: str


@dataclass(frozen=True)
class Table:
    """Heads and rows of text; ``trials`` has the trial of each row."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    trials: Sequence[int] = ()


def column_table(findings: Findings) -> Table | None:
    """List the columns of the table that was learnt from; None if it is not known."""
    facts = findings.experiment.description.table
    if facts is None:
        return None
    return Table(list(HEADS), [[visible(cell) for cell in each.cells] for each in facts.columns])


def data_sentences(findings: Findings) -> list[str]:
    """Say how the table was read, what looks wrong, and how many rows each class has."""
    facts = findings.experiment.description.table
    if facts is None:
        return []
    more = facts.width - len(facts.columns)
    said = [
        f"Classes: {say_classes(facts.classes)}." if facts.classes else "",
        *facts.notes,
        *(f"Warning: {warning}" for warning in facts.warnings),
        f"The first {len(facts.columns)} of {facts.width:,} columns are shown." if more else "",
    ]
    return [visible(each) for each in said if each]


def rung_table(findings: Findings) -> Table | None:
    """List how many trials reached each rung, how many continued, and with which values."""
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
    heads = ["after epoch", "reached by", "continued", "best", "median", "worst continued"]
    return Table(heads, rows) if rows else None


def failure_table(findings: Findings) -> list[Failures]:
    """List the failures, one row per cause, the most frequent first."""
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
    """List every trial that is shown, the best first, those without a value last."""
    columns = findings.hyperparameters[:COLUMNS]
    ranked = [*findings.ranked, *(t for t in findings.trials if not t.is_usable)]
    inside = {trial.number for trial in findings.shown}
    trials = [trial for trial in ranked if trial.number in inside]
    heads = ["trial", "state", visible(findings.goal.short), "best epoch", "epochs", "seconds"]
    return Table(
        [*heads, "chosen by", *(visible(h.name) for h in columns)],
        [
            [
                *_facts(t),
                *(setting(h.values[t.number]) if t.number in h.values else "" for h in columns),
            ]
            for t in trials
        ],
        [trial.number for trial in trials],
    )


def config_facts(findings: Findings) -> list[tuple[str, str]]:
    """List the hyperparameters of the winner, or of the best trial if there is no winner."""
    return [(visible(name), setting(value)) for name, value in findings.config.items() if name]


def searching_facts(findings: Findings) -> list[tuple[str, str]]:
    """List how configs were chosen, and what a model of them expects of more trials.

    What the model believes to matter is left out if the page says what did: by another measure, and
    in another order.
    """
    found = describe_search(findings.experiment)
    if findings.effects:
        found.pop("matters", None)
    return [(visible(name), visible(text)) for name, text in found.items()]


def configs_as_json(findings: Findings) -> str:
    """Return the config of every trial that is shown, as text that is safe inside a page.

    The configs are kept as the text that they were written as, so that copies are exact.
    """
    found = {str(trial.number): trial.written for trial in findings.shown}
    return json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")


def provenance(findings: Findings) -> list[tuple[str, str]]:
    """List job, versions, data, seeds, code, machine and cost."""
    known, summary = findings.experiment.description, findings.summary
    versions = ", ".join(f"{name} {version}" for name, version in known.versions.items())
    rows = [
        ("job", known.command.get("job")),
        ("trainable", known.trainable),
        ("commit", known.commit),
        ("fingerprint of the code", known.source or known.code),
        ("searcher", known.searcher),
        ("scheduler", known.scheduler),
        ("budget", _budget(known)),
        ("seed", known.seed),
        ("data", known.data),
        ("fingerprint of the data", known.fingerprint),
        ("finalists", None if known.finalists == "None" else known.finalists),
        ("evaluation", None if known.evaluation == "None" else known.evaluation),
        ("machine", known.machine),
        ("per trial", _resources(known.resources)),
        ("began", _moment(known.started)),
        ("took", duration(summary.seconds) if summary and summary.seconds else None),
        ("cost", _cost(findings, known.resources)),
        ("versions", versions),
        ("folder", findings.experiment.folder.uri),
    ]
    return [(name, visible(value)) for name, value in rows if value not in (None, "")]


def _traceback(error: str) -> str:
    """Return the last lines of an error, or nothing if it is a single line."""
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
        visible(trial.by or ""),
    ]


def _budget(known: Description) -> str:
    if known.num_trials is None or known.max_epochs is None:
        return ""
    return f"{count(known.num_trials, 'trial')} of at most {count(known.max_epochs, 'epoch')}"


def _resources(resources: Mapping[str, float]) -> str:
    return ", ".join(
        f"{number(amount)} {name.upper()}" for name, amount in resources.items() if amount
    )


def _cost(findings: Findings, resources: Mapping[str, float]) -> str:
    """Say what the trials used of the machine, and for how long."""
    spent = sum(t.seconds for t in findings.trials if math.isfinite(t.seconds))
    said = [count(len(findings.experiment.epochs), "epoch"), f"{duration(spent)} of trials"]
    said += [
        f"{number(amount * spent / 3600, 3)} {name.upper()} hours"
        for name, amount in resources.items()
        if amount
    ]
    return ", ".join(said)


def _moment(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
