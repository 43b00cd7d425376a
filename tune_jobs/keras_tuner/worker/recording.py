"""One execution of a program's own training, recorded epoch by epoch as Keras calls back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from trainables.fitting.checkpoints import load_checkpoint, save_models
from trainables.fitting.curves import Progress
from trainables.fitting.models import assign, build_optimizer, state_of
from trainables.fitting.plain import as_numbers
from trainables.fitting.session import Session
from tune_jobs.keras_tuner.objective import Objective


class Recording:
    """The epochs of one execution, its best weights, and whether they were reported already.

    Args:
        objective: decides which epoch is best.
        session: what reports the epochs as they end, None to report them afterwards.

    Attributes:
        rows: the metrics of each epoch, and the seconds that it took.
    """

    def __init__(self, objective: Objective, session: Session | None) -> None:
        self.rows: list[dict[str, float]] = []
        self.progress = Progress()
        self.is_reported = False
        self._objective, self._session = objective, session
        self._model: Any = None
        self._best: Any = None
        self._began = time.perf_counter()

    @property
    def epoch(self) -> int:
        """The number of epochs trained, those before a pause included."""
        return self.progress.epoch

    def resume(self, model: Any) -> None:
        """Put a model into the state in which the trial was paused, if it was."""
        if self._session is not None:
            self._session.resume(lambda folder: self._load(model, folder))

    def begin_epoch(self) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def end_epoch(self, model: Any, logs: Any) -> None:
        """Record an epoch, and report what is due."""
        row, goal = as_numbers(logs or {}), self._objective
        self._model = model
        self.progress = self.progress.advance(row, goal.name, goal.direction)
        if self._best is None or self.progress.best_epoch == self.progress.epoch:
            self._best = state_of(model)
        row["seconds"] = time.perf_counter() - self._began
        self.rows.append(row)
        if self._session is not None and goal.name in row:
            self.is_reported = True
            self._session.note({"epoch": self.epoch, **row})
            if self._session.is_due(self.epoch, ended=False):
                self.send()

    def send(self) -> None:
        """Report the epochs that were not reported yet."""
        if self._session is not None and self._session.is_due(self.epoch, ended=True):
            best = self.progress.best
            score = float("inf") if best is None else self._objective.goal.loss(best)
            self._session.send(score, self.save)

    @property
    def has_state(self) -> bool:
        """True if there are weights to save."""
        return self._model is not None

    def save(self, folder: str) -> None:
        """Write the model's weights, and those of its best epoch."""
        save_models([self._model], [self._best], [self.progress], folder)

    def _load(self, model: Any, folder: str) -> None:
        found, progress = load_checkpoint(folder)
        one = {kind: [array[0] for array in arrays] for kind, arrays in found.items()}
        build_optimizer(model)
        assign(model, one, slots=True)
        self.progress = progress[0]
        self._model = model
        self._best = {kind: one[f"best_{kind}"] for kind in ("weights", "others")}


def make_callback(recording: Recording, check: Callable[[], None]) -> Any:
    """Return the callback of Keras that records.

    Args:
        recording: of the execution.
        check: called before the first step.
    """
    import keras

    class Record(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            check()

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            recording.begin_epoch()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            recording.end_epoch(self.model, logs)

        def __deepcopy__(self, memo: Any) -> Any:
            return self

    return Record()
