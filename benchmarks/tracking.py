"""Measure what tracking costs: a search with each tracker, and with Ray's callbacks alone.

    pip install 'tune-jobs[mlflow,wandb]'
    python -m benchmarks.tracking --trials 10

Trials of 27 epochs and four metrics in messages of nine, without any training, on one Ray of this
machine whose workers import Keras as a run's do. Each tracker has already logged a trial, so that
one-time costs (imports, MLflow's tables) do not count. MLflow writes to SQLite, Weights & Biases
offline. "as Ray has it" is Ray's callback without a thread and without unpacking: it writes one
point per message.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from ray import cloudpickle, tune
from ray.tune import Callback

from benchmarks import report
from trainables.fitting.session import Session
from tune_jobs.engine.cluster.connection import ray_of
from tune_jobs.engine.environment import environment
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.runs.start_ray import TUNE_SETTINGS
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.views.tracking import make_trackers

RUNGS = (9, 18, 27)
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    offline = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    rows = []
    with (
        tempfile.TemporaryDirectory() as place,
        environment(TUNE_SETTINGS | offline),
        ray_of(Profile(), [], "trainables.tabular_mlp.preload"),
    ):
        search(Path(place, "warm"), 2, [])
        for name in arguments.only:
            rows.append(measure(name, Path(place, name), arguments.trials))
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    report.state()
    if arguments.out:
        report.save(table, arguments.out)


def measure(name: str, place: Path, trials: int) -> dict[str, Any]:
    place.mkdir()
    search(place / "before", 1, CONTENDERS[name](place))
    trackers = CONTENDERS[name](place)
    began = time.perf_counter()
    search(place / "measured", trials, trackers)
    return {"tracker": name, "trials": trials, "seconds": round(time.perf_counter() - began, 2)}


def search(place: Path, trials: int, trackers: list[Callback]) -> None:
    tune.Tuner(
        train,
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(
            num_samples=trials,
            reuse_actors=True,
            max_concurrent_trials=int(ray.cluster_resources()["CPU"]),
        ),
        run_config=tune.RunConfig(
            name="trials", storage_path=str(place), callbacks=trackers, verbose=0
        ),
    ).fit()


def train(config: dict[str, Any]) -> None:
    session = Session({"rungs": RUNGS})
    for epoch in range(1, RUNGS[-1] + 1):
        values = dict.fromkeys(METRICS, config["x"] + 1 / epoch)
        session.note({"epoch": epoch, **values, "seconds": 0.0})
        if epoch in RUNGS:
            session.send(values["loss"], lambda _: None)


def ours(*wanted: str) -> Any:
    """Return trackers as ``--track`` makes them."""

    def make(place: Path) -> list[Callback]:
        given = [each.replace("PLACE", str(place)) for each in wanted]
        return make_trackers(given, folder=open_folder(place), goal=Goal("loss"))

    return make


def rays_mlflow(place: Path) -> list[Callback]:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    return [MLflowLoggerCallback(f"sqlite:///{place}/mlflow.db", experiment_name="search")]


def rays_wandb(place: Path) -> list[Callback]:
    from ray.air.integrations.wandb import WandbLoggerCallback

    return [WandbLoggerCallback(project="search", dir=str(place))]


CONTENDERS = {
    "none": lambda _: [],
    "tensorboard": ours("tensorboard"),
    "mlflow": ours("mlflow=sqlite:///PLACE/mlflow.db"),
    "mlflow, as Ray has it": rays_mlflow,
    "wandb": ours("wandb=search"),
    "wandb, as Ray has it": rays_wandb,
}


if __name__ == "__main__":
    main()
