"""The features of a search: numbers as they are, or raw columns, encoded in each fold anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tune_jobs.engine.data.splitting import Array, Fold


class Encoder(Protocol):
    """Turns features into the matrix that a model takes."""

    @property
    def signature(self) -> dict[str, Any]:
        """What a config holds about the features."""
        ...

    def encode(self, x: Any) -> Array:
        """Return the matrix of some rows."""
        ...


@dataclass(frozen=True)
class AsTheyAre:
    """Numbers that a model takes as they are.

    Attributes:
        shape: of a row.
    """

    shape: tuple[int, ...]

    @property
    def signature(self) -> dict[str, Any]:
        """What a config holds about the features."""
        return {"input_shape": list(self.shape), "categories": []}

    def encode(self, x: Any) -> Array:
        """Return the numbers as float32."""
        return np.asarray(x, dtype=np.float32)


@dataclass(frozen=True)
class Encoded:
    """The features of a search, ready to be trained on.

    Attributes:
        x: the matrix; with raw columns, one block of all rows per fold, each encoded by what was
            learnt from the fold's training rows.
        folds: the rows of the matrix that each fold trains on, and those that it holds out.
        encoder: what was learnt from all rows, for the final model.
        whole: the matrix of all rows for the final model.
    """

    x: Array
    folds: Sequence[Fold]
    encoder: Encoder
    whole: Array


def encode_numbers(x: Array, folds: Sequence[Fold]) -> Encoded:
    """Return features that are numbers already."""
    encoder = AsTheyAre(x.shape[1:])
    matrix = encoder.encode(x)
    return Encoded(matrix, folds, encoder, matrix)
