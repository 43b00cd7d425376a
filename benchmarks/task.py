"""Describe one search to every contender, in the same folder of arrays and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.family import BATCH_SIZE, ask

SIZES = ("breast_cancer", "noisy_table", "table", "digits")
PARTS = ("x_train", "y_train", "x_validation", "y_validation")
TASK = "task.json"


@dataclass(frozen=True)
class Data:
    """The arrays that every contender trains and validates on."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray

    @property
    def validation(self) -> tuple[np.ndarray, np.ndarray]:
        """The validation rows as Keras takes them."""
        return self.x_validation, self.y_validation


@dataclass(frozen=True)
class Task:
    """The search to run.

    Attributes:
        folder: where the arrays lie, and where contenders may write.
        points: the configs as flat names and values, for tools that ask for one value at a time.
        configs: the same configs, nested.
        fixed: what else ``build`` needs: shape, classes, seed.
    """

    folder: str
    size: str
    trials: int
    epochs: int
    seed: int
    points: list[dict[str, Any]]
    configs: list[dict[str, Any]]
    fixed: dict[str, Any]

    @property
    def family(self) -> str:
        """The family of models of this size."""
        return family_of(self.size)

    @property
    def log(self) -> Path:
        """The file where a contender writes the time and value of every epoch, if asked to."""
        return Path(self.folder, "epochs.jsonl")

    def fit_options(self, data: Data, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
        """The arguments of every contender that calls ``model.fit`` itself, besides x and y."""
        return {
            "batch_size": BATCH_SIZE,
            "epochs": self.epochs,
            "validation_data": data.validation,
            "callbacks": list(callbacks),
            "verbose": 0,
        }

    def data(self) -> Data:
        """The arrays."""
        return Data(*(np.load(Path(self.folder, f"{part}.npy")) for part in PARTS))


def make_task(folder: Path, size: str, trials: int, epochs: int, seed: int = 0) -> Task:
    """Write a task: arrays, and configs drawn from the space; more trials extend fewer."""
    folder.mkdir(parents=True, exist_ok=True)
    data = make_data(size)
    for part, array in zip(PARTS, data, strict=True):
        np.save(folder / f"{part}.npy", array)
    points, configs = draw(family_of(size), trials, seed)
    fixed = {
        "input_shape": list(data[0].shape[1:]),
        "outputs": int(data[1].max()) + 1,
        "seed": seed,
    }
    task = Task(str(folder), size, trials, epochs, seed, points, configs, fixed)
    (folder / TASK).write_text(json.dumps(asdict(task)), encoding="utf-8")
    return task


def read_task(folder: str) -> Task:
    """Return the task in a folder."""
    return Task(**json.loads(Path(folder, TASK).read_text(encoding="utf-8")))


def family_of(size: str) -> str:
    """Return the family: convolutional networks for images, perceptrons for tables."""
    return "cnn" if size == "digits" else "mlp"


def draw(family: str, trials: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw random configs, flat and nested."""
    random, points, configs = np.random.default_rng(seed), [], []
    for _ in range(trials):
        point: dict[str, Any] = {}

        def choose(name: str, options: Any, point: dict[str, Any] = point) -> Any:
            return point.setdefault(name, options[random.integers(len(options))])

        def draw_log(name: str, lower: float, upper: float, point: dict[str, Any] = point) -> float:
            return point.setdefault(name, float(lower * (upper / lower) ** random.random()))

        configs.append(ask(family, choose, draw_log))
        points.append(point)
    return points, configs


def make_data(size: str) -> list[np.ndarray]:
    """Return training (60 %) and validation rows (20 %), standardised by the former; seeded."""
    from sklearn.model_selection import train_test_split

    x, y = _load(size)
    rows, _ = train_test_split(np.arange(len(x)), test_size=0.2, random_state=0, stratify=y)
    train, held = train_test_split(rows, test_size=0.25, random_state=0, stratify=y[rows])
    over = None if size == "digits" else 0
    mean, scale = x[train].mean(axis=over), x[train].std(axis=over)
    x = ((x - mean) / scale).astype(np.float32)
    return [x[train], y[train], x[held], y[held]]


def _load(size: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    if size == "breast_cancer":
        x, y = datasets.load_breast_cancer(return_X_y=True)
    elif size == "noisy_table":
        x, y = datasets.make_classification(
            3_000, 20, n_informative=8, n_redundant=4, flip_y=0.1, random_state=0
        )
    elif size == "table":
        x, y = datasets.make_classification(
            20_000, 50, n_informative=20, n_redundant=10, flip_y=0.05, random_state=0
        )
    else:
        x, y = datasets.load_digits(return_X_y=True)
        x = x.reshape(-1, 8, 8, 1)
    return x, y.astype(np.int32)
