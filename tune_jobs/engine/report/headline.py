"""Which configuration to trust, and how far: what a report says first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.engine.formatting import count, duration, is_number, number, setting, visible
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.progress_charts import best_so_far
from tune_jobs.engine.report.tables import Table
from tune_jobs.engine.space.configs import flatten
from tune_jobs.engine.views.headline import headline

Row = Sequence[str]


@dataclass(frozen=True)
class Verdict:
    """The words of a verdict.

    Attributes:
        value: the number to remember, with what it is in ``value_of``.
        sentences: what follows from the search, and what to hold against it.
        scores: the metric of the baselines, where it is known.
        tests: the scores on the test part, a row a model; None where there are none.
        trial: the number of the trial whose ``config`` it is; None where there is none.
    """

    value: str
    value_of: str
    sentences: list[str]
    scores: list[Row]
    tests: Table | None
    trial: int | None
    config: list[Row]
    warnings: list[str]


def reach_verdict(findings: Findings) -> Verdict:
    """The verdict on the winner where one was chosen afresh; else a provisional one."""
    winner = findings.winner
    if winner:
        return _of_winner(findings, winner)
    return _provisional(findings)


def status(findings: Findings) -> str:
    """How the run stands, in the words of the command line."""
    return headline(findings.experiment).removeprefix(f"{findings.name}: ")


def _of_winner(findings: Findings, winner: dict[str, Any]) -> Verdict:
    low, high = [*(winner.get("interval") or []), None, None][:2]
    spread = ""
    if is_number(low) and is_number(high):
        spread = f", {winner.get('level', 0.95):.0%} interval {number(low)} to {number(high)}"
    sentences = _said(
        _challenge(winner) or _sentence(winner),
        _luck(winner),
        _runner_up(winner),
        _simplest(findings, winner),
        _convergence(findings),
        *_stages(findings),
    )
    fresh = count(int(winner.get("scores") or 0), "fresh score")
    mean = number(winner.get("mean"))
    told = f"{findings.metric} of trial {winner['trial']}, mean of {fresh}{spread}"
    answer = (winner.get("challenge") or {}).get("answer")
    return Verdict(
        value=visible(answer).capitalize() if answer else mean,
        value_of=f"{mean} {told}" if answer else told,
        sentences=sentences,
        scores=_baselines(findings, winner),
        tests=_test_scores(findings),
        trial=int(winner["trial"]),
        config=_config(winner.get("config") or {}),
        warnings=_warnings(findings),
    )


def _provisional(findings: Findings) -> Verdict:
    best = findings.best
    if best is None:
        return Verdict(
            value="No result",
            value_of=f"no trial has a {findings.metric} yet",
            sentences=[_nothing_yet(findings)],
            scores=[],
            tests=_test_scores(findings),
            trial=None,
            config=[],
            warnings=_warnings(findings),
        )
    optimistic = (
        "It is the best of many, and so looks better than it is: fits with fresh seeds would say "
        "by how much."
    )
    return Verdict(
        value=number(best.value),
        value_of=f"{findings.metric} of trial {best.number} at epoch {best.best_epoch}, "
        "while searching",
        sentences=_said(
            optimistic if len(findings.ranked) > 1 else "Only this trial has a value.",
            _no_winner(findings),
            _convergence(findings),
            *_stages(findings),
        ),
        scores=[],
        tests=_test_scores(findings),
        trial=best.number,
        config=[(visible(name), setting(value)) for name, value in best.config.items()],
        warnings=_warnings(findings),
    )


def _challenge(winner: dict[str, Any]) -> str:
    """What a retest says of the incumbent."""
    challenge = winner.get("challenge")
    if not challenge:
        return ""
    reason = visible(challenge.get("reason"))
    return f"{visible(challenge.get('answer')).capitalize()}: {reason}."


def _no_winner(findings: Findings) -> str:
    reason = findings.summary.get("no_winner")
    return f"There is no winner: {reason}" if reason else ""


def _nothing_yet(findings: Findings) -> str:
    failed = sum(trial.state == "failed" for trial in findings.trials)
    if not findings.trials:
        return "No trial has begun."
    if failed == len(findings.trials):
        return "Every trial failed: see the causes below."
    return f"{count(len(findings.trials), 'trial')} began, {failed} of them failed."


def _said(*sentences: str) -> list[str]:
    """Those of some sentences that say something."""
    return [sentence for sentence in sentences if sentence]


def _sentence(winner: dict[str, Any]) -> str:
    """What the finals say, as a sentence begins."""
    said = visible(winner.get("sentence") or "")
    return said[:1].upper() + said[1:]


def _luck(winner: dict[str, Any]) -> str:
    luck = winner.get("luck")
    if not is_number(luck) or winner.get("search_value") is None:
        return ""
    way = "better" if luck > 0 else "worse"
    return (
        f"While searching it showed {number(winner['search_value'])}, {number(abs(luck), 2)} {way} "
        f"than on fresh seeds and folds{': so much of it may have been luck' if luck > 0 else ''}."
    )


def _runner_up(winner: dict[str, Any]) -> str:
    second = winner.get("runner_up")
    if not second or f"trial {second['trial']}" in (winner.get("sentence") or ""):
        return ""
    told = "apart" if winner.get("is_distinguished") else "not apart by these scores"
    said = f"The runner-up is trial {second['trial']} with {number(second.get('mean'))}: {told}"
    if is_number(second.get("p_value")):
        said += f" (p = {number(second['p_value'], 2)})"
    return f"{said}."


def _simplest(findings: Findings, winner: dict[str, Any]) -> str:
    other = winner.get("one_standard_error")
    if not other or other.get("trial") == winner.get("trial"):
        return ""
    extras = []
    if other.get("parameters") is not None:
        extras.append(f"{number(other['parameters'])} parameters")
    if is_number(other.get("seconds")):
        extras.append(f"{duration(other['seconds'])} a fit")
    text = f" ({', '.join(extras)})" if extras else ""
    return (
        f"Within one standard error and cheaper: trial {other['trial']}{text} with "
        f"{findings.metric} {number(other.get('mean'))}."
    )


def _convergence(findings: Findings) -> str:
    """Whether the last trials still found something better."""
    records, total = best_so_far(findings), len(findings.trials)
    if not records or total < 2:
        return ""
    since = total - sum(trial.number <= records[-1][0].number for trial in findings.trials)
    if since < 0.25 * total:
        return (
            f"The best value came with trial {records[-1][0].number} of {total}, late in the "
            "search: more trials may find a better one."
        )
    return f"The last {count(since, 'trial')} of {total} found nothing better."


def _stages(findings: Findings) -> list[str]:
    said = []
    for stage in findings.summary.get("stages") or []:
        first, last = [*(stage.get("trials") or []), "?", "?"][:2]
        text = f"Stage {stage.get('stage')}: trials {first} to {last}"
        if stage.get("max_epochs"):
            text += f", up to {count(int(stage['max_epochs']), 'epoch')}"
        narrowed = "; ".join(map(visible, stage.get("narrowed") or []))
        said.append(f"{text}{'; ' * bool(narrowed)}{narrowed}.")
    return said


def _warnings(findings: Findings) -> list[str]:
    summary = findings.summary
    said = [visible(line) for line in summary.get("warnings") or []]
    if summary.get("ended_because"):
        said.append(f"The search ended early: {visible(summary['ended_because'])}")
    if summary.get("outcome") == "same error":
        said.append("Trial after trial failed with the same error, so the search was ended.")
    elif summary.get("outcome") == "storage failed":
        said.append(f"Storage failed: {visible(summary.get('error'))}")
    return [*said, *(f"Damaged: {visible(p)}" for p in findings.experiment.problems)]


def _baselines(findings: Findings, winner: dict[str, Any]) -> list[Row]:
    return [
        (f"{findings.metric}, {visible(base['name'])}", number(base.get("mean")))
        for base in winner.get("baselines") or []
        if is_number(base.get("mean"))
    ]


def _test_scores(findings: Findings) -> Table | None:
    """The scores on the test part, beside those of an ensemble and of the baselines."""
    scores = findings.summary.get("test") or {}
    if not scores:
        return None
    models = {"winner" if findings.winner else "best of the search": scores}
    if ensemble := findings.summary.get("ensemble"):
        models["ensemble of the finalists"] = ensemble.get("test") or {}
    for base in findings.winner.get("baselines") or []:
        models[visible(base["name"])] = base.get("test") or {}
    rows = [[name, *(_score(found.get(each)) for each in scores)] for name, found in models.items()]
    return Table(["on the test part", *map(visible, scores)], rows)


def _score(value: Any) -> str:
    return number(value) if value is None or is_number(value) else visible(value)


def _config(config: dict[str, Any]) -> list[Row]:
    return [(visible(name), setting(value)) for name, value in flatten(config).items() if name]
