"""One fit: its data, its replicas, its budget, and the order of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trainables.datasets import as_batches
from trainables.fitting.rows import are_rows, as_rows, check_pair, check_rows, count_rows
from trainables.fitting.session import Config

# Rows in a validation batch: more than in a training batch, since no gradients are computed.
VALIDATION_BATCH = 256

CLASS_WEIGHTS = ("none", "balanced")  # what a config can say of them


class Data(Protocol):
    """The training set, which is fitted, and the validation set, which is scored every epoch.

    Each is an array; or anything of arrays that ``model.fit`` takes: a dict or a list of them for a
    model of several inputs or outputs, a DataFrame. Without a validation set, both of its
    attributes are None.

    Four attributes are optional: ``weights_train`` and ``weights_validation``, one number per row;
    ``replicas``, a sequence of :class:`Replica`; and ``scorers``, functions by name, which get the
    targets and the model's outputs, of shape (rows, outputs), and are reported as ``val_<name>``;
    one with a true attribute ``takes_rows`` gets the numbers of the rows, too.
    """

    x_train: Any
    y_train: Any
    x_validation: Any
    y_validation: Any


@dataclass
class Sets:
    """The training and the validation set, all of whose arrays are numpy's."""

    x_train: Any
    y_train: Any
    x_validation: Any
    y_validation: Any


@dataclass(frozen=True)
class Replica:
    """One of several fits of a config: its seed, and its rows of the two sets (None for all)."""

    seed: int
    train: np.ndarray | None = None
    validation: np.ndarray | None = None


Scorer = Callable[..., float]


@dataclass(frozen=True)
class Task:
    """The task of a fit, whether it is compiled or runs ``model.fit``.

    Attributes:
        config: hyperparameters and constants, ``task`` and ``outputs`` among them.
        data: the training and the validation set, as the model sees them.
        truth: the targets of the validation set, as scorers take them.
        replicas: the fits of the config.
        weights: one number per training row, None if all weigh the same.
        weights_validation: the same for the validation rows.
        scorers: further metrics of the validation set, by name.
        metric: the metric that decides which epoch is best.
        mode: ``"min"`` or ``"max"``: whether the lowest or the highest value is best.
        max_epochs: the most epochs that are trained; learning-rate schedules span them.
        epochs: the number of epochs to train.
        keeps_last: whether the last epoch's weights are kept instead of the best.
        patience: the number of epochs without a better value after which a replica stops.
        batch_size: the number of rows in a training step.
        devices: the number of devices among which each batch is divided.
    """

    config: Config
    data: Data
    truth: Any
    replicas: Sequence[Replica]
    weights: np.ndarray | None
    weights_validation: np.ndarray | None
    scorers: Mapping[str, Scorer]
    metric: str
    mode: str
    max_epochs: int
    epochs: int
    keeps_last: bool
    patience: int | None
    batch_size: int
    devices: int = 1

    @property
    def sign(self) -> int:
        """1 for a metric to be minimised, -1 for one to be maximised."""
        return 1 if self.mode == "min" else -1

    @property
    def validation_batch_size(self) -> int:
        """The number of rows in a validation batch."""
        return max(self.batch_size, VALIDATION_BATCH)

    def rows(self, replica: Replica) -> np.ndarray:
        """Return the training rows of a replica."""
        return np.arange(count_rows(self.data.x_train)) if replica.train is None else replica.train

    def validation_rows(self, replica: Replica) -> np.ndarray:
        """Return the validation rows of a replica."""
        rows = replica.validation
        return np.arange(count_rows(self.data.x_validation)) if rows is None else rows

    def order(self, replica: Replica, epoch: int) -> np.ndarray:
        """Return a replica's training rows in their order in an epoch, which is counted from 0.

        The order follows from seed and epoch alone, so a resumed fit has the same.
        """
        rows = self.rows(replica)
        return rows[np.random.default_rng([replica.seed, epoch]).permutation(len(rows))]

    @property
    def scores(self) -> list[str]:
        """The names of the metrics that the scorers report."""
        return [f"val_{name}" for name in self.scorers]

    def score(self, replica: Replica, outputs: np.ndarray) -> np.ndarray:
        """Score the outputs for a replica's validation rows, as :mod:`~.outputs` reads them.

        Returns one number per scorer.

        All are NaN if an output is not finite, as the loss of such a model is.
        """
        if not np.isfinite(outputs).all():
            return np.full(len(self.scorers), np.nan, "float32")
        rows = self.validation_rows(replica)
        targets = self.truth[rows]
        scores = [
            score(targets, outputs, rows)
            if getattr(score, "takes_rows", False)
            else score(targets, outputs)
            for score in self.scorers.values()
        ]
        return np.array(scores, "float32")


