"""Callbacks of Keras that only stop a fit: they need an epoch's metrics, and no ``model.fit``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from trainables.fitting.callbacks import Lists


def only_stop(callbacks: Sequence[keras.callbacks.Callback]) -> bool:
    """Return whether all callbacks are Keras' own ``EarlyStopping``."""
    import keras

    return all(type(callback) is keras.callbacks.EarlyStopping for callback in callbacks)


class Stoppers:
    """The callbacks of a fit's replicas, called after each epoch; nothing without callbacks.

    The fit keeps each replica's best weights itself, so none are read or put back here.

    Args:
        lists: the callbacks by replica, all of which only stop.
        model: whose metrics say in which direction a metric improves.
    """

    def __init__(self, lists: Lists, model: keras.Model) -> None:
        self._lists = lists
        self._seen = [
            SimpleNamespace(
                stop_training=False,
                metrics=model.metrics,
                get_weights=lambda: None,
                set_weights=lambda _: None,
            )
            for _ in lists
        ]
        for callbacks, seen in zip(lists, self._seen, strict=True):
            for callback in callbacks:
                callback.set_model(seen)
                callback.on_train_begin()

    def __bool__(self) -> bool:
        """Return whether there is a callback."""
        return any(self._lists)

    def are_done(self, index: int, epoch: int, logs: Mapping[str, Any]) -> bool:
        """Show a replica's callbacks an epoch; return whether one of them stops the replica.

        Args:
            index: the replica's place.
            epoch: counted from 1.
            logs: its metrics.
        """
        for callback in self._lists[index]:
            callback.on_epoch_end(epoch - 1, dict(logs))
        return bool(self._seen[index].stop_training)

    def end(self) -> None:
        """Call what the callbacks do when training has ended."""
        for callback in (each for callbacks in self._lists for each in callbacks):
            callback.on_train_end()
