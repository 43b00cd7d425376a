"""One fit: its data, its replicas, its budget, and the order of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trainables.fitting.session import Config

if TYPE_CHECKING:
    import keras


# Rows that are scored at once; more than a training batch, since nothing is learnt from them.
VALIDATION_BATCH = 256


class Data(Protocol):
    """The training part, which is fitted, and the validation part, which is scored every epoch.

    It may have four things more: ``weights_train`` and ``weights_validation``, one number a row;
    ``replicas``, a sequence of :class:`Replica`; and ``scorers``, functions by name, called with
    the truth and with the model's outputs, of shape (rows, outputs), reported as ``val_<name>``.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray


@dataclass(frozen=True)
class Replica:
    """One of the fits of a config: its seed, and its rows of the two parts (None for all)."""

    seed: int
    train: np.ndarray | None = None
    validation: np.ndarray | None = None


Scorer = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Task:
    """What is to be fitted, for both ways of doing it."""

    build: Callable[[], keras.Model]
    config: Config
    data: Any
    replicas: Sequence[Replica]
    weights: np.ndarray | None
    weights_validation: np.ndarray | None
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    devices: int = 1  # that each batch is divided among

    @property
    def metric(self) -> str:
        """The metric that decides which epoch is best."""
        return str(self.config.get("metric", "val_loss"))

    @property
    def mode(self) -> str:
        """Whether that is the lowest or the highest."""
        return str(self.config.get("mode", "min"))

    @property
    def sign(self) -> int:
        """1 for a metric to be minimised, -1 for one to be maximised."""
        return 1 if self.mode == "min" else -1

    @property
    def max_epochs(self) -> int:
        """Where training ends at the latest, and what learning-rate schedules are laid out for."""
        return int(self.config.get("max_epochs", 10))

    @property
    def keeps_last(self) -> bool:
        """Whether the last epoch's weights are wanted, after a known number of epochs."""
        return self.config.get("epochs") is not None

    @property
    def epochs(self) -> int:
        """Where training ends: after ``epochs`` if the config has it, else after all."""
        return int(self.config["epochs"]) if self.keeps_last else self.max_epochs

    @property
    def patience(self) -> int | None:
        """How many epochs without a better value end a replica's training."""
        patience = None if self.keeps_last else self.config.get("patience")
        return None if patience is None else max(int(patience), 1)

    @property
    def batch_size(self) -> int:
        """The rows of a training step."""
        return int(self.config.get("batch_size", 32))

    @property
    def validation_batch_size(self) -> int:
        """The rows that are scored at once."""
        return max(self.batch_size, VALIDATION_BATCH)

    def rows(self, replica: Replica) -> np.ndarray:
        """Return the training rows of a replica."""
        return np.arange(len(self.data.x_train)) if replica.train is None else replica.train

    def validation_rows(self, replica: Replica) -> np.ndarray:
        """Return the validation rows of a replica."""
        rows = replica.validation
        return np.arange(len(self.data.x_validation)) if rows is None else rows

    def order(self, replica: Replica, epoch: int) -> np.ndarray:
        """Return the training rows in the order of an epoch, counted from 0.

        It follows from seed and epoch alone, so a resumed fit has it too.
        """
        rows = self.rows(replica)
        return rows[np.random.default_rng([replica.seed, epoch]).permutation(len(rows))]

    @property
    def scores(self) -> list[str]:
        """What the scorers report."""
        return [f"val_{name}" for name in self.scorers]

    def score(self, replica: Replica, outputs: np.ndarray) -> np.ndarray:
        """Return what the scorers say of a model's outputs for a replica's validation rows.

        Of outputs that are not finite they say NaN, as the loss of such a model does.
        """
        if not np.isfinite(outputs).all():
            return np.full(len(self.scorers), np.nan, "float32")
        truth = self.data.y_validation[self.validation_rows(replica)]
        return np.array([score(truth, outputs) for score in self.scorers.values()], "float32")


def make_task(
    build: Callable[[Config], keras.Model],
    config: Config,
    data: Any,
    class_weight: Mapping[int, float] | None = None,
) -> Task:
    """Gather what is to be fitted.

    Raises:
        ValueError: for class weights or scorers without arrays, or more epochs than there may be.
    """
    weights = getattr(data, "weights_train", None)
    if class_weight is not None:
        if not isinstance(data.y_train, np.ndarray):
            raise ValueError("class_weight needs y_train to be an array")
        per_row = weigh_classes(data.y_train, class_weight)
        weights = per_row if weights is None else weights * per_row
    task = Task(
        build=lambda: build(config),
        config=config,
        data=data,
        replicas=getattr(data, "replicas", None) or (Replica(int(config.get("seed", 0))),),
        weights=weights,
        weights_validation=getattr(data, "weights_validation", None),
        scorers=getattr(data, "scorers", None) or {},
    )
    if task.scorers and not isinstance(data.y_validation, np.ndarray):
        raise ValueError("scorers need x_validation and y_validation to be arrays")
    if not 1 <= task.epochs <= task.max_epochs:
        raise ValueError(
            f"epochs is {task.epochs}, but must be between 1 and max_epochs, {task.max_epochs}"
        )
    return task


def weigh_classes(targets: np.ndarray, class_weight: Mapping[int, float]) -> np.ndarray:
    """Return each row's weight by its class: an integer target, or the largest of a one-hot row."""
    classes = targets.argmax(axis=-1) if targets.ndim > 1 and targets.shape[-1] > 1 else targets
    classes = np.round(classes).astype(int).reshape(len(targets))
    weights = np.ones(len(targets), "float32")
    for label, weight in class_weight.items():
        weights[classes == int(label)] = weight
    return weights
