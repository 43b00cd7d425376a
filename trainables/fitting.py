"""The bridge from Keras to Tune: epochs are reported and checkpointed, and fits resume exactly."""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ray import tune

from trainables.checkpoints import Progress, Weights, load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    import keras

Config = Mapping[str, Any]


class Data(Protocol):
    """The training part, which is fitted, and the validation part, which is scored every epoch."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray


def fit(
    build: Callable[[Config], keras.Model],
    config: Config,
    data: Data,
    *,
    callbacks: Sequence[Any] = (),
) -> keras.Model:
    """Fit one configuration and return the model with the weights of its best epoch.

    Inside a Tune session it goes on from the session's checkpoint, if there is one, as if it had
    never stopped; outside a session it reports nothing and writes nothing.
    """
    import keras

    _reset_keras(config)
    recorder = Recorder(build(config), config)
    recorder.resume()
    batches = make_batches(data, config)
    order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: batches.shuffle(epoch))
    record = keras.callbacks.LambdaCallback(
        on_epoch_begin=recorder.begin_epoch, on_epoch_end=recorder.end_epoch
    )
    recorder.model.fit(
        batches,
        epochs=recorder.last_epoch(),
        initial_epoch=recorder.progress.epoch,
        validation_data=(data.x_validation, data.y_validation),
        validation_batch_size=config.get("batch_size", 32),
        callbacks=[order, *callbacks, record],
        shuffle=False,  # else Keras draws an order of the batches from the process' random state
        verbose=0,
    )
    return recorder.restore_best()


class Recorder:
    """What Keras calls at every epoch: keeps the best weights, reports, runs out of patience."""

    def __init__(self, model: keras.Model, config: Config) -> None:
        self.model = model
        self.config = config
        self.progress = Progress()
        self.best_weights: Weights | None = None
        self.in_session = is_in_session()
        self.started = 0.0

    def resume(self) -> None:
        """Go on from the session's checkpoint, if there is one."""
        checkpoint = tune.get_checkpoint() if self.in_session else None
        if checkpoint is None:
            return
        with checkpoint.as_directory() as folder:
            self.progress, self.best_weights = load_checkpoint(self.model, folder)

    def begin_epoch(self, epoch: int, logs: Any) -> None:  # noqa: ARG002 - called by Keras
        """Start the clock."""
        self.started = time.perf_counter()

    def end_epoch(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Note the epoch, report it with a checkpoint, and stop when patience is exhausted."""
        metrics = {name: float(value) for name, value in logs.items()}
        self.progress = advance(self.progress, epoch + 1, self._value(metrics), self._mode())
        if self.progress.best_epoch == self.progress.epoch:
            self.best_weights = self.model.get_weights()
        if self.in_session:
            self._report(metrics | {"seconds": time.perf_counter() - self.started})
        if self._is_exhausted():
            self.model.stop_training = True

    def last_epoch(self) -> int:
        """Return the epoch count at which training ends if patience does not end it before."""
        return self.progress.epoch if self._is_exhausted() else self._max_epochs()

    def restore_best(self) -> keras.Model:
        """Return the model with the weights of its best epoch (the last, if none was finite)."""
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)
        return self.model

    def _report(self, metrics: dict[str, float]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(self.model, self.progress, self.best_weights, folder)
            checkpoint = tune.Checkpoint.from_directory(folder)
            tune.report({"epoch": self.progress.epoch, **metrics}, checkpoint=checkpoint)

    def _value(self, metrics: Mapping[str, float]) -> float:
        metric = self.config.get("metric", "val_loss")
        if metric not in metrics and not self.in_session:  # In a session the job ends the run.
            raise ValueError(
                f"metric '{metric}' was not reported; Keras reported: {', '.join(sorted(metrics))}"
            )
        return metrics.get(metric, math.nan)

    def _mode(self) -> str:
        return str(self.config.get("mode", "min"))

    def _max_epochs(self) -> int:
        return int(self.config.get("max_epochs", 10))

    def _is_exhausted(self) -> bool:
        patience = self.config.get("patience")
        waited = self.progress.epoch - self.progress.best_epoch
        return patience is not None and waited >= max(int(patience), 1)


def advance(progress: Progress, epoch: int, value: float, mode: str) -> Progress:
    """Return the progress after one more epoch; a value that is not finite is never the best."""
    sign = {"min": 1, "max": -1}[mode]
    is_best = progress.best is None or sign * value < sign * progress.best
    if math.isfinite(value) and is_best:
        return Progress(epoch=epoch, best=value, best_epoch=epoch)
    return replace(progress, epoch=epoch)


def is_in_session() -> bool:
    """Return whether this function runs inside a Tune trial; Ray warns where it does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tune.get_context().get_trial_id() is not None


def make_batches(data: Data, config: Config) -> Any:
    """Return the training rows as a Keras dataset whose order follows from seed and epoch alone.

    Keras' own shuffling follows from the process' random state, which no checkpoint holds.
    """
    import keras

    seed, size = int(config.get("seed", 0)), int(config.get("batch_size", 32))
    rows = len(data.x_train)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def shuffle(self, epoch: int) -> None:
            self.order = np.random.default_rng([seed, epoch]).permutation(rows)

        def __len__(self) -> int:
            return math.ceil(rows / size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            batch = self.order[index * size : (index + 1) * size]
            return data.x_train[batch], data.y_train[batch]

    batches = Batches()
    batches.shuffle(0)
    return batches


def _reset_keras(config: Config) -> None:
    import keras

    seed = int(config.get("seed", 0))
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        _make_cpu_deterministic()


def _make_cpu_deterministic() -> None:
    import tensorflow as tf

    # On a GPU some operations have no deterministic form and would raise; there it is the user's.
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
