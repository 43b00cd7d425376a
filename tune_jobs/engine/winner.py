"""The best trial's checkpoint as one ``.keras`` file, and its score on the test part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiment import CONFIG, MODEL, Experiment
from tune_jobs.engine.scores import score

if TYPE_CHECKING:
    from tune_jobs.engine.dataset import Dataset
    from tune_jobs.engine.profile import Profile


@dataclass(frozen=True)
class Recipe:
    """What a process with Keras needs to make the model file: functions, config, weights."""

    build: Callable[..., Any]
    export: Callable[..., Any]
    load: Callable[..., Any]
    predict: Callable[..., Any]
    config: dict[str, Any]
    checkpoint: Any
    preprocessing: dict[str, Any] | None


def recipe_of(experiment: Experiment) -> Recipe:
    """What the best trial of an experiment is exported with.

    Raises:
        JobError: where its checkpoint is gone, or its trainable's module lacks a function.
    """
    from ray.tune import Checkpoint

    path = f"{experiment.folder.path}/{experiment.best_checkpoint()}"
    return Recipe(
        **{name: experiment.companion(name) for name in ("build", "export", "load", "predict")},
        config={**experiment.best_config, **experiment.description["constants"]},
        checkpoint=Checkpoint(path, experiment.folder.filesystem),
        preprocessing=experiment.description["preprocessing"],
    )


def export_file(recipe: Recipe, path: str) -> None:
    """Write the model file at a path of this machine; this process must have Keras."""
    with recipe.checkpoint.as_directory() as checkpoint:
        recipe.export(recipe.build, recipe.config, checkpoint, recipe.preprocessing, path)


def save_config(experiment: Experiment) -> None:
    """Write the best configuration as JSON."""
    experiment.folder.write_json(CONFIG, experiment.best_config)


def save_model(
    experiment: Experiment, recipe: Recipe, dataset: Dataset | None, profile: Profile
) -> dict[str, float] | None:
    """Export the best model and score it in a worker, since the driver has no Keras.

    Returns:
        The scores on the test part, or None where the job has no data.

    Raises:
        JobError: where the model cannot be made; the message says why.
    """
    import ray

    task = ray.remote(num_cpus=profile.cpus_per_trial, num_gpus=profile.gpus_per_trial)(
        _export_and_score
    )
    test = _test_part(dataset) if dataset else None
    try:
        content, scores = ray.get(task.remote(recipe, test))
    except ray.exceptions.RayTaskError as error:
        raise JobError(f"the best model could not be exported: {error.cause!r}") from error
    experiment.folder.write(MODEL, content)
    return scores  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _TestPart:
    task: str
    inputs: Any
    truth: np.ndarray[Any, Any]


def _test_part(dataset: Dataset) -> _TestPart:
    """The test part, its targets in the units of the exported model's predictions."""
    task, truth = dataset.signature["task"], dataset.y_test
    if task == "regression":
        target = dataset.preprocessing["target"]
        truth = truth.astype(float) * target["scale"] + target["mean"]
    return _TestPart(task, dataset.raw_test, truth)


def _export_and_score(
    recipe: Recipe, test: _TestPart | None
) -> tuple[bytes, dict[str, float] | None]:
    """The model file, and the test scores of the model as read back from that file."""
    with tempfile.TemporaryDirectory() as aside:
        path = str(Path(aside, MODEL))
        export_file(recipe, path)
        content = Path(path).read_bytes()
        if test is None:
            return content, None
        outputs = np.asarray(recipe.predict(recipe.load(path), test.inputs))
    return content, score(test.task, test.truth, outputs)
