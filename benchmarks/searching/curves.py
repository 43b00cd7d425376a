"""Learning curves of conditional Keras networks, trained once by our own engine.

    python -m benchmarks.searching.curves make diabetes --configs 2000     # train, then convert
    python -m benchmarks.searching.curves convert results/curves diabetes  # what is there by now
    python -m benchmarks.searching.curves limits                           # how far luck decides

Random configs of the flagship job's space (layers, units, dropout, five optimizers with
hyperparameters of their own, decay) are trained for 27 epochs with 3 seeds each, none stopped
early. The table is ours, under the repository's licence; the data sets are scikit-learn's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks import report
from benchmarks.searching.problem import Config, Played, Problem

DATA = Path(__file__).parent.parent / "data"
EPOCHS, SEEDS = 27, 3
TARGETS = {"diabetes": "progression", "breast_cancer": "malignant"}

# Data sets on which no searcher was tuned.
HELD_BACK = ("breast_cancer",)

# Larger losses say no more, and make means meaningless.
WORST = 1e6


@dataclass(frozen=True)
class CurveTable:
    """A finite number of configs with their curves; a suggestion stands for the nearest unused one.

    Attributes:
        space: of Ray.
        coordinates: of the space.
        rows: of the configs.
        configs: of the table.
        losses: configs x seeds x epochs; NaN from the epoch on in which a seed diverges.
        regrets: configs x epochs; 0 is the best config's mean over seeds, 1 the median config's.
    """

    space: dict[str, Any]
    coordinates: Any
    rows: NDArray[np.float64]
    configs: Sequence[Config]
    losses: NDArray[np.float64]
    regrets: NDArray[np.float64]
    max_epochs: int = EPOCHS

    def play(self, config: Config, random: np.random.Generator, used: set[int]) -> Played | None:
        """Replay one of the seeds of the nearest config that was not used yet."""
        if len(used) == len(self.rows):
            return None
        nearest = self.nearest(self.coordinates.row_of(config), used)
        used.add(nearest)
        curve = self.losses[nearest, random.integers(SEEDS)]
        epochs = np.flatnonzero(np.isnan(self.losses[nearest].sum(axis=0)))
        last = int(epochs[0]) if len(epochs) else EPOCHS
        return Played(
            self.configs[nearest],
            curve[:last].tolist(),
            self.regrets[nearest, :last].tolist(),
            fails=last < EPOCHS,
        )

    def nearest(self, row: NDArray[np.float64], used: set[int]) -> int:
        """Return which config is the nearest to a row among those that were not used."""
        distances = self._distances(row)
        distances[list(used)] = np.inf
        return int(distances.argmin())

    def _distances(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Hamming distances on choices plus distances on numbers; 1 where one lacks it."""
        gaps = np.abs(self.rows - row)
        is_choice = np.array([column.options > 0 for column in self.coordinates.columns])
        gaps = np.where(is_choice, np.minimum(gaps, 1), gaps)
        lacking = np.isnan(self.rows) != np.isnan(row)
        summed: NDArray[np.float64] = np.where(lacking, 1.0, np.nan_to_num(gaps)).sum(axis=1)
        return summed


def list_problems() -> list[Problem]:
    """Return the problems whose table is here."""
    return [
        Problem(f"keras-{name}", "curves", name in HELD_BACK, partial(read_table, name))
        for name in TARGETS
        if file_of(name).exists()
    ]


def describe_tables() -> str:
    """Return how many configs each table has."""
    there = [name for name in TARGETS if file_of(name).exists()]
    counts = {name: pd.read_parquet(file_of(name), columns=["config"]) for name in there}
    return ", ".join(f"{each['config'].nunique()} on {name}" for name, each in counts.items())


def read_table(name: str) -> CurveTable:
    """Read the table of a data set."""
    from tune_jobs.engine.space.coordinates import Coordinates

    frame, space = pd.read_parquet(file_of(name)), make_space()
    configs = [json.loads(config) for config in frame["config"].cat.categories]
    shape = (len(configs), SEEDS, EPOCHS)
    losses = frame["val_loss"].to_numpy(np.float64).reshape(shape)
    coordinates = Coordinates(space)
    rows = np.array([coordinates.row_of(config) for config in configs])
    return CurveTable(space, coordinates, rows, configs, losses, _regrets(losses))


def file_of(name: str) -> Path:
    """Return where the table of a data set lies."""
    return DATA / f"curves_{name}.parquet"


