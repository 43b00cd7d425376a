"""Checkpoints: the state of a fit as a folder of plain arrays, so that it resumes exactly.

``state.npz`` holds the variables of the model and of its optimizer, in order, and the best weights
where an earlier epoch was better; ``epoch.json`` the progress. Reading them unpickles nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

Weights = list[np.ndarray]


@dataclass(frozen=True)
class Progress:
    """How far a fit has come: epochs done, and the best value so far with its epoch."""

    epoch: int = 0
    best: float | None = None
    best_epoch: int = 0


def save_checkpoint(
    model: keras.Model, progress: Progress, best_weights: Weights | None, folder: str | Path
) -> None:
    """Write the state of a fit into a folder."""
    arrays = _number("model", model.variables) | _number("optimizer", model.optimizer.variables)
    if best_weights is not None and progress.best_epoch < progress.epoch:
        arrays |= _number("best", best_weights)
    np.savez(Path(folder, "state.npz"), allow_pickle=False, **arrays)
    Path(folder, "epoch.json").write_text(json.dumps(asdict(progress)))


def load_checkpoint(model: keras.Model, folder: str | Path) -> tuple[Progress, Weights | None]:
    """Put the state of a fit back into its model; return its progress and its best weights."""
    load_variables(model, folder)
    model.optimizer.build(model.trainable_variables)
    progress = Progress(**json.loads(Path(folder, "epoch.json").read_text()))
    with np.load(Path(folder, "state.npz"), allow_pickle=False) as state:
        _assign(model.optimizer.variables, _take(state, "optimizer"), folder)
        best = _take(state, "best")
    if progress.best is None:
        return progress, None
    return progress, best or model.get_weights()


def load_variables(model: keras.Model, folder: str | Path) -> None:
    """Put the weights and the other variables of a checkpoint into a model of the same shape."""
    with np.load(Path(folder, "state.npz"), allow_pickle=False) as state:
        _assign(model.variables, _take(state, "model"), folder)


def _number(kind: str, values: Iterable[Any]) -> dict[str, Any]:
    return {f"{kind}_{index}": np.asarray(value) for index, value in enumerate(values)}


def _take(state: Any, kind: str) -> Weights:
    count = sum(name.startswith(f"{kind}_") for name in state.files)
    return [state[f"{kind}_{index}"] for index in range(count)]


def _assign(variables: Sequence[Any], values: Weights, folder: str | Path) -> None:
    expected, found = [tuple(v.shape) for v in variables], [value.shape for value in values]
    if expected != found:
        raise ValueError(
            f"{folder}: the checkpoint holds variables of shapes {found}, but the model has "
            f"{expected}; it was written with another configuration"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
