"""Checkpoints: the state of a fit as a folder of plain arrays, from which it resumes exactly.

``state.npz`` holds arrays by kind and number, their first axis being the replicas: ``weights``
(trainable), ``others`` (moving statistics, random states), ``slots`` (the optimizer's variables),
and ``best_weights`` and ``best_others`` of each replica's best epoch (or of its last, if the config
has ``epochs``). ``progress.json`` holds the progress of each replica, ``input_shape.json`` the
shape of a row of a Sequential model. No pickles.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.curves import Progress
from trainables.fitting.models import build_for, shape_of, stack, state_of
from trainables.fitting.session import DamagedCheckpointError

if TYPE_CHECKING:
    import keras

KINDS = ("weights", "others", "slots", "best_weights", "best_others")

INPUT_SHAPE = "input_shape.json"

Arrays = Mapping[str, Sequence[Any]]


def save_checkpoint(
    arrays: Arrays,
    progress: Sequence[Progress],
    folder: str | Path,
    input_shape: Sequence[int] | None = None,
) -> None:
    """Write the state of a fit into a folder."""
    numbered = {
        f"{kind}_{index}": np.asarray(value)
        for kind, values in arrays.items()
        for index, value in enumerate(values)
    }
    np.savez(Path(folder, "state.npz"), allow_pickle=False, **numbered)
    Path(folder, "progress.json").write_text(json.dumps([asdict(each) for each in progress]))
    if input_shape is not None:
        Path(folder, INPUT_SHAPE).write_text(json.dumps(list(input_shape)))


def save_models(
    models: Sequence[keras.Model],
    best: Sequence[Arrays],
    progress: Sequence[Progress],
    folder: str | Path,
) -> None:
    """Write the state of replicas that Keras trains, and their best weights, into a folder."""
    arrays = stack([state_of(model, slots=True) for model in models])
    arrays |= {f"best_{kind}": values for kind, values in stack(best).items()}
    save_checkpoint(arrays, progress, folder, shape_of(models[0]))


def load_checkpoint(folder: str | Path) -> tuple[dict[str, list[np.ndarray]], list[Progress]]:
    """Read the state of a fit from a folder.

    Raises:
        DamagedCheckpointError: if a file of it is missing, cut off or of another format.
    """
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    try:
        with (
            Path(folder, "state.npz").open("rb") as file,
            np.load(file, allow_pickle=False) as state,
        ):
            for name in state.files:  # in the order in which they were written
                found[name.rpartition("_")[0]].append(state[name])
        progress = json.loads(Path(folder, "progress.json").read_text())
        return found, [Progress(**each) for each in progress]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DamagedCheckpointError(f"{folder}: the checkpoint cannot be read: {error}") from None


def check_shapes(found: Arrays, expected: Arrays, folder: str | Path) -> None:
    """Refuse a checkpoint of another configuration.

    Raises:
        ValueError: if the arrays differ in number or shape from those expected.
    """
    for kind, values in expected.items():
        wanted = [tuple(value.shape) for value in values]
        held = [tuple(value.shape) for value in found.get(kind, ())]
        if held != wanted:
            raise ValueError(
                f"{folder}: the checkpoint holds {kind} of shapes {held}, but the model has "
                f"{wanted}; it was written with another configuration"
            )


def build_as_saved(model: keras.Model, folder: str | Path) -> None:
    """Build a Sequential model for the rows that a checkpoint was trained on."""
    shape = Path(folder, INPUT_SHAPE)
    if shape.exists():
        build_for(model, json.loads(shape.read_text()))


def load_weights(model: keras.Model, folder: str | Path) -> None:
    """Load the best weights of the first replica into a model that was built with its config."""
    found, _ = load_checkpoint(folder)
    build_as_saved(model, folder)
    weights = [array[0] for array in found["best_weights"]]
    others = [array[0] for array in found["best_others"]]
    trainable = model.trainable_variables
    if len(weights) == 1 and weights[0].ndim == 1:
        weights = split_vector(weights[0], trainable)
    fixed = model.non_trainable_weights
    check_shapes(
        {"weights": weights, "others": others[: len(fixed)]},
        {"weights": trainable, "others": fixed},
        folder,
    )
    for variable, value in zip([*trainable, *fixed], [*weights, *others], strict=False):
        variable.assign(value)


def split_vector(vector: np.ndarray, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Split a vector into arrays of the variables' shapes; the last takes what is left over."""
    ends = np.cumsum([int(np.prod(variable.shape)) for variable in variables])
    parts = np.split(vector, ends[:-1])
    return [
        part.reshape(v.shape) if part.size == np.prod(v.shape) else part
        for part, v in zip(parts, variables, strict=True)
    ]
