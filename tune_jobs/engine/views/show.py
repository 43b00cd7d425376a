"""An experiment in words, for a terminal, and as a dict, for machines."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.analysis.usage import PURPOSES
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.files import MODEL, REPORT
from tune_jobs.engine.formatting import brief, count, show
from tune_jobs.engine.outcome import FINAL
from tune_jobs.engine.plain import finite, plain
from tune_jobs.engine.space.configs import flatten
from tune_jobs.engine.storage.uris import join
from tune_jobs.engine.views.headline import headline, is_held

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20
MOST_CHANGES = MOST_ANSWERS = 5
ADVICE = {
    "replace": "take the model below: the challenger, trained on these data",
    "inconclusive": "wait for the next retest, or ask again with --scores 16",
    "alarm": "retest it without --only-incumbent: is anything better on these data?",
}


def as_dict(experiment: Experiment) -> dict[str, Any]:
    """Everything that ``tell`` says, as JSON; numbers that are not finite are null."""
    trials = experiment.trials
    hidden = [name for name in trials.columns if name.startswith("config")]
    rows = trials.drop(columns=hidden).astype(object).where(trials.notna(), None)
    found = {
        "name": experiment.name,
        "folder": experiment.folder.uri,
        "metric": experiment.description["metric"],
        "mode": experiment.description["mode"],
        "exit_code": experiment.exit_code,
        **experiment.summary,
        "winner": experiment.verdict or None,
        "answer": experiment.retest or None,
        "all_trials": rows.to_dict("records"),
    }
    return {key: finite(plain(value)) for key, value in found.items()}


def tell(experiment: Experiment, *, short: bool) -> None:
    """Print the best, the folder and the next command; unless ``short`` also the trials."""
    for line in lines(experiment, short=short):
        print(line, file=sys.stdout)


def lines(experiment: Experiment, *, short: bool) -> list[str]:
    """What there is to say, from the outcome to the next command."""
    trials = experiment.trials
    usable = trials[trials["value"].notna() & (trials["state"] != "failed")]
    said = [headline(experiment), *_failures(trials), *_why_ended(experiment)]
    said += _answer(experiment)
    said += [f"damaged: {problem}" for problem in experiment.problems]
    if not usable.empty:
        said += ["", *_best(experiment)]
    said += _space(experiment)
    if not short:
        said += ["", *_table(trials, usable, experiment)]
    said += _usage(experiment, short=short)
    return [*said, "", *_next(experiment, short=short)]


def _why_ended(experiment: Experiment) -> list[str]:
    """Why the search ended before its last trial, with the traceback of a bug."""
    summary = experiment.summary
    said = []
    if reason := summary.get("ended_because"):
        said.append(f"the search ended early: {reason}")
    if summary.get("outcome") == "same error":
        said += ["trial after trial failed with the same error, so the search was ended:", ""]
        said += [f"  {line}" for line in summary["error"].splitlines()]
    elif summary.get("outcome") == "storage failed":
        said.append(f"storage failed: {summary['error']}")
    return said


def _space(experiment: Experiment) -> list[str]:
    """How the space was narrowed, and bounds that the best crowd at."""
    said = [
        f"stage {stage['stage']} searched {line}"
        for stage in experiment.summary.get("stages", ())
        for line in stage["narrowed"]
    ]
    said += [f"warning: {line}" for line in experiment.summary.get("warnings", ())]
    return ["", *said] if said else []


def _answer(experiment: Experiment) -> list[str]:
    """What a retest has answered, and what earlier ones did."""
    answer = experiment.retest
    if not answer:
        return []
    said = ["", f"verdict     {answer['answer']}: {answer['reason']}"]
    if answer["challenge"] and not answer["fall"]["is_worse"]:
        said.append(f"incumbent   {answer['fall']['sentence']}")
    said += [f"changed     {change}" for change in answer["changes"][:MOST_CHANGES]]
    before = [f"{each['name']} {each['answer']}" for each in answer["earlier"][-MOST_ANSWERS:]]
    if advice := ADVICE.get(answer["answer"]):
        said.append(f"advice      {advice}")
    return [*said, *([f"earlier     {', '.join(reversed(before))}"] if before else [])]


def _usage(experiment: Experiment, *, short: bool) -> list[str]:
    """How much of the time was useful work, and where the rest went."""
    usage = experiment.summary.get("usage")
    if not usage:
        return []
    total = sum(usage["seconds"].values())
    shares = {text: usage["seconds"].get(name, 0.0) / total for name, text in PURPOSES.items()}
    said = ["", f"useful work {usage['useful']:.0%} of {usage['workers']} workers' time"]
    if short:
        return said
    width = max(map(len, shares))
    said += [f"  {text:{width}}  {share:5.1%}" for text, share in shares.items()]
    paths = experiment.trials["path"].dropna().value_counts()
    return [*said, *(f"  {path}: {count} trials" for path, count in paths.items())]


def _best(experiment: Experiment) -> list[str]:
    said = _won(experiment) if experiment.verdict else _found(experiment)
    scores = experiment.summary.get("test")
    if scores:
        said += [
            "",
            "on the test part, which no choice has seen:",
            *_test_table(experiment, scores),
        ]
    config = flatten(experiment.best_config)
    width = max(map(len, config), default=0)
    return [*said, "", *(f"  {name:{width}}  {show(value)}" for name, value in config.items())]


def _found(experiment: Experiment) -> list[str]:
    """The best of the search, where no finals were."""
    best, metric = experiment.best_trial, experiment.description["metric"]
    place = f"trial {best['trial']}, epoch {best['best_epoch']}"
    said = [f"best {metric}  {best['value']:.5g}  ({place}; the best of many, so optimistic)"]
    if reason := experiment.summary.get("no_winner"):
        said.append(f"no winner: {reason}")
    return said


def _won(experiment: Experiment) -> list[str]:
    """The verdict on the winner of the finals."""
    verdict = experiment.verdict
    metric, level = verdict["metric"], f"{verdict['level']:.0%}"
    low, high = verdict["interval"]
    second, cheap = verdict["runner_up"], verdict["one_standard_error"]
    won = f"{level} interval {low:.4g} to {high:.4g}, {verdict['scores']} fresh scores"
    said = [
        f"winner      trial {verdict['trial']}, {count(verdict['epochs'], 'epoch')}",
        f"{metric:11} {verdict['mean']:.4g}  ({won})",
    ]
    if verdict["luck"] > 0:
        said.append(
            f"luck        the search's {verdict['search_value']:.4g} was {verdict['luck']:.2g} "
            "too good"
        )
    if second:
        low, high = second["interval"]
        gap = f"gap {second['gap']:.2g}, {level} interval {low:.2g} to {high:.2g}"
        told = "is worse" if verdict["is_distinguished"] else "cannot be told apart from it"
        if second["interval"][1] < 0:
            told = "did better on the scores that had no part in the choice"
        said.append(f"runner-up   trial {second['trial']} {told} ({gap})")
    if cheap:
        kind = f"{cheap['parameters']:,} parameters" if cheap["parameters"] else "less time"
        said.append(f"cheapest    trial {cheap['trial']} is within one standard error, with {kind}")
    if reason := experiment.summary.get("no_winner"):
        said.append(f"this was said by an earlier run; of the last one there is none: {reason}")
    return said


def _test_table(experiment: Experiment, scores: dict[str, float]) -> list[str]:
    """The test scores of the winner, of an ensemble and of the baselines, a line each."""
    rows = {"winner" if experiment.verdict else "best": scores}
    if ensemble := experiment.summary.get("ensemble"):
        rows[f"ensemble of {len(ensemble['trials'])}"] = ensemble["test"]
    for baseline in experiment.verdict.get("baselines", ()):
        rows[baseline["name"]] = baseline["test"]
    width = max(map(len, rows))
    names = list(scores)
    head = "  ".join(f"{name:>{max(len(name), 8)}}" for name in names)
    return [
        f"  {'':{width}}  {head}",
        *(
            f"  {label:{width}}  "
            + "  ".join(f"{found[name]:>{max(len(name), 8)}.4f}" for name in names)
            for label, found in rows.items()
        ),
    ]


def _failures(trials: pd.DataFrame) -> list[str]:
    """A line a cause, with its kind."""
    failed = trials[trials["state"] == "failed"]
    grouped = failed.groupby([failed["failure"], failed["error"].map(cause)])["trial"].agg(list)
    return [
        f"failed ({kind}): {len(numbers)} x {text} (trial {', '.join(map(str, numbers[:5]))}"
        f"{', ...' if len(numbers) > 5 else ''})"
        for (kind, text), numbers in grouped.items()
    ]


def _table(trials: pd.DataFrame, usable: pd.DataFrame, experiment: Experiment) -> list[str]:
    """The best trials, then those without a value or that failed."""
    import json

    top = experiment.ranked.head(MOST_ROWS)
    head = f"{'trial':>5}  {experiment.description['metric']:>12}  {'epoch':>7}  state       config"
    rows = [
        f"{row.trial:>5}  {row.value:>12.5g}  {row.best_epoch:>3}/{row.epochs:<3}  "
        f"{row.state:10}  {brief(json.loads(row.config))}"
        for row in top.itertuples()
    ]
    others = trials.drop(usable.index).head(MOST_ROWS)
    rows += [
        f"{row.trial:>5}  {'-':>12}  {'-':>3}/{row.epochs:<3}  "
        f"{row.state:10}  {brief(json.loads(row.config))}"
        for row in others.itertuples()
    ]
    left = len(trials) - len(rows)
    return [head, *rows, *([f"and {left} more in trials.parquet"] if left else [])]


def _next(experiment: Experiment, *, short: bool) -> list[str]:
    place = _short_path(experiment.folder.uri)
    said = [f"folder  {place}"]
    if experiment.folder.exists(MODEL):
        said.append(f"model   {join(place, MODEL)}")
    elif "no_model" in experiment.summary:
        said.append(f"model   none: {experiment.summary['no_model']}")
    if experiment.folder.exists(REPORT):
        said.append(f"report  {join(place, REPORT)}")
    place = shlex.quote(place)
    steps = [f"show {place}"] if short else []
    if experiment.summary.get("outcome") not in FINAL and not is_held(experiment):
        if experiment.description.get("command", {}).get("job"):
            storage = _short_path(experiment.folder.parent.uri)
            where = "" if storage == "results" else f" --storage {shlex.quote(storage)}"
            command = experiment.description["command"]
            retested = f"retest {shlex.quote(_short_path(command.get('retest_of', '')))}"
            what = retested if command.get("retest_of") else "run"
            steps.append(f"{what} --name {experiment.name}{where} --resume")
        if experiment.trials["value"].notna().any():
            steps.append(f"export {place} {experiment.name}.keras")
    if experiment.folder.exists(MODEL):
        steps.append(f"predict {place} NEW.parquet predictions.parquet")
    labels = ["next", *[""] * len(steps)]
    return said + [f"{n:6}  {_program()} {step}" for n, step in zip(labels, steps, strict=False)]


def _short_path(path: str) -> str:
    """A path as one would type it from here."""
    return path.removeprefix(f"{Path.cwd()}{os.sep}")


def _program() -> str:
    """The command as it can be typed: with its folder where that is not on the path."""
    name = "tune-jobs"
    if shutil.which(name) or Path(sys.argv[0]).name != name:
        return name
    return _short_path(str(Path(sys.argv[0]).absolute()))
