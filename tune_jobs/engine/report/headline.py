"""Say what a report says first: which configuration to trust, and how far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tune_jobs.engine.analysis.in_unit import read_in_unit
from tune_jobs.engine.data.scoring.comparison import KnownScore
from tune_jobs.engine.experiments.verdict import Baseline, Verdict
from tune_jobs.engine.formatting import count, duration, is_number, number, visible
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.progress_charts import best_so_far
from tune_jobs.engine.report.tables import Table
from tune_jobs.engine.views.status_line import headline

Row = Sequence[str]


@dataclass(frozen=True)
class Headline:
    """The first words of a report.

    Attributes:
        value: the number to remember.
        value_of: what that number is.
        sentences: what follows from the search, and its caveats.
        scores: the metric of the baselines, if it is known.
        tests: the scores on the test set, one row per model; None if there are none.
        trial: the number of the trial that it is about; None if no trial has a value.
        warnings: what needs attention.
    """

    value: str
    value_of: str
    sentences: list[str]
    scores: list[Row]
    tests: Table | None
    trial: int | None
    warnings: list[str]


def make_headline(findings: Findings) -> Headline:
    """Give the verdict of the finals; without finals, a provisional one.

    A score on the test set that people know comes first, if there is one.
    """
    winner, known = findings.winner, _known_scores(findings)
    is_led = bool(known) and not (winner and winner.challenge)
    found = _of_winner(findings, winner, is_led) if winner else _provisional(findings)
    if not is_led:
        return found
    return replace(
        found,
        value=number(known[0].value),
        value_of=f"{_with_interval(known[0], '')}, {_rows(findings)}",
        sentences=[f"{found.value} is the {found.value_of}.", *found.sentences],
    )


def status(findings: Findings) -> str:
    """Say how the run stands, in the words of the command line."""
    return headline(findings.experiment).removeprefix(f"{findings.name}: ")


def _of_winner(findings: Findings, winner: Verdict, is_led: bool) -> Headline:
    low, high = winner.interval
    spread = ""
    if is_number(low) and is_number(high):
        spread = f", {winner.level:.0%} CI {number(low)} to {number(high)}"
    fresh = count(winner.scores, "fresh score")
    mean = number(winner.mean)
    what = f"{findings.goal.words} of trial {winner.trial}, mean of {fresh}{spread}"
    threshold = findings.summary.threshold if findings.summary else None
    if threshold and threshold.in_search:
        what += f", {threshold.in_search}"
    error = read_in_unit(findings.experiment)
    if error and error.winner is not None:
        said = f"{error.name} of {error.target} in its unit, trial {winner.trial}, mean of {fresh}"
        mean, what = number(error.winner), f"{said}; its {findings.goal.words} is {mean}{spread}"
    answer = winner.challenge.answer if winner.challenge else None
    return Headline(
        value=answer.capitalize() if answer else mean,
        value_of=f"{mean} {what}" if answer else what,
        sentences=_not_empty(
            "" if is_led else _challenge(winner) or _sentence(winner),
            _runner_up(winner) if is_led else "",
            _test_sentence(findings, is_led),
            _against_baselines(findings),
            _threshold(findings),
            _optimism(winner),
            "" if is_led or _names_runner_up(winner) else _runner_up(winner),
            _cheapest(findings, winner),
            _convergence(findings),
            *_stages(findings),
        ),
        scores=_baselines(findings, winner.baselines),
        tests=_test_scores(findings),
        trial=winner.trial,
        warnings=_warnings(findings),
    )


def _provisional(findings: Findings) -> Headline:
    best = findings.best
    if best is None:
        return Headline(
            value="No result",
            value_of=f"no trial has a {findings.metric} yet",
            sentences=[_nothing_yet(findings)],
            scores=[],
            tests=_test_scores(findings),
            trial=None,
            warnings=_warnings(findings),
        )
    value, what = number(best.value), findings.goal.words
    error = read_in_unit(findings.experiment)
    if error and best.number in error.trials:
        value = number(error.trials[best.number])
        what = f"{error.name} of {error.target} in its unit ({what} {number(best.value)})"
    optimistic = (
        "It is the best of many, so it looks better than it is; finals on fresh seeds would show "
        "by how much."
    )
    return Headline(
        value=value,
        value_of=f"{what} of trial {best.number} at epoch {best.best_epoch}, during the search",
        sentences=_not_empty(
            optimistic if len(findings.ranked) > 1 else "Only this trial has a value.",
            _test_sentence(findings, is_led=True),
            _against_baselines(findings),
            _threshold(findings),
            _no_winner(findings),
            _convergence(findings),
            *_stages(findings),
        ),
        scores=[],
        tests=_test_scores(findings),
        trial=best.number,
        warnings=_warnings(findings),
    )


def _known_scores(findings: Findings) -> Sequence[KnownScore]:
    """Return the scores on the test set in measures that people know."""
    report = findings.summary.on_test if findings.summary else None
    return report.known if report else ()


def _rows(findings: Findings) -> str:
    report = findings.summary.on_test if findings.summary else None
    return count(report.rows, "test row") if report else ""


def _test_sentence(findings: Findings, is_led: bool) -> str:
    """Say how good the model is on the test set, beside the score that leads the headline."""
    known = _known_scores(findings)[int(is_led) :]
    said = ", ".join(_with_interval(score, f" {number(score.value)}") for score in known)
    return f"On {_rows(findings)}: {said}." if said else ""


def _with_interval(score: KnownScore, value: str) -> str:
    low, high = score.interval or (None, None)
    spread = "" if low is None else f" (95% CI {number(low)} to {number(high)})"
    return f"{visible(score.name)}{value}{spread}"


def _against_baselines(findings: Findings) -> str:
    """Say whether the model is better than simple ones."""
    report = findings.summary.on_test if findings.summary else None
    return visible(report.sentence) if report else ""


def _threshold(findings: Findings) -> str:
    """Say above which probability the second of two classes is predicted."""
    threshold = findings.summary.threshold if findings.summary else None
    return visible(threshold.sentence) if threshold else ""


def _challenge(winner: Verdict) -> str:
    """Say what a retest answers."""
    challenge = winner.challenge
    if challenge is None:
        return ""
    return f"{(challenge.answer or 'inconclusive').capitalize()}: {visible(challenge.reason)}."


def _no_winner(findings: Findings) -> str:
    reason = findings.summary.no_winner if findings.summary else None
    return f"There is no winner: {reason}" if reason else ""


def _nothing_yet(findings: Findings) -> str:
    failed = sum(trial.state == "failed" for trial in findings.trials)
    if not findings.trials:
        return "No trial has started."
    if failed == len(findings.trials):
        return "Every trial failed: see the causes below."
    return f"{count(len(findings.trials), 'trial')} started, {failed} of them failed."


def _not_empty(*sentences: str) -> list[str]:
    return [sentence for sentence in sentences if sentence]


def _sentence(winner: Verdict) -> str:
    said = visible(winner.sentence)
    return said[:1].upper() + said[1:]


def _optimism(winner: Verdict) -> str:
    """Say how much better the winner looked during the search."""
    luck = winner.luck
    if not is_number(luck) or winner.search_value is None:
        return ""
    way = "better" if luck > 0 else "worse"
    return (
        f"During the search it scored {number(winner.search_value)}, {number(abs(luck), 2)} {way} "
        f"than on fresh seeds and folds{': up to that much was luck' if luck > 0 else ''}."
    )


def _runner_up(winner: Verdict) -> str:
    second = winner.runner_up
    if second is None:
        return ""
    how = "significantly worse" if winner.is_distinguished else "no significant difference"
    if second.interval[1] < 0:
        how = "better on the scores held back to estimate"
    p_value = f" (p = {number(second.p_value, 2)})" if is_number(second.p_value) else ""
    return f"The runner-up is trial {second.trial} with {number(second.mean)}: {how}{p_value}."


def _names_runner_up(winner: Verdict) -> bool:
    return winner.runner_up is not None and f"trial {winner.runner_up.trial}" in winner.sentence


def _cheapest(findings: Findings, winner: Verdict) -> str:
    other = winner.one_standard_error
    if other is None or other.trial == winner.trial:
        return ""
    extras = []
    if other.parameters is not None:
        extras.append(f"{number(other.parameters)} parameters")
    if is_number(other.seconds):
        extras.append(f"{duration(other.seconds)} per fit")
    text = f" ({', '.join(extras)})" if extras else ""
    return (
        f"Within one standard error and cheaper: trial {other.trial}{text} with "
        f"{findings.goal.words} {number(other.mean)}."
    )


def _convergence(findings: Findings) -> str:
    """Say whether the last trials still found something better."""
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
    for stage in findings.summary.stages if findings.summary else ():
        first, last = stage.trials
        text = f"Stage {stage.stage}: trials {first} to {last}"
        text += f", up to {count(stage.max_epochs, 'epoch')}"
        narrowed = "; ".join(map(visible, stage.narrowed))
        said.append(f"{text}{'; ' * bool(narrowed)}{narrowed}.")
    return said


def _warnings(findings: Findings) -> list[str]:
    damaged = [f"Damaged: {visible(problem)}" for problem in findings.experiment.problems]
    return [*_run_warnings(findings), *damaged]


def _run_warnings(findings: Findings) -> list[str]:
    summary = findings.summary
    if summary is None:
        return []
    said = [visible(line) for line in summary.warnings]
    if summary.ended_because:
        said.append(f"The search ended early: {visible(summary.ended_because)}")
    if summary.outcome == "same error":
        said.append("Trial after trial failed with the same error, so the search stopped.")
    elif summary.outcome == "storage failed":
        said.append(f"Storage failed: {visible(summary.error)}")
    return said


def _baselines(findings: Findings, baselines: Sequence[Baseline]) -> list[Row]:
    return [
        (f"{findings.metric}, {visible(base.name)}", number(base.mean))
        for base in baselines
        if is_number(base.mean)
    ]


def _test_scores(findings: Findings) -> Table | None:
    """List the scores on the test set, with those of an ensemble and of the baselines."""
    summary, winner = findings.summary, findings.winner
    if summary is None or not summary.test:
        return None
    models = {"winner" if winner else "best of the search": summary.test}
    if summary.ensemble:
        models["ensemble of the finalists"] = summary.ensemble.test
    for base in winner.baselines if winner else ():
        models[visible(base.name)] = base.test
    names = list(summary.test)
    rows = [[name, *(number(found.get(each)) for each in names)] for name, found in models.items()]
    return Table(["test set", *map(visible, names)], rows)
