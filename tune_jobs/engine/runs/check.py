"""Find out what a job will do, without starting it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.cluster.concurrency import concurrency_of
from tune_jobs.engine.cluster.machine import local_node
from tune_jobs.engine.data.apart import say_source
from tune_jobs.engine.data.inspection.facts import as_lines, say_classes
from tune_jobs.engine.data.own_data import OwnData
from tune_jobs.engine.errors import JobError, first_line, is_mistake
from tune_jobs.engine.finals.rounds import check_rounds
from tune_jobs.engine.formatting import brief, count
from tune_jobs.engine.job.companions import beside, companion
from tune_jobs.engine.job.description import goal_of
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.runs.rehearsal import rehearsing
from tune_jobs.engine.space.checks import check_sendable
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.grid import extremes

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset


INDENTED = "\n" + " " * 13  # before a further line of a text, below its first


def plan(job: Job, profile: Profile) -> dict[str, str]:
    """Validate everything, build and rehearse models, and say what a run will do.

    Every option of every choice is built once, so that a misspelled one shows here. The smallest
    model is trained on one batch, saved, and read in a fresh process.

    Raises:
        JobError: for whatever would stop the run, or a model that cannot be built, trained, saved
            or read.
    """
    check_sendable("trainable", job.trainable)
    data = job.load_data()
    dataset = None if isinstance(data, OwnData) else data
    check_rounds(job, dataset)
    found = {"data": _say_data(job, data)} if data else {}
    found |= _say_columns(dataset) if dataset else {}
    with rehearsing(job, data) as rehearsed:
        found |= {
            "search": f"{job.searcher}, {_say_scheduler(job)}",
            "metric": _say_metric(job, dataset),
            "trials": _say_trials(job),
            "winner": _say_finalists(job),
            "models": _say_models(job, dataset),
            "rehearsal": rehearsed(),
        }
    if profile.address == "local":
        at_once = concurrency_of(profile, [local_node()])
        found["runs on"] = (
            f"this machine: {count(at_once, 'parallel trial')}, {_say_resources(profile)} each"
        )
    warnings = [*job.warnings, *(data.warnings if data else ())]
    return found | {f"warning {n}": text for n, text in enumerate(warnings, 1)}


def _say_metric(job: Job, dataset: Dataset | None) -> str:
    known = dataset.preprocessing if dataset else None
    goal = goal_of(job.metric, job.goal.mode, known, job.space)
    return f"{goal.words}, {goal.mode}imised"


def _say_resources(profile: Profile) -> str:
    units = [(profile.cpus_per_trial, "CPU"), (profile.gpus_per_trial, "GPU")]
    used = [(amount, unit) for amount, unit in units if amount]
    return " and ".join(f"{amount:g} {unit}{'' if amount == 1 else 's'}" for amount, unit in used)


def _say_scheduler(job: Job) -> str:
    if job.scheduler is None or not job.rungs:
        return str(job.scheduler or "no early stopping")
    rungs = ", ".join(f"{epochs:,}" for epochs in job.rungs)
    return f"{type(job.scheduler).__name__} with rungs after {rungs} epochs"


def _say_trials(job: Job) -> str:
    if job.stages:
        parts = [
            f"{stage.num_samples * job.points:,} of up to {stage.max_epochs or job.max_epochs:,}"
            for stage in job.stages
        ]
        said = f"{job.num_trials:,} in {len(parts)} stages: {', then '.join(parts)} epochs each"
    else:
        said = (
            f"{job.num_trials:,} of up to {job.max_epochs:,} epochs each, "
            f"at most {job.num_trials * job.max_epochs:,} epochs in all"
        )
    return f"{said}; fewer if more are not worth it" if job.stop_when_done else said


def _say_finalists(job: Job) -> str:
    if job.finalists is None:
        return "the best trial of the search (its score is optimistic)"
    finals = job.finalists.size(job.num_trials)
    most = (finals.count + min(finals.count, 2)) * finals.scores
    return (
        f"one of the best {finals.count}, retrained for {job.max_epochs:,} epochs at least "
        f"{finals.scores} times with fresh seeds and folds, about {most} fits at most"
    )


def _say_data(job: Job, dataset: Dataset | OwnData) -> str:
    if isinstance(dataset, OwnData):
        return f"as given: {dataset}; no test set"
    training, test = dataset.training, len(dataset.y_test)
    replicas = training.replicas
    parts = [len(training.y_train), len(training.y_validation)]
    total, how = sum(parts) + test, ""
    if replicas and replicas[0].train is not None and replicas[0].validation is not None:
        parts = [len(replicas[0].train), len(replicas[0].validation)]
        total = len(training.y_train) + test
    if len(replicas) > 1:
        how = f", {len(replicas)} fits per trial"
    shape = " x ".join(str(side) for side in dataset.signature["input_shape"])
    source = say_source(getattr(job.data, "source", "data"))
    return (
        f"{source}: {total:,} rows ({parts[0]:,} to train, "
        f"{parts[1]:,} to validate, {test:,} to test{how}), input {shape}, "
        f"{dataset.signature['task']}"
    )


def _say_columns(dataset: Dataset) -> dict[str, str]:
    """Say what the columns of a table are, and how it was read."""
    found = {f"reading {n}": note for n, note in enumerate(dataset.notes, 1)}
    if dataset.classes:
        found["classes"] = say_classes(dataset.classes)
    if dataset.columns:
        found["columns"] = INDENTED.join(as_lines(dataset.columns, dataset.width))
    return found


def _say_models(job: Job, dataset: Dataset | None) -> str:
    module = sys.modules[job.trainable.__module__]
    try:
        build = companion(module, "build")
    except JobError as reason:
        return f"not built: {reason}"
    fixed = job.constants(dataset)
    configs = extremes(job.space)
    check = beside(_export_of(module) or build, "check_model")
    sizes = [_count_parameters(build, config, fixed, check) for config in configs]
    return f"{min(sizes):,} to {max(sizes):,} parameters ({len(sizes)} configurations built)"


def _export_of(module: ModuleType) -> Callable[..., Any] | None:
    try:
        return companion(module, "export")
    except JobError:
        return None


def _count_parameters(
    build: Callable[..., Any], config: Config, fixed: Config, check: Callable[..., Any] | None
) -> int:
    """Build a model, and count its parameters.

    Raises:
        JobError: if it cannot be built, is none, or its outputs do not go with the target.
    """
    whole = {**config, **fixed}
    try:
        model = build(whole)
    except Exception as error:
        message = " ".join(str(error).split())
        raise JobError(
            f"the model of {brief(config)} cannot be built: {type(error).__name__}: {message}"
        ) from error
    try:
        if check is not None:
            check(model, whole)
    except Exception as error:
        if not is_mistake(error):
            raise
        raise JobError(first_line(error)) from None
    if not hasattr(model, "count_params"):
        raise JobError(f"build(config) returned {model!r}, but must return a compiled model")
    return int(model.count_params())