def make_task(config: Config, data: Data, class_weight: Mapping[int, float] | None = None) -> Task:
    """Gather what a fit needs from its data and from the settings in its config.

    Raises:
        ValueError: if class weights or scorers come without arrays, ``epochs`` is out of range, or
            something that is no set of rows is given for one.
    """
    max_epochs, epochs = int(config.get("max_epochs", 10)), config.get("epochs")
    patience = None if epochs is not None else config.get("patience")
    batch_size = int(config.get("batch_size", 32))
    sets = _gather_sets(data, batch_size)
    task = Task(
        config=config,
        data=sets,
        truth=sets.y_validation,
        replicas=getattr(data, "replicas", None) or (Replica(int(config.get("seed", 0))),),
        weights=_weigh_rows(data, class_weight or _balance(config, data)),
        weights_validation=as_rows(getattr(data, "weights_validation", None)),
        scorers=getattr(data, "scorers", None) or {},
        metric=str(config.get("metric", "val_loss")),
        mode=str(config.get("mode", "min")),
        max_epochs=max_epochs,
        epochs=max_epochs if epochs is None else int(epochs),
        keeps_last=epochs is not None,
        patience=None if patience is None else max(int(patience), 1),
        batch_size=batch_size,
    )
    if task.scorers and not isinstance(task.data.y_validation, np.ndarray):
        raise ValueError("scorers need x_validation and y_validation to be arrays")
    if not 1 <= task.epochs <= task.max_epochs:
        raise ValueError(
            f"epochs is {task.epochs}, but must be between 1 and max_epochs, {task.max_epochs}"
        )
    return task


def _gather_sets(data: Data, batch_size: int) -> Sets:
    """Return the sets of a fit, as numpy's arrays unless they are datasets, which yield batches.

    Raises:
        ValueError: naming what cannot be trained on.
    """
    names = ("x_train", "y_train", "x_validation", "y_validation")
    if data is None:
        raise ValueError(f"data is None, but must have {', '.join(names)}")
    found = {name: as_rows(getattr(data, name, None)) for name in names}
    if are_rows(found["x_train"]):
        for name, value in found.items():
            check_rows(name, value)
        for place in ("train", "validation"):
            pair = [(f"{axis}_{place}", found[f"{axis}_{place}"]) for axis in "xy"]
            check_pair(*pair)
    elif found["x_train"] is None:
        raise ValueError(f"data is a {type(data).__name__} without x_train")
    else:
        check_rows("x_train", found["x_train"])
    return Sets(**{name: as_batches(value, batch_size) for name, value in found.items()})


def _balance(config: Config, data: Data) -> Mapping[int, float] | None:
    """Return the weights that give each class the same total, if the config wants them.

    They are those of scikit-learn: rows / (classes * rows of the class).

    Raises:
        ValueError: if ``class_weight`` is neither ``balanced`` nor ``none``, or no class is known.
    """
    wanted = config.get("class_weight", "none")
    if wanted not in CLASS_WEIGHTS:
        raise ValueError(f"class_weight is {wanted!r}, but must be one of {CLASS_WEIGHTS}")
    if wanted == "none":
        return None
    targets = as_rows(data.y_train)
    if not isinstance(targets, np.ndarray) or config.get("task") == "regression":
        raise ValueError("class_weight='balanced' needs a target of classes")
    if targets.ndim > 1 and targets.shape[-1] > 1 and config.get("task") == "binary":
        raise ValueError("class_weight='balanced' needs one target, but there are several labels")
    labels, counts = np.unique(_classes_of(targets), return_counts=True)
    weights = len(targets) / (len(labels) * counts)
    return {int(label): float(weight) for label, weight in zip(labels, weights, strict=True)}


def _weigh_rows(data: Data, class_weight: Mapping[int, float] | None) -> np.ndarray | None:
    """Return the weights of the training rows: the data's own times those of their classes."""
    weights: np.ndarray | None = as_rows(getattr(data, "weights_train", None))
    if class_weight is not None:
        targets = as_rows(data.y_train)
        if not isinstance(targets, np.ndarray):
            raise ValueError("class_weight needs y_train to be an array")
        per_row = weigh_classes(targets, class_weight)
        return per_row if weights is None else weights * per_row
    return weights


def weigh_classes(targets: np.ndarray, class_weight: Mapping[int, float]) -> np.ndarray:
    """Return each row's weight by its class: an integer, or the largest column of a one-hot row."""
    classes = _classes_of(targets)
    weights = np.ones(len(targets), "float32")
    for label, weight in class_weight.items():
        weights[classes == int(label)] = weight
    return weights


def _classes_of(targets: np.ndarray) -> np.ndarray:
    classes = targets.argmax(axis=-1) if targets.ndim > 1 and targets.shape[-1] > 1 else targets
    found: np.ndarray = np.round(classes).astype(int).reshape(len(targets))
    return found
