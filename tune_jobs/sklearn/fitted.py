"""The model of the best config, trained on all rows: its outputs for new rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.space.configs import Config
from tune_jobs.sklearn.features import Encoder
from tune_jobs.sklearn.fitting import Build

# Rows that are predicted at once, and what a batch is filled up to a multiple of: the outputs of a
# row then do not depend on the rows beside it.
MOST_ROWS, MULTIPLE = 4096, 32


@dataclass
class FittedModel:
    """A trained model as a function of features; it is pickled as its weights.

    Attributes:
        build: builds the model.
        config: of the model.
        weights: of the model.
        encoder: makes the matrix that the model takes.
    """

    build: Build
    config: Config
    weights: Sequence[Array]
    encoder: Encoder
    _model: Any = field(default=None, repr=False, compare=False)

    @property
    def model(self) -> Any:
        """The Keras model, built when it is first asked for."""
        from trainables.fitting.models import build_optimizer

        if self._model is None:
            self._model = self.build(dict(self.config))
            self._model.set_weights(self.weights)
            build_optimizer(self._model)  # else Keras warns whoever reads a file of it
        return self._model

    def __call__(self, x: Any) -> Array:
        """Return the outputs for some rows, as probabilities or numbers."""
        from trainables.fitting.outputs import read_outputs

        outputs = self._predict(self.encoder.encode(x))
        return np.asarray(read_outputs(self.model, outputs, self.config))

    def _predict(self, x: Array) -> Array:
        found = [self._predict_batch(x[at : at + MOST_ROWS]) for at in range(0, len(x), MOST_ROWS)]
        return np.concatenate(found)

    def _predict_batch(self, x: Array) -> Array:
        lacking = -len(x) % MULTIPLE
        padded = np.concatenate([x, np.repeat(x[-1:], lacking, axis=0)])
        return np.asarray(self.model(padded, training=False))[: len(x)]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the Keras model out: it is built again from config and weights."""
        return {**vars(self), "_model": None}
