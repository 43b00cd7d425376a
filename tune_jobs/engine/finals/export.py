"""Export the winner as one ``.keras`` file, and score it on the test set."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.engine.background import in_background
from tune_jobs.engine.data.dataset import TrainingData
from tune_jobs.engine.data.scoring.baselines import score_baselines
from tune_jobs.engine.data.scoring.outputs import Meaning, meaning_of
from tune_jobs.engine.data.scoring.scorers import Scorer
from tune_jobs.engine.data.scoring.test_scores import in_units, score
from tune_jobs.engine.deadline import Deadline
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import CONFIG, ENSEMBLE, MODEL, REBUILD, VERDICT
from tune_jobs.engine.experiments.summary import Ensemble, Scores
from tune_jobs.engine.experiments.verdict import Baseline
from tune_jobs.engine.finals.decide import Decision
from tune_jobs.engine.finals.rebuild import code_that_rebuilds
from tune_jobs.engine.finals.rounds import without_patience
from tune_jobs.engine.job.companions import beside
from tune_jobs.engine.job.setup import Setup
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.trials.shipping import Shipped, ship
from tune_jobs.engine.trials.warm_workers import call_in_worker

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.job.profile import Profile

# A refit trains on all rows; a few of them stand in for validation rows, and their score is unused.
FEW_ROWS = 256

# How far predictions of the file may be from those of the trained model, which are computed in
# another order; more in half precision.
TOLERANCE, HALF_TOLERANCE = 1e-3, 3e-2


@dataclass(frozen=True)
class Recipe:
    """All that a process with Keras needs to make the model file: functions, config, weights."""

    build: Callable[..., Any]
    export: Callable[..., Any]
    load: Callable[..., Any]
    predict: Callable[..., Any]
    config: Config
    checkpoint: Any
    preprocessing: dict[str, Any] | None


@dataclass(frozen=True)
class Member:
    """A model that is trained on all rows but the test set.

    Attributes:
        config: hyperparameters and constants.
        epochs: the number of epochs, at most ``max_epochs``.
        seed: of its weights and batches.
    """

    config: Config
    epochs: int
    seed: int


@dataclass(frozen=True)
class TestSet:
    """The test set, in the forms that the exported and the trained model take."""

    __test__ = False

    meaning: Meaning
    inputs: Any
    encoded: np.ndarray[Any, Any]
    truth: np.ndarray[Any, Any]
    target: dict[str, Any]
    scorers: Mapping[str, Scorer]


@dataclass(frozen=True)
class ExportedModel:
    """Scores on the test set: of the model, None without data, and of an ensemble.

    ``unscored`` is why there are none although there is a test set.
    """

    test: Scores | None
    ensemble: Ensemble | None = None
    unscored: str | None = None


@dataclass(frozen=True)
class Made:
    """A model file, its scores on the test set (None without data), and why there are none."""

    content: bytes
    scores: Scores | None = None
    unscored: str | None = None


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


def export_file(recipe: Recipe, path: str) -> None:
    """Write the model file at a path of this machine; this process must have Keras."""
    with recipe.checkpoint.as_directory() as checkpoint:
        recipe.export(recipe.build, recipe.config, checkpoint, recipe.preprocessing, path)


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
    test = take_test_set(dataset) if dataset else None
    made = _in_worker(_export_and_score, profile, deadline)(recipe, test)
    experiment.export(MODEL, made.content)
    return ExportedModel(made.scores, unscored=made.unscored)


def refit(
    experiment: Experiment,
    recipe: Recipe,
    *,
    train: Callable[..., Any],
    members: Sequence[Member],
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
    few = slice(0, FEW_ROWS)
    training = replace(
        whole.training,
        x_validation=whole.training.x_train[few],
        y_validation=whole.training.y_train[few],
        replicas=(),
        scorers={},
    )
    files: dict[str, Made] = _in_worker(_refit_and_score, profile, deadline)(
        recipe, train, members, training, take_test_set(whole), ensemble
    )
    for name, made in files.items():
        experiment.export(name, made.content)
    return files


def take_test_set(dataset: Dataset) -> TestSet:
    """Return the test set, its targets in the units of the exported model's predictions."""
    target = dataset.preprocessing["target"]
    return TestSet(
        meaning=meaning_of(dataset.signature, dataset.y_test),
        inputs=dataset.raw_test,
        encoded=dataset.x_test,
        truth=in_units(dataset.y_test, target),
        target=target,
        scorers=dataset.training.scorers,
    )


def _in_worker(
    function: Callable[..., Any], profile: Profile, deadline: Deadline
) -> Callable[..., Any]:
    """Call a function of a recipe in a worker, as a trial is, until the deadline at most."""
    import ray

    def call(recipe: Recipe, *arguments: Any) -> Any:
        shipped = ship(recipe, of=recipe.build)
        try:
            return call_in_worker(
                _unpacked, function, shipped, *arguments, profile=profile, timeout=deadline.left
            )
        except ray.exceptions.GetTimeoutError:
            raise LateError("the time ran out before the model was made") from None
        except ray.exceptions.RayTaskError as error:
            raise JobError(f"the best model could not be exported: {error.cause!r}") from error
        except ray.exceptions.RayError as error:  # its worker was lost, again and again
            said = f"{type(error).__name__}: {first_line(error)}"
            raise JobError(f"the best model could not be exported: {said}") from error

    return call


