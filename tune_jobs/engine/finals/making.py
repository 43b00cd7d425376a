"""Make the winner's model file and score it, in a worker, which imports only what this needs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.engine.data.own_data import Stored, unpack_sets
from tune_jobs.engine.data.scoring.outputs import Meaning, meaning_of
from tune_jobs.engine.data.scoring.scorers import Scorer
from tune_jobs.engine.data.scoring.test_scores import in_units, score
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.experiments.files import ENSEMBLE, MODEL
from tune_jobs.engine.finals.rounds import bare, join_rows, select
from tune_jobs.engine.job.companions import beside
from tune_jobs.engine.space.configs import Config

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset, Replica, TrainingData
    from tune_jobs.engine.experiments.summary import Scores
    from tune_jobs.engine.trials.shipping import Shipped

# How far predictions of the file may be from those of the trained model, which are computed in
# another order; more in half precision.
TOLERANCE, HALF_TOLERANCE = 1e-3, 3e-2

# The rows that stand in for validation rows where all are trained on.
FEW_ROWS = 256


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
class Made:
    """A model file, and its scores and outputs on the test set.

    Attributes:
        content: of the file.
        scores: None without data.
        unscored: why there are none.
        outputs: None unless they could be scored.
        held_out: its outputs for validation rows, or why there are none; None if not asked for.
    """

    content: bytes
    scores: Scores | None = None
    unscored: str | None = None
    outputs: np.ndarray[Any, Any] | None = None
    held_out: np.ndarray[Any, Any] | str | None = None


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


def export_file(recipe: Recipe, path: str) -> None:
    """Write the model file at a path of this machine; this process must have Keras."""
    with recipe.checkpoint.as_directory() as checkpoint:
        recipe.export(recipe.build, recipe.config, checkpoint, recipe.preprocessing, path)


def unpacked(function: Callable[..., Any], recipe: Shipped, *arguments: Any) -> Any:
    """Call a function with a recipe that has been unpacked in this process."""
    return function(recipe.unpack(), *arguments)


def export_and_score(
    recipe: Recipe, test: TestSet | None, validation: np.ndarray[Any, Any] | None = None
) -> Made:
    """Make the model file, and score the model as read back from it.

    Args:
        recipe: what the file is made with.
        test: the test set.
        validation: encoded rows to predict, too.
    """
    with tempfile.TemporaryDirectory() as aside:
        path = str(Path(aside, MODEL))
        export_file(recipe, path)
        content = Path(path).read_bytes()
        if test is None:
            return Made(content)
        outputs = np.asarray(recipe.predict(recipe.load(path), test.inputs))
    made = _scored(content, test, outputs)
    if validation is None:
        return made
    return replace(made, held_out=_predict_encoded(recipe, validation))


def _predict_encoded(recipe: Recipe, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | str:
    """Return the outputs of the checkpoint's model for encoded rows; why not if they fail."""
    bare = replace(recipe, preprocessing=None)
    try:
        with tempfile.TemporaryDirectory() as aside:
            path = str(Path(aside, MODEL))
            export_file(bare, path)
            return np.asarray(recipe.predict(recipe.load(path), rows))
    except Exception as error:  # noqa: BLE001  # a job's own export may not take that
        return f"the model does not predict the validation rows: {first_line(error)}"


def predict_held_out(
    recipe: Recipe,
    train: Callable[..., Any],
    member: Member,
    searched: Stored,
    replicas: Sequence[Replica],
) -> list[np.ndarray[Any, Any]]:
    """Train a member on the rows of each replica; return its outputs for the rows held out."""
    training = bare(unpack_sets(searched))
    return [_predict_fold(recipe, train, member, training, each) for each in replicas]


def _predict_fold(
    recipe: Recipe,
    train: Callable[..., Any],
    member: Member,
    training: TrainingData,
    replica: Replica,
) -> np.ndarray[Any, Any]:
    data = select(training, replica)
    config = {**member.config, "rows": len(data.y_train)}
    member = replace(member, config=config, seed=replica.seed)
    model = _refit_member(train, member, data)
    return _outputs_of(recipe, model, member, data.x_validation)


def _scored(content: bytes, test: TestSet, outputs: np.ndarray[Any, Any]) -> Made:
    """Score outputs on the test set; without scores and with the reason if that cannot be done."""
    try:
        scores = score(test.meaning, test.truth, outputs, test.scorers)
    except JobError as reason:
        return Made(content, {}, str(reason))
    return Made(content, scores, outputs=outputs)


def refit_and_score(
    recipe: Recipe,
    train: Callable[..., Any],
    members: Sequence[Member],
    searched: Stored,
    test: TestSet,
    ensemble: bool,
) -> dict[str, Made]:
    """Train and write the models; score each as read back from its file.

    They are trained on all rows; a few of them stand in for validation rows, and their score is
    unused.
    """
    training = join_rows(bare(unpack_sets(searched)), members[0].config["rows"], FEW_ROWS)
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
    return in_units(_outputs_of(recipe, model, member, test.encoded), test.target)


def _outputs_of(
    recipe: Recipe, model: Any, member: Member, rows: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return a trained model's outputs as probabilities, or as standardised numbers."""
    outputs = np.asarray(model.predict(rows, verbose=0))
    read = beside(recipe.export, "read_outputs")
    return np.asarray(read(model, outputs, member.config) if read else outputs)


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
    return _scored(content, test, outputs)


def _average(trained: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return the mean of predictions; with one output and with two, of the second class."""
    if len({each.shape for each in trained}) > 1:
        trained = [each[:, -1:] for each in trained]
    return np.asarray(np.mean(trained, axis=0))


def tolerance(models: Sequence[Any], target: Mapping[str, Any]) -> float:
    """Return how far predictions may differ, in the units of the target."""
    half = any(getattr(model, "compute_dtype", "float32") != "float32" for model in models)
    return (HALF_TOLERANCE if half else TOLERANCE) * float(np.max(target.get("scale", 1.0)))
