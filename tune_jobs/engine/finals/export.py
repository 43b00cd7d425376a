"""Export the winner as one ``.keras`` file, and score it on the test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.background import in_background
from tune_jobs.engine.data.dataset import Replica
from tune_jobs.engine.data.own_data import Stored
from tune_jobs.engine.data.scoring.baselines import BaselineScores, score_baselines
from tune_jobs.engine.data.scoring.comparison import TestReport, report_on
from tune_jobs.engine.data.scoring.thresholds import Threshold
from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import CONFIG, ENSEMBLE, MODEL, REBUILD, VERDICT
from tune_jobs.engine.experiments.summary import Ensemble, Scores
from tune_jobs.engine.experiments.verdict import Baseline
from tune_jobs.engine.finals.decide import Decision
from tune_jobs.engine.finals.making import (
    Made,
    Member,
    Recipe,
    TestSet,
    export_and_score,
    predict_held_out,
    refit_and_score,
    take_test_set,
    unpacked,
)
from tune_jobs.engine.finals.rebuild import code_that_rebuilds
from tune_jobs.engine.finals.rounds import take_validation, without_patience
from tune_jobs.engine.finals.threshold import choice_of, choose_threshold, read_at
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.trials.shipping import ship
from tune_jobs.engine.trials.warm_workers import call_in_worker

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.profile import Profile


@dataclass(frozen=True)
class ExportedModel:
    """Scores on the test set: of the model, None without data, and of an ensemble.

    ``unscored`` is why there are none although there is a test set; ``report`` compares the model
    with simple ones; ``threshold`` is that of its predicted classes.
    """

    test: Scores | None
    ensemble: Ensemble | None = None
    unscored: str | None = None
    report: TestReport | None = None
    threshold: Threshold | None = None


class NoModelError(JobError):
    """There is nothing to make a model file from."""


class LateError(JobError):
    """The deadline has passed before the winner's model was made."""


def recipe_of(experiment: Experiment) -> Recipe:
    """Collect what the best trial of an experiment is exported with, from its own checkpoint.

    Raises:
        NoModelError: if its checkpoint is gone, or its trainable's module lacks a function.
    """
    from ray.tune import Checkpoint

    try:
        path = f"{experiment.folder.path}/{experiment.best_checkpoint()}"
    except JobError as reason:
        raise NoModelError(str(reason)) from None
    checkpoint = Checkpoint(path, experiment.folder.filesystem)
    return replace(companions(experiment), checkpoint=checkpoint)


def companions(experiment: Experiment) -> Recipe:
    """Collect the functions beside an experiment's trainable, and its best config; no weights.

    Raises:
        NoModelError: if its module lacks a function.
    """
    try:
        names = ("build", "export", "load", "predict")
        functions = {name: experiment.companion(name) for name in names}
    except JobError as reason:
        raise NoModelError(str(reason)) from None
    return Recipe(
        **functions,
        config={**experiment.best_config, **experiment.description.constants},
        checkpoint=None,
        preprocessing=experiment.description.preprocessing,
    )


def save_config(experiment: Experiment) -> None:
    """Write the best configuration as JSON, and a Python file that builds its model."""
    experiment.folder.write_json(CONFIG, experiment.best_config)
    trusted, known = experiment.trusted, experiment.description.constants
    if not known or (trusted is not None and trusted.is_made):
        return  # the module builds its own tuner, or a program: no import finds what builds models
    experiment.folder.write(REBUILD, code_that_rebuilds(experiment).encode())


def save_model(
    experiment: Experiment,
    recipe: Recipe,
    dataset: Dataset | None,
    profile: Profile,
    *,
    deadline: Deadline,
) -> ExportedModel:
    """Export the best trial's checkpoint and score it in a worker, since the driver has no Keras.

    Raises:
        JobError: if the model cannot be made; the message says why.
        LateError: if the deadline passes before that.
    """
    export, metric = _in_worker(export_and_score, profile, deadline), experiment.goal.metric
    if dataset is None:
        made = export(recipe, None)
        experiment.export(MODEL, made.content)
        return ExportedModel(made.scores, unscored=made.unscored)
    training, choice, test = dataset.training, choice_of(dataset, metric), take_test_set(dataset)
    first = (training.replicas or (Replica(0),))[:1]
    # While a worker exports.
    baselines = in_background(lambda: score_baselines(dataset, first, metric))
    validation = take_validation(training, first[0]) if choice else None
    made = export(recipe, test, validation)
    experiment.export(MODEL, made.content)
    threshold = choose_threshold(choice, dataset, first, lambda _: [made.held_out])
    made, test = read_at(threshold, experiment, made, test)
    report = _report_on(made, test, baselines.result(), metric)
    return ExportedModel(made.scores, None, made.unscored, report, threshold)


