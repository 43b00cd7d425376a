"""Show an experiment: in words for a terminal, and as JSON for machines."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.analysis.in_unit import read_in_unit
from tune_jobs.engine.analysis.usage import PURPOSES
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.files import MODEL, REPORT
from tune_jobs.engine.experiments.summary import Summary
from tune_jobs.engine.experiments.verdict import RunnerUp, Verdict
from tune_jobs.engine.formatting import NONE, count, rounded, shortened, show
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.plain import finite, plain
from tune_jobs.engine.space.configs import flatten
from tune_jobs.engine.storage.uris import join
from tune_jobs.engine.terminal import write
from tune_jobs.engine.views.searching import describe_search, outlook_as_json
from tune_jobs.engine.views.status_line import headline, is_held
from tune_jobs.engine.views.trial_table import trial_table

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20
LONGEST = 1_000  # characters of a line
LABEL = 12  # columns of a label and the gap after it
MOST_CHANGES = MOST_ANSWERS = 5
ADVICE = {
    "replace": "use the model below: the challenger, trained on these data",
    "inconclusive": "wait for the next retest, or retest with --scores 16",
    "alarm": "retest without --only-incumbent to see whether another config is better",
}


def as_dict(experiment: Experiment, *, short: bool) -> dict[str, Any]:
    """Return everything that is shown as JSON, with null for numbers that are not finite.

    Unless ``short``, also what a model expects of more trials.
    """
    trials = experiment.trials
    hidden = [name for name in trials.columns if name.startswith("config")]
    rows = trials.drop(columns=hidden).astype(object).where(trials.notna(), None)
    found = {
        "name": experiment.name,
        "folder": experiment.folder.uri,
        "metric": experiment.goal.metric,
        "mode": experiment.goal.mode,
        "exit_code": experiment.exit_code,
        **(experiment.summary.to_json() if experiment.summary else {}),
        "winner": experiment.verdict.to_json() if experiment.verdict else None,
        "answer": experiment.retest.to_json() if experiment.retest else None,
        **({} if short else {"outlook": outlook_as_json(experiment)}),
        "all_trials": rows.to_dict("records"),
    }
    return {key: finite(plain(value)) for key, value in found.items()}


def print_lines(experiment: Experiment, *, short: bool) -> None:
    """Print the best, the folder and the next command; unless ``short``, also the trials."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines(experiment, short=short, width=width):
        for each in _wrapped(line, width) if width else [line]:
            write(each)