def make_space() -> dict[str, Any]:
    """Return the flagship job's space; patience never ends a trial."""
    from trainables import tabular_mlp
    from tune_jobs._optimizers import OPTIMIZER
    from tune_jobs.engine import compose

    return compose(tabular_mlp.ARCHITECTURE, OPTIMIZER, {"patience": 100})


def make(name: str, configs: int, results: Path) -> Path:
    """Train random configs on a data set, or continue to; return the experiment's folder."""
    from trainables import tabular_mlp
    from tune_jobs.engine import Evaluation, Job, Profile, RandomSearch, run, table

    job = Job(
        trainable=tabular_mlp.train,
        space=make_space(),
        data=table(name, target=TARGETS[name]),
        evaluation=Evaluation(repeats=SEEDS),
        metric="val_loss",
        searcher=RandomSearch(),
        num_samples=configs,
        max_epochs=EPOCHS,
        finalists=None,
    )
    folder = results / f"curves-{name}"
    run(job, profile=Profile(storage=str(results)), name=folder.name, resume=folder.exists())
    return folder


def convert(folder: Path, path: Path) -> pd.DataFrame:
    """Write the trials of an experiment as a table of curves, those that diverged with NaN."""
    from tune_jobs.engine import open_experiment

    experiment = open_experiment(str(folder))
    trials = experiment.trials
    ended = (trials["state"] == "complete") | (trials["failure"] == "divergence")
    texts = {trial: json.dumps(experiment.configs[trial]) for trial in trials["trial"][ended]}
    index = pd.MultiIndex.from_product([texts, range(SEEDS), range(1, EPOCHS + 1)])
    losses = experiment.epochs.set_index(["trial", "replica", "epoch"])["val_loss"].reindex(index)
    trial, seed, epoch = (index.get_level_values(level) for level in range(3))
    frame = pd.DataFrame(
        {
            "config": pd.Categorical(trial.map(texts), categories=list(texts.values())),
            "seed": seed.astype("int8"),
            "epoch": epoch.astype("int8"),
            "val_loss": losses.replace(np.inf, np.nan).clip(upper=WORST).to_numpy("float32"),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False, compression="zstd")
    return frame


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="train configs, and write the table")
    making.add_argument("data", choices=TARGETS)
    making.add_argument("--configs", type=int, default=2000)
    making.add_argument("--results", type=Path, default=Path("results"))
    converting = commands.add_parser("convert", help="write the table of an experiment")
    converting.add_argument("folder", type=Path)
    converting.add_argument("data", choices=TARGETS)
    for command in (making, converting):
        command.add_argument("--out", type=Path, metavar="PARQUET", help="instead of the usual one")
    commands.add_parser("limits", help="say how far luck decides in the tables")
    options = parser.parse_args()
    if options.command == "limits":
        show_limits()
        return
    folder = (
        make(options.data, options.configs, options.results)
        if options.command == "make"
        else options.folder
    )
    path = options.out or file_of(options.data)
    frame = convert(folder, path)
    size = path.stat().st_size / 2**20
    print(f"{path}: {frame['config'].nunique()} configs, {size:.1f} MiB")


def show_limits() -> None:
    """Print how far luck decides in each table, and how well neighbours stand for a config.

    The oracle has seen two seeds of every config, and takes the best by their mean; its regret is
    on the third seed. The correlation is that of the ranks of configs and of their nearest others.
    """
    rows = []
    for name in TARGETS:
        task = read_table(name)
        ends = _best_so_far(task.losses)[:, :, -1]
        others = [np.delete(ends, seed, axis=1).mean(axis=1) for seed in range(SEEDS)]
        oracle = np.mean([ends[known.argmin(), seed] for seed, known in enumerate(others)])
        means = ends.mean(axis=1)
        regret = (oracle - means.min()) / (np.median(means) - means.min())
        near = [task.nearest(row, {place}) for place, row in enumerate(task.rows)]
        rows.append([name, f"{regret:.3f}", f"{spearmanr(means, means[near]).statistic:.2f}"])
    report.show("limits", ["table", "regret of the oracle", "correlation of neighbours"], rows)


def _regrets(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the mean over seeds of the best epoch so far is from the best config's."""
    means = _best_so_far(losses).mean(axis=1)
    best, median = means[:, -1].min(), np.median(means[:, -1])
    regrets: NDArray[np.float64] = (means - best) / (median - best)
    return regrets


def _best_so_far(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lowest loss up to each epoch."""
    lowest: NDArray[np.float64] = np.minimum.accumulate(np.nan_to_num(losses, nan=WORST), axis=2)
    return lowest


if __name__ == "__main__":
    main()
