"""What workers do for a search: fit a config on its folds, and the winner on all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trainables.preload import preload

__all__ = ["make_trainable", "preload", "refit"]

Build = Callable[[Any], Any]


def make_trainable(build: Build, callbacks: Sequence[Any] = ()) -> Callable[[Any, Any], Any]:
    """Return the function that fits a config to the folds of a search."""

    def train(config: Any, data: Any) -> Any:
        from trainables.fitting import fit

        return fit(build, config, data, callbacks=list(callbacks))

    return train


def refit(build: Build, callbacks: Sequence[Any], config: Any, data: Any) -> list[Any]:
    """Fit a config to all rows for a given number of epochs, and return its model's weights.

    The search has found that number, and no rows are left by which EarlyStopping could decide.
    """
    import keras

    early = keras.callbacks.EarlyStopping
    lasting = [each for each in callbacks if not isinstance(each, early)]
    model = make_trainable(build, lasting)(config, data)
    return [*map(_as_array, model.get_weights())]


def _as_array(weights: Any) -> Any:
    import numpy as np

    return np.asarray(weights)
