"""The goal of a search: a metric, and whether small or large values of it are good."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["min", "max"]

# Words in the names of metrics, and the mode that they stand for.
WORDS: dict[Mode, re.Pattern[str]] = {
    "min": re.compile(
        r"\w*loss|\w*error|err|mae|mse|rmse|mape|msle|\w*entropy|divergence|deviance|hinge|poisson"
        r"|brier|perplexity|logcosh|cosh"
    ),
    "max": re.compile(
        r"\w*acc|\w*accuracy|\w*auc|precision|recall|f1|fbeta|r2|\w*iou|u|dice|jaccard|gain"
        r"|similarity|sensitivity|specificity|correlation|reward|return|kappa|ndcg|mcc"
    ),
}

# Metrics that models often report, for the nearest one to a misspelled name.
COMMON = (
    *("loss", "accuracy", "auc", "precision", "recall", "f1_score", "mean_absolute_error"),
    *("mean_squared_error", "root_mean_squared_error", "r2_score", "mean_io_u"),
    *("binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy"),
)


# Errors of a number in its own unit that models report, and what people call them.
ERRORS = {"root_mean_squared_error": "RMSE", "mean_absolute_error": "MAE"}


@dataclass(frozen=True)
class Goal:
    """A metric to be minimised or maximised.

    Attributes:
        metric: the name under which trials report it.
        mode: ``min`` or ``max``.
        target: the number to predict, if the metric is a loss of it; empty otherwise.
        is_standardised: whether that loss is of the standardised number, as models are trained.
    """

    metric: str
    mode: Mode = "min"
    target: str = field(default="", compare=False)
    is_standardised: bool = field(default=False, compare=False)

    @property
    def words(self) -> str:
        """The metric, and of what it is if that is not the target as people know it."""
        return f"{self.metric} of the standardised target" if self.is_standardised else self.metric

    @property
    def short(self) -> str:
        """The same in a few letters, for the head of a column."""
        return f"{self.metric}{' (standardised)' * self.is_standardised}"

    @property
    def errors(self) -> dict[str, str]:
        """The metrics that say the same in the unit of the target, and what they are called."""
        prefix = "val_" if self.metric.startswith("val_") else ""
        return {f"{prefix}{name}": word for name, word in ERRORS.items()} if self.target else {}

    def say_error(self, metrics: Mapping[str, float]) -> str:
        """Say the error of a number in its own unit, such as ``RMSE 61.2``; nothing without one."""
        known = {word: metrics[name] for name, word in self.errors.items() if name in metrics}
        return next((f"{word} {value:.5g}" for word, value in known.items()), "")

    @property
    def minimises(self) -> bool:
        """True if small values are good."""
        return self.mode == "min"

    @property
    def sign(self) -> int:
        """1 if the metric is minimised, -1 if it is maximised: sign * value is a loss."""
        return 1 if self.minimises else -1

    def better(self, value: float, other: float) -> bool:
        """Return whether a value is better than another; NaN never is."""
        return value < other if self.minimises else value > other

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values, all of them finite."""
        return min(values) if self.minimises else max(values)

    def loss(self, value: float) -> float:
        """Return a value as a loss, the smaller the better: a key to sort by."""
        return self.sign * value


def mode_of(metric: str) -> Mode | None:
    """Infer from a metric's name whether small or large values are good; None if it does not say.

    The last word that says it decides: ``accuracy_loss`` is a loss. ``score`` decides if no other
    word does: a ``brier_score`` is an error. ``neg`` and ``d2`` turn a loss around.
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metric).lower().removeprefix("val_")
    words = name.split("_")
    if words[0] in ("true", "false"):  # positives or negatives
        return "max" if words[0] == "true" else "min"
    if words[0] in ("neg", "d2"):
        return "max"
    said = [mode for word in words for mode in WORDS if WORDS[mode].fullmatch(word)]
    return said[-1] if said else "max" if "score" in words else None