def _wrapped(line: str, width: int) -> list[str]:
    """Break a line between words; what follows stands below the text after its label."""
    found = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * min(LABEL, width // 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return found or [line]


def lines(experiment: Experiment, *, short: bool, width: int | None = None) -> list[str]:
    """Describe an experiment, from the outcome to the next command; ``width`` limits its table."""
    trials, usable = experiment.trials, experiment.usable
    said = [headline(experiment), *_failures(trials), *_why_ended(experiment)]
    said += _answer(experiment)
    said += [f"damaged: {problem}" for problem in experiment.problems]
    if not usable.empty:
        said += ["", *_best(experiment)]
    said += _space(experiment)
    if not short:
        said += ["", *trial_table(experiment, width), *_searching(experiment)]
    said += _usage(experiment, short=short)
    said += ["", *_next(experiment, short=short)]
    return [shortened(line, LONGEST) for line in said]


def _why_ended(experiment: Experiment) -> list[str]:
    """Say why the search ended before its last trial, with the traceback of a bug."""
    summary = experiment.summary
    if summary is None:
        return []
    said = []
    if summary.ended_because:
        said.append(f"the search ended early: {summary.ended_because}")
    if summary.outcome == "same error":
        said += ["trial after trial failed with the same error, so the search stopped:", ""]
        said += [f"  {line}" for line in _ends(summary.error or "")]
    elif summary.outcome == "storage failed":
        said.append(f"storage failed: {summary.error}")
    return said


def _ends(error: str) -> list[str]:
    """Return the lines of a traceback, of a long one the first and the last."""
    lines = error.splitlines()
    left = len(lines) - 2 * MOST_ROWS
    if left <= 0:
        return lines
    return [*lines[:MOST_ROWS], f"... {left} lines left out ...", *lines[-MOST_ROWS:]]


def _space(experiment: Experiment) -> list[str]:
    """Say how the space was narrowed, and at which of its bounds the best values lie."""
    summary = experiment.summary
    if summary is None:
        return []
    said = [
        f"stage {each.stage} searched {line}" for each in summary.stages for line in each.narrowed
    ]
    said += [f"warning: {line}" for line in summary.warnings]
    return ["", *said] if said else []


def _answer(experiment: Experiment) -> list[str]:
    """Show the answer of a retest, and those of earlier ones."""
    answer = experiment.retest
    if answer is None:
        return []
    said = ["", f"verdict     {answer.answer}: {answer.reason}"]
    if answer.challenge and not answer.fall.is_worse:
        said.append(f"incumbent   {answer.fall.sentence}")
    said += [f"changed     {change}" for change in answer.changes[:MOST_CHANGES]]
    before = [f"{each.name} {each.answer}" for each in answer.earlier[-MOST_ANSWERS:]]
    if advice := ADVICE.get(answer.answer):
        said.append(f"advice      {advice}")
    return [*said, *([f"earlier     {', '.join(reversed(before))}"] if before else [])]


def _searching(experiment: Experiment) -> list[str]:
    """Say how configs were chosen, and what a model of them expects of more trials."""
    said = [f"{name:11} {text}" for name, text in describe_search(experiment).items()]
    return ["", *said] if said else []


def _usage(experiment: Experiment, *, short: bool) -> list[str]:
    """Show how much of the time was useful work, and what the rest was spent on."""
    usage = experiment.summary.usage if experiment.summary else None
    total = sum(usage.seconds.values()) if usage else 0.0
    if usage is None or not total > 0:
        return []
    shares = {text: usage.seconds.get(name, 0.0) / total for name, text in PURPOSES.items()}
    said = ["", f"useful work {usage.useful:.0%} of {usage.workers} workers' time"]
    if short:
        return said
    width = max(map(len, shares))
    said += [f"  {text:{width}}  {share:5.1%}" for text, share in shares.items()]
    paths = experiment.trials["path"].dropna().value_counts()
    return [*said, *(f"  {path}: {count} trials" for path, count in paths.items())]


def _best(experiment: Experiment) -> list[str]:
    verdict, summary = experiment.verdict, experiment.summary
    said = _known_scores(summary)
    if summary and summary.threshold:
        said.append(f"threshold   {summary.threshold.sentence.removeprefix('Threshold ')}")
    said += _won(verdict, experiment) if verdict else _found(experiment)
    if summary and summary.no_winner:
        earlier = "this verdict is from an earlier run; the last run produced none"
        said.append(f"{earlier if verdict else 'no winner'}: {summary.no_winner}")
    if summary and summary.test:
        said += ["", "Test set (not used for tuning):", *_test_table(verdict, summary)]
        said += [summary.on_test.sentence] if summary.on_test and summary.on_test.sentence else []
    config = flatten(experiment.best_config)
    width = max(map(len, config), default=0)
    return [*said, "", *(f"  {name:{width}}  {show(value)}" for name, value in config.items())]


def _known_scores(summary: Summary | None) -> list[str]:
    """Show the scores on the test set that people know, with their intervals."""
    report = summary.on_test if summary else None
    if report is None or not report.known:
        return []
    said = []
    for score in report.known:
        spread = "" if score.interval is None else " (95% CI {:.4g} to {:.4g})"
        said.append(f"{score.name} {score.value:.4g}{spread.format(*score.interval or ())}")
    return [f"test set    {', '.join(said)}, {report.rows:,} rows"]


def _found(experiment: Experiment) -> list[str]:
    """Show the best trial of the search, if there were no finals."""
    best, metric, error = experiment.best, experiment.goal.words, read_in_unit(experiment)
    place = f"trial {best.trial}, epoch {best.epoch}"
    if error and best.trial in error.trials:
        place = f"{error.say(error.trials[best.trial])}; {place}"
    return [f"best {metric}  {best.value:.5g}  ({place}; the best of many, so optimistic)"]


def _won(verdict: Verdict, experiment: Experiment) -> list[str]:
    """Show the verdict on the winner of the finals."""
    low, high = verdict.interval
    won = f"{verdict.level:.0%} CI {low:.4g} to {high:.4g}, {verdict.scores} fresh scores"
    of = ", of the standardised target" if experiment.goal.is_standardised else ""
    threshold = experiment.summary.threshold if experiment.summary else None
    of += f", {threshold.in_search}" if threshold and threshold.in_search else ""
    error = read_in_unit(experiment)
    said = [f"winner      trial {verdict.trial}, {count(verdict.epochs, 'epoch')}"]
    if error and error.winner is not None:
        said.append(f"{error.name:11} {error.winner:.4g}  (of {error.target}, in its unit)")
    said.append(f"{verdict.metric:11} {verdict.mean:.4g}  ({won}{of})")
    if verdict.luck > 0 and verdict.search_value is not None:
        said.append(
            f"optimism    search score {verdict.search_value:.4g}, {rounded(verdict.luck)} better "
            "than on fresh data"
        )
    if verdict.runner_up:
        said.append(f"runner-up   {_runner_up(verdict, verdict.runner_up)}")
    if cheap := verdict.one_standard_error:
        kind = "less time" if cheap.parameters is None else f"{cheap.parameters:,} parameters"
        said.append(f"cheapest    trial {cheap.trial}, within one standard error ({kind})")
    return said


def _runner_up(verdict: Verdict, second: RunnerUp) -> str:
    low, high = second.interval
    how = "significantly worse" if verdict.is_distinguished else "no significant difference"
    if high < 0:
        how = "better on the scores held back to estimate"
    gap = f"gap {rounded(second.gap)}, {verdict.level:.0%} CI {rounded(low)} to {rounded(high)}"
    return f"trial {second.trial}, {how} ({gap})"


def _test_table(verdict: Verdict | None, summary: Summary) -> list[str]:
    """Show the test scores of the winner, of an ensemble and of the baselines, one per line."""
    scores = summary.test or {}
    rows = {"winner" if verdict else "best": scores}
    if summary.ensemble:
        rows[f"ensemble of {len(summary.ensemble.trials)}"] = summary.ensemble.test
    for baseline in verdict.baselines if verdict else ():
        rows[baseline.name] = baseline.test
    width = max(map(len, rows))
    names = list(scores)
    head = "  ".join(f"{name:>{max(len(name), 8)}}" for name in names)
    return [
        f"  {'':{width}}  {head}",
        *(
            f"  {label:{width}}  "
            + "  ".join(f"{_score(found.get(name)):>{max(len(name), 8)}}" for name in names)
            for label, found in rows.items()
        ),
    ]


def _score(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _failures(trials: pd.DataFrame) -> list[str]:
    """Show the failures, one line per cause, with its kind."""
    failed = trials[trials["state"] == "failed"]
    grouped = failed.groupby([failed["failure"], failed["error"].map(cause)])["trial"].agg(list)
    return [
        f"failed ({kind}): {len(numbers)} x {text} (trial {', '.join(map(str, numbers[:5]))}"
        f"{', ...' if len(numbers) > 5 else ''})"
        for (kind, text), numbers in grouped.items()
    ]


def _next(experiment: Experiment, *, short: bool) -> list[str]:
    """Name the folder, the files in it and the commands to type next."""
    place, summary = _short_path(experiment.folder.uri), experiment.summary
    has_model = experiment.folder.exists(MODEL) and not _is_damaged(experiment, MODEL)
    said = [f"folder  {place}"]
    if has_model:
        said.append(f"model   {join(place, MODEL)}")
    elif summary and summary.no_model:
        said.append(f"model   none: {summary.no_model}")
    if experiment.folder.exists(REPORT):
        said.append(f"report  {join(place, REPORT)}")
    place = shlex.quote(place)
    steps = [f"show {place}"] if short else []
    if not experiment.is_final and not is_held(experiment):
        steps += _continue(experiment)
        if experiment.trials["value"].notna().any():
            steps.append(f"export {place} {experiment.name}.keras")
    if has_model and experiment.description.preprocessing is not None:
        steps.append(f"predict {place} {_new_and_predicted(experiment.description)}")
    labels = ["next", *[""] * len(steps)]
    return said + [f"{n:6}  {_program()} {step}" for n, step in zip(labels, steps, strict=False)]


def _new_and_predicted(known: Description) -> str:
    """Name a file of new rows and one of predictions, in the format of the training data."""
    if known.preprocessing and known.preprocessing["columns"] is None:
        return "NEW.npz predictions.csv"
    kinds = (kind for kind in ("csv", "tsv") if f".{kind}" in str(known.data))
    kind = next(kinds, "parquet")
    return f"NEW.{kind} predictions.{kind}"


def _is_damaged(experiment: Experiment, name: str) -> bool:
    return any(problem.startswith(f"{name} ") for problem in experiment.problems)


def _continue(experiment: Experiment) -> list[str]:
    """Return the command that continues the experiment, if its own command is known."""
    command = experiment.description.command
    if not command.get("job"):
        return []
    storage = _short_path(experiment.folder.parent.uri)
    where = "" if storage == "results" else f" --storage {shlex.quote(storage)}"
    earlier = command.get("retest_of")
    what = f"retest {shlex.quote(_short_path(earlier))}" if earlier else "run"
    return [f"{what} --name {experiment.name}{where} --resume"]


def _short_path(path: str) -> str:
    """Return a path as it can be typed from here."""
    return path.removeprefix(f"{Path.cwd()}{os.sep}")


def _program() -> str:
    """Return the command as it can be typed: with its folder if that is not on the path."""
    name = "tune-jobs"
    if shutil.which(name) or Path(sys.argv[0]).name != name:
        return name
    return _short_path(str(Path(sys.argv[0]).absolute()))
