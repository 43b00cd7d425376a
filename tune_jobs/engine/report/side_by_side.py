"""Compare experiments: what they found, what they cost, and how they differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tune_jobs.engine.analysis.estimates import compare_means, estimate_of_interval
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.verdict import Interval, Verdict
from tune_jobs.engine.formatting import NONE, columns, duration, number, setting, visible
from tune_jobs.engine.plain import finite, plain
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.tables import Table

# Facts of a description, and their names in a table.
FACTS = {
    "trainable": "trainable",
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
DECLARED = (*FACTS, "source", "code", "metric", "mode", "space", "versions")
SUMMARISED = ("outcome", "best", "test", "worker_seconds")
LONGEST = 48  # characters of a cell


@dataclass(frozen=True)
class Difference:
    """The difference of two winners' means, with its interval at a level."""

    mean: float
    interval: Interval
    level: float


def lines(one: Experiment, other: Experiment) -> list[str]:
    """Compare two experiments for a terminal."""
    findings = [Findings(one, 0), Findings(other, 1)]
    said = [*compare(findings), *_say_difference(one, other), ""]
    said += _shown(comparison_table(findings), more=_costs(one, other))
    for table in (config_differences(findings), declared_differences(one, other)):
        if table is not None:
            said += ["", *_shown(table)]
    return said


def as_dict(one: Experiment, other: Experiment) -> dict[str, Any]:
    """Compare two experiments as JSON."""
    apart = difference(one, other)
    both = [_as_json(experiment) for experiment in (one, other)]
    found: dict[str, Any] = finite(
        plain({"experiments": both, "difference": asdict(apart) if apart else None})
    )
    return found


def _as_json(experiment: Experiment) -> dict[str, Any]:
    about = experiment.description.to_json()
    known = experiment.summary.to_json() if experiment.summary else {}
    return {
        "name": experiment.name,
        "folder": experiment.folder.uri,
        **{name: about.get(name) for name in DECLARED},
        **{name: known.get(name) for name in SUMMARISED},
        "winner": experiment.verdict.to_json() if experiment.verdict else None,
    }


def compare(all_findings: Sequence[Findings]) -> list[str]:
    """Say which experiment is better, and why a comparison may mislead."""
    said = _obstacles(all_findings)
    usable = [findings for findings in all_findings if findings.best]
    if len({f.goal for f in all_findings}) > 1 or len(usable) < 2:
        return said
    goal = usable[0].goal
    fresh = [(f, f.winner) for f in usable if f.winner and math.isfinite(f.winner.mean)]
    if len(fresh) == len(usable):
        fresh.sort(key=lambda pair: goal.loss(pair[1].mean))
        return [*said, _compare_winners(fresh)]
    first, second = sorted(usable, key=lambda f: goal.loss(f.ranked[0].value or 0.0))[:2]
    return [*said, f"{_compare_searches(first, second)} Both are the best of many, so optimistic."]


def comparison_table(all_findings: Sequence[Findings]) -> Table:
    """Tabulate the results, one row per fact, one column per experiment."""
    summaries = [f.summary for f in all_findings]
    rows: list[tuple[str, list[str]]] = [
        ("best in the search", [number(f.best.value) if f.best else NONE for f in all_findings]),
        ("winner on fresh seeds", [_fresh(f.winner) for f in all_findings]),
        ("trials", [number(len(f.trials)) for f in all_findings]),
        ("failed", [number(sum(t.state == "failed" for t in f.trials)) for f in all_findings]),
        ("epochs", [number(len(f.experiment.epochs)) for f in all_findings]),
        ("took", [duration(s.seconds if s else None) for s in summaries]),
        ("useful work", [f"{s.usage.useful:.0%}" if s and s.usage else NONE for s in summaries]),
    ]
    tests = [(s.test if s else None) or {} for s in summaries]
    rows += [
        (f"test {visible(name)}", [number(test.get(name)) for test in tests])
        for name in dict.fromkeys(name for test in tests for name in test)
    ]
    rows = [row for row in rows if set(row[1]) != {NONE}]
    return Table(
        ["", *(visible(f.name) for f in all_findings)], [[name, *cells] for name, cells in rows]
    )


def config_differences(all_findings: Sequence[Findings]) -> Table | None:
    """Tabulate how the best configs of the experiments differ; None if they do not."""
    configs = [f.chosen.config if f.chosen else {} for f in all_findings]
    rows = []
    for name in dict.fromkeys(name for config in configs for name in config):
        cells = [setting(config[name]) if name in config else NONE for config in configs]
        if len(set(cells)) > 1:
            rows.append([visible(name), *cells])
    if not rows:
        return None
    return Table(["best config", *(visible(f.name) for f in all_findings)], rows)