def _unpacked(function: Callable[..., Any], recipe: Shipped, *arguments: Any) -> Any:
    """Call a function with a recipe that has been unpacked in this process."""
    return function(recipe.unpack(), *arguments)


def _export_and_score(recipe: Recipe, test: TestSet | None) -> Made:
    """Make the model file, and score the model as read back from it."""
    with tempfile.TemporaryDirectory() as aside:
        path = str(Path(aside, MODEL))
        export_file(recipe, path)
        content = Path(path).read_bytes()
        if test is None:
            return Made(content)
        outputs = np.asarray(recipe.predict(recipe.load(path), test.inputs))
    return Made(content, *_score(test, outputs))


def _score(test: TestSet, outputs: Any) -> tuple[Scores, str | None]:
    """Score outputs on the test set; return no scores and the reason if they cannot be scored."""
    try:
        return score(test.meaning, test.truth, outputs, test.scorers), None
    except JobError as reason:
        return {}, str(reason)


def _refit_and_score(
    recipe: Recipe,
    train: Callable[..., Any],
    members: Sequence[Member],
    training: TrainingData,
    test: TestSet,
    ensemble: bool,
) -> dict[str, Made]:
    """Train and write the models; score each as read back from its file."""
    models = [_refit_member(train, member, training) for member in members]
    if not all(hasattr(model, "predict") for model in models):
        return {}
    pairs = zip(models, members, strict=True)
    trained = [_predict_trained(recipe, model, member, test) for model, member in pairs]
    found = {MODEL: _write_and_check(recipe, members[:1], models[:1], trained[:1], test)}
    if ensemble:
        found[ENSEMBLE] = _write_and_check(recipe, members, models, trained, test)
    return found


def _predict_trained(recipe: Recipe, model: Any, member: Member, test: TestSet) -> Any:
    """Return a trained model's predictions on the test set, as its file has to give them."""
    outputs = np.asarray(model.predict(test.encoded, verbose=0))
    read = beside(recipe.export, "read_outputs")
    return in_units(read(model, outputs, member.config) if read else outputs, test.target)


def _refit_member(train: Callable[..., Any], member: Member, training: TrainingData) -> Any:
    own = {"epochs": member.epochs, "seed": member.seed, "metric": "loss", "mode": "min"}
    # Files of its callbacks would lie in the folder that the run was started from.
    with tempfile.TemporaryDirectory() as aside, contextlib.chdir(aside):
        return train({**member.config, **own}, training)


def _write_and_check(
    recipe: Recipe,
    members: Sequence[Member],
    models: Sequence[Any],
    trained: Sequence[np.ndarray[Any, Any]],
    test: TestSet,
) -> Made:
    """Write the mean of models as a file, and score it on the test set.

    Raises:
        JobError: if the file predicts otherwise than the trained models.
    """
    ready = iter(models)
    configs: Any = [member.config for member in members]
    with tempfile.TemporaryDirectory() as aside:
        path = str(Path(aside, MODEL))
        recipe.export(lambda _: next(ready), configs, None, recipe.preprocessing, path)
        content = Path(path).read_bytes()
        outputs = np.asarray(recipe.predict(recipe.load(path), test.inputs))
    expected = _average(trained)
    allowed = tolerance(models, test.target)
    distance = float(np.abs(outputs.reshape(expected.shape) - expected).max())
    if not distance <= allowed:
        raise JobError(
            f"the exported file's predictions differ from the trained model's by up to "
            f"{distance:.3g}, more than the allowed {allowed:.3g}"
        )
    return Made(content, *_score(test, outputs))


def _average(trained: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return the mean of predictions; with one output and with two, of the second class."""
    if len({each.shape for each in trained}) > 1:
        trained = [each[:, -1:] for each in trained]
    return np.asarray(np.mean(trained, axis=0))


def tolerance(models: Sequence[Any], target: Mapping[str, Any]) -> float:
    """Return how far predictions may differ, in the units of the target."""
    half = any(getattr(model, "compute_dtype", "float32") != "float32" for model in models)
    return (HALF_TOLERANCE if half else TOLERANCE) * float(np.max(target.get("scale", 1.0)))


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
    if whole is None or verdict is None:
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
    best, both = files[MODEL], files.get(ENSEMBLE)
    trials = tuple(decision.candidates[place].trial for place in decision.race.ranking)
    together = Ensemble(trials=trials, test=both.scores or {}) if both else None
    return ExportedModel(best.scores, together, best.unscored)


def _member(job: Job, decision: Decision, place: int) -> Member:
    config = without_patience(decision.candidates[place].config, job.max_epochs)
    config = {**config, **decision.rounds.constants}
    whole = decision.rounds.dataset
    if whole is not None:
        config["rows"] = len(whole.training.y_train)
    return Member(config, decision.race.epochs(place), derive(job.seed, f"refit {place}"))
