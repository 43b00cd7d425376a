"""Two experiments side by side: what they found, what they cost, and in what they differ."""

from __future__ import annotations

from typing import Any

from tune_jobs.engine.analysis.estimates import compare_means, estimate_of_interval
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.formatting import NONE, columns, number
from tune_jobs.engine.plain import finite, plain
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.side_by_side import compare, comparison_table, config_differences
from tune_jobs.engine.report.tables import Table

# What a description says of a search, and how it is called.
FACTS = {
    "trainable": "trainable",
    "code": "its code",
    "commit": "commit",
    "data": "data",
    "fingerprint": "fingerprint of the data",
    "evaluation": "evaluation",
    "searcher": "searcher",
    "scheduler": "scheduler",
    "max_epochs": "max_epochs",
    "seed": "seed",
    "machine": "machine",
}
DECLARED = (*FACTS, "metric", "mode", "space", "versions")
SUMMARISED = ("outcome", "best", "test", "worker_seconds")
LONGEST = 48  # characters of a cell


def lines(one: Experiment, other: Experiment) -> list[str]:
    """What there is to say of both, for a terminal."""
    findings = [Findings(one, 0), Findings(other, 1)]
    said = [*compare(findings), *_say_difference(one, other), ""]
    said += _shown(comparison_table(findings), more=_costs(one, other))
    for table in (config_differences(findings), declared_differences(one, other)):
        if table is not None:
            said += ["", *_shown(table)]
    return said


def as_dict(one: Experiment, other: Experiment) -> dict[str, Any]:
    """The same for machines."""
    both = [
        {
            "name": experiment.name,
            "folder": experiment.folder.uri,
            **{name: experiment.description.get(name) for name in DECLARED},
            **{name: experiment.summary.get(name) for name in SUMMARISED},
            "winner": experiment.verdict or None,
        }
        for experiment in (one, other)
    ]
    found: dict[str, Any] = finite(
        plain({"experiments": both, "difference": difference(one, other)})
    )
    return found


def difference(one: Experiment, other: Experiment) -> dict[str, Any] | None:
    """How far the winners' means are apart, with its interval (Welch); None without two of them.

    The scores of two experiments are not paired: each has its own seeds and folds.
    """
    verdicts = one.verdict, other.verdict
    if not all(verdicts) or len({(v["metric"], v["mode"]) for v in verdicts}) > 1:
        return None
    if min(verdict["scores"] for verdict in verdicts) < 2:
        return None
    level = min(verdict["level"] for verdict in verdicts)
    estimates = [
        estimate_of_interval(v["mean"], v["interval"], v["scores"], v["level"]) for v in verdicts
    ]
    apart = compare_means(estimates[0], estimates[1], level)
    return {"mean": apart.mean, "interval": [apart.lower, apart.upper], "level": level}


def declared_differences(one: Experiment, other: Experiment) -> Table | None:
    """What differs in what was searched, and with which versions; None where nothing does."""
    before, now = one.description, other.description
    rows = [(text, before.get(name), now.get(name)) for name, text in FACTS.items()]
    for group in ("space", "versions"):
        old, new = before.get(group) or {}, now.get(group) or {}
        rows += [(f"{group} {name}", old.get(name), new.get(name)) for name in {**old, **new}]
    cells = [[text, _cell(a), _cell(b)] for text, a, b in rows if plain(a) != plain(b)]
    return Table(["different", one.name, other.name], cells) if cells else None


def _costs(*experiments: Experiment) -> list[list[str]]:
    hours = [each.summary.get("worker_seconds") for each in experiments]
    resources = [each.description.get("resources") or {} for each in experiments]
    rows = [["worker hours", *(NONE if h is None else f"{h / 3600:.2f}" for h in hours)]]
    for unit in ("cpu", "gpu"):
        each = [r.get(unit, 0) for r in resources]
        cells = [
            NONE if h is None else f"{h / 3600 * n:.2f}" for h, n in zip(hours, each, strict=True)
        ]
        rows += [[f"{unit.upper()} hours", *cells]] if any(each) else []
    return rows


def _say_difference(one: Experiment, other: Experiment) -> list[str]:
    apart = difference(one, other)
    is_same = len({each.description.get("fingerprint") for each in (one, other)}) == 1
    if apart is None or not is_same:  # of other data a difference says nothing of the configs
        return []
    low, high = apart["interval"]
    told = "may be chance" if low <= 0 <= high else "is more than chance"
    interval = f"{apart['level']:.0%} interval {number(low, 3)} to {number(high, 3)}"
    metric, gap = one.verdict["metric"], number(apart["mean"], 3)
    return [f"The winners' {metric} differ by {gap} ({interval}), which {told}."]


def _shown(table: Table, more: list[list[str]] | None = None) -> list[str]:
    return columns([list(table.heads), *(list(row) for row in table.rows), *(more or [])])


def _cell(value: Any) -> str:
    text = NONE if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