def difference(one: Experiment, other: Experiment) -> Difference | None:
    """Return the difference of the winners' means (Welch); None without two winners.

    The scores of two experiments are not paired: each has its own seeds and folds.
    """
    first, second = one.verdict, other.verdict
    if first is None or second is None or first.goal != second.goal:
        return None
    if min(first.scores, second.scores) < 2:
        return None
    level = min(first.level, second.level)
    estimates = [
        estimate_of_interval(v.mean, v.interval, v.scores, v.level) for v in (first, second)
    ]
    if not all(math.isfinite(each.mean + each.standard_error) for each in estimates):
        return None
    apart = compare_means(estimates[0], estimates[1], level)
    return Difference(apart.mean, (apart.lower, apart.upper), level)


def declared_differences(one: Experiment, other: Experiment) -> Table | None:
    """Tabulate how job, data and versions differ; None if they do not."""
    before, now = one.description, other.description
    rows = [(text, getattr(before, name), getattr(now, name)) for name, text in FACTS.items()]
    key = "source" if before.source and now.source else "code"  # the two cannot be compared
    if all(getattr(each, key) for each in (before, now)):
        rows.insert(1, ("its code", getattr(before, key), getattr(now, key)))
    for group in ("space", "versions"):
        old, new = getattr(before, group), getattr(now, group)
        rows += [(f"{group} {name}", old.get(name), new.get(name)) for name in {**old, **new}]
    cells = [[text, _cell(a), _cell(b)] for text, a, b in rows if plain(a) != plain(b)]
    return Table(["different", one.name, other.name], cells) if cells else None


def _costs(*experiments: Experiment) -> list[list[str]]:
    hours = [each.summary.worker_seconds if each.summary else None for each in experiments]
    resources = [each.description.resources for each in experiments]
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
    is_same = one.description.fingerprint == other.description.fingerprint
    if apart is None or not is_same:  # on other data a difference says nothing about the configs
        return []
    low, high = apart.interval
    is_significant = "not significant" if low <= 0 <= high else "significant"
    interval = f"{apart.level:.0%} CI {number(low, 3)} to {number(high, 3)}"
    gap = f"{number(apart.mean, 3)} ({interval})"
    return [f"The winners' {one.goal.words} differ by {gap}, which is {is_significant}."]


def _obstacles(all_findings: Sequence[Findings]) -> list[str]:
    """Name the differences that make a comparison misleading."""
    said = []
    if len({f.goal for f in all_findings}) > 1:
        said.append("They have different metrics, so their values cannot be compared.")
    descriptions = [f.experiment.description for f in all_findings]
    if len({about.fingerprint for about in descriptions}) > 1:
        said.append("The data differ, so compare values with care.")
    if len({about.evaluation for about in descriptions}) > 1:
        said.append("The evaluations differ, so compare values with care.")
    return said


def _compare_searches(first: Findings, second: Findings) -> str:
    one, other = (number(findings.ranked[0].value) for findings in (first, second))
    words = first.goal.words
    if one == other:
        return f"During the search, {first.name} and {second.name} tie: {words} {one}."
    return (
        f"During the search, {first.name} found the better {words}: {one} against {other} "
        f"of {second.name}."
    )


def _compare_winners(ordered: Sequence[tuple[Findings, Verdict]]) -> str:
    (first, one), (second, other) = ordered[:2]
    words = first.goal.words
    if number(one.mean) == number(other.mean):
        return f"On fresh seeds {first.name} and {second.name} tie: {words} {number(one.mean)}."
    values = f"{words} {number(one.mean)} against {number(other.mean)} of {second.name}"
    if max(one.interval[0], other.interval[0]) <= min(one.interval[1], other.interval[1]):
        return (
            f"On fresh seeds it is a tie, since the intervals of the two overlap: {first.name} has "
            f"{values}."
        )
    return f"On fresh seeds {first.name} is better: {values}."


def _fresh(winner: Verdict | None) -> str:
    if winner is None or not math.isfinite(winner.mean):
        return NONE
    low, high = winner.interval
    return f"{number(winner.mean)} ({number(low)} to {number(high)})"


def _shown(table: Table, more: list[list[str]] | None = None) -> list[str]:
    return columns([list(table.heads), *(list(row) for row in table.rows), *(more or [])])


def _cell(value: Any) -> str:
    text = NONE if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