def refit(
    experiment: Experiment,
    recipe: Recipe,
    *,
    train: Callable[..., Any],
    members: Sequence[Member],
    searched: Stored,
    whole: Dataset,
    profile: Profile,
    ensemble: bool,
    deadline: Deadline,
) -> dict[str, Made]:
    """Train the winner, the first member, on all rows but the test set; export and score it.

    Args:
        experiment: where the files are written.
        recipe: what they are made with.
        train: the job's trainable.
        members: the winner and, for an ensemble, the others.
        searched: the training data of the search.
        whole: the dataset with training and validation rows together.
        profile: what a worker may use.
        ensemble: whether to export and score the mean of all members, too.
        deadline: when it has to be done.

    Returns:
        What was made, by file; empty if the trainable does not return its model.

    Raises:
        JobError: if a model cannot be made, or its file predicts otherwise than the model.
        LateError: if the deadline passes before that.
    """
    files: dict[str, Made] = _in_worker(refit_and_score, profile, deadline)(
        recipe, train, members, searched, take_test_set(whole), ensemble
    )
    for name, made in files.items():
        experiment.export(name, made.content)
    return files


def _in_worker(
    function: Callable[..., Any],
    profile: Profile,
    deadline: Deadline,
    *,
    late: str = "the time ran out before the model was made",
    failed: str = "the best model could not be exported",
) -> Callable[..., Any]:
    """Call a function of a recipe in a worker, as a trial is, until the deadline at most."""
    import ray

    def call(recipe: Recipe, *arguments: Any) -> Any:
        shipped = ship(recipe, of=recipe.build)
        try:
            return call_in_worker(
                unpacked, function, shipped, *arguments, profile=profile, timeout=deadline.left
            )
        except ray.exceptions.GetTimeoutError:
            raise LateError(late) from None
        except ray.exceptions.RayTaskError as error:
            raise JobError(f"{failed}: {error.cause!r}") from error
        except ray.exceptions.RayError as error:  # its worker was lost, again and again
            said = f"{type(error).__name__}: {first_line(error)}"
            raise JobError(f"{failed}: {said}") from error

    return call


def make_model(
    setup: Setup,
    experiment: Experiment,
    recipe: Recipe,
    decision: Decision,
    *,
    deadline: Deadline,
) -> ExportedModel | None:
    """Train the winner on all rows but the test set, export it, and score it beside baselines.

    Returns:
        None if the job has no data, or its trainable returns no model.

    Raises:
        JobError: if the model cannot be made.
        LateError: if the deadline passes before that.
    """
    job, whole, verdict = setup.job, decision.rounds.dataset, decision.verdict
    searched = setup.store.put(setup.data.training if setup.data else None)
    if whole is None or verdict is None or searched is None:
        return None
    members = [_member(job, decision, place) for place in decision.race.ranking]
    ensemble = bool(job.finalists and job.finalists.ensemble)
    used = members if ensemble else members[:1]
    later = decision.rounds.batches[decision.rounds.choosing :]
    replicas = [replica for batch in later for replica in batch]
    # While a worker trains.
    baselines = in_background(lambda: score_baselines(whole, replicas, job.metric))
    files = refit(
        experiment,
        recipe,
        train=job.trainable,
        members=used,
        searched=searched,
        whole=whole,
        profile=setup.profile,
        ensemble=ensemble,
        deadline=deadline,
    )
    if not files:
        return None
    verdict = replace(
        verdict,
        baselines=tuple(
            Baseline(name=each.name, mean=each.mean, test=each.test) for each in baselines.result()
        ),
    )
    experiment.write(VERDICT, verdict)
    call = _in_worker(
        predict_held_out,
        setup.profile,
        deadline,
        late="the time ran out",
        failed="it could not be trained on a fold",
    )
    threshold = choose_threshold(
        choice_of(whole, job.metric),
        whole,
        replicas,
        lambda folds: call(recipe, job.trainable, used[0], searched, folds),
    )
    both = files.get(ENSEMBLE)
    best, test = read_at(threshold, experiment, files[MODEL], take_test_set(whole))
    report = _report_on(best, test, baselines.result(), job.metric)
    trials = tuple(decision.candidates[place].trial for place in decision.race.ranking)
    together = Ensemble(trials=trials, test=both.scores or {}) if both else None
    return ExportedModel(best.scores, together, best.unscored, report, threshold)


def _report_on(
    made: Made, test: TestSet, baselines: Sequence[BaselineScores], metric: str
) -> TestReport | None:
    """Compare a model with simple ones on the test set; None if it could not be scored."""
    if made.outputs is None:
        return None
    return report_on(
        test.meaning,
        test.truth,
        made.outputs,
        {each.name: each.outputs for each in baselines},
        metric=metric,
        scorers=test.scorers,
        classes=test.target.get("classes") or (),
        thresholds={each.name: each.threshold for each in baselines},
    )


def _member(job: Job, decision: Decision, place: int) -> Member:
    config = without_patience(decision.candidates[place].config, job.max_epochs)
    config = {**config, **decision.rounds.constants}
    whole = decision.rounds.dataset
    if whole is not None:
        config["rows"] = len(whole.training.y_train)
    return Member(config, decision.race.epochs(place), derive(job.seed, f"refit {place}"))
