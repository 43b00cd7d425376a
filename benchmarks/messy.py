"""Search tables of scikit-learn, made messy, for each task, and compare with a linear model.

    python -m benchmarks.messy --trials 16

Each table is written as ``tests/fixtures/messy.py`` spoils it: semicolons, decimal commas, gaps, an
"unknown", an id, a date that says nothing, rows twice. The job is `tabular`, finals included. The
linear model is the product's own baseline; of several labels, which have none, a logistic
regression per label on the same encoded features.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report
from tests.fixtures.messy import spoil
from tune_jobs import tabular
from tune_jobs.engine import Experiment, Profile, run
from tune_jobs.engine.data.dataset import Dataset
from tune_jobs.engine.data.scoring.baselines import encode_linearly, fit_and_predict, make_baselines

LABELS = ("bp", "s5")
LEAST = 1e-7  # the least probability that a logarithm is taken of


@dataclass(frozen=True)
class Case:
    """A task on a clean table.

    Attributes:
        task: in words.
        source: where the table comes from.
        frame: the table.
        targets: its columns to predict.
    """

    task: str
    source: str
    frame: pd.DataFrame
    targets: tuple[str, ...] = ("target",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=16)
    trials, rows = parser.parse_args().trials, []
    for case in list_cases():
        rows.append(measure(case, trials))
        print(rows[-1], flush=True)
    header = ["task", "table", "test rows", "measure", "winner", "linear model", "gain (95 % CI)"]
    report.show(f"{trials} trials and finals each", [*header, "seconds"], rows)
    report.state()


def list_cases() -> list[Case]:
    """Return the tables; the labels are two measurements of diabetes, each high or not."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

    cancer, wine = load_breast_cancer(as_frame=True).frame, load_wine(as_frame=True).frame
    cancer["target"] = cancer["target"].map({0: "malignant", 1: "benign"})
    wine["target"] = "cultivar " + wine["target"].astype(str)
    diabetes = load_diabetes(as_frame=True, scaled=False).frame.astype(float)
    high = {name: diabetes[name] > diabetes[name].median() for name in LABELS}
    labels = {name: np.where(values, "high", "low") for name, values in high.items()}
    return [
        Case("two classes", "breast_cancer", cancer),
        Case("several classes", "wine", wine),
        Case("a number", "diabetes", diabetes),
        Case("two labels", "diabetes", diabetes.drop(columns="target").assign(**labels), LABELS),
    ]


def measure(case: Case, trials: int) -> list[str]:
    """Search a messy table, and return a row of the result."""
    with tempfile.TemporaryDirectory() as folder:
        source = spoil(case.frame, list(case.targets), Path(folder), seed=0)
        target = case.targets[0] if len(case.targets) == 1 else case.targets
        data = replace(tabular.JOB.data, source=source, target=target, ids=("id",))  # type: ignore[type-var]
        job = replace(tabular.JOB, data=data, num_samples=trials)
        began = time.perf_counter()
        result = run(job, profile=Profile(storage=folder), name="messy", listeners=[])
        seconds = time.perf_counter() - began
        found = (
            compare_labels(result, job.load_data()) if len(case.targets) > 1 else compared(result)
        )
    low, high = found["interval"]
    digits = 1 if abs(found["winner"]) > 10 else 3
    return [
        case.task,
        case.source,
        str(found["rows"]),
        found["measure"],
        f"{found['winner']:.{digits}f}",
        f"{found['linear']:.{digits}f}",
        f"{found['gain']:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})",
        f"{seconds:.0f}",
    ]


def compared(result: Experiment) -> Mapping[str, Any]:
    """Return what the summary says of the winner and a linear model."""
    on_test = result.summary.on_test if result.summary else None
    if on_test is None:
        raise RuntimeError(f"{result.name} has no scores on the test set")
    (linear,) = (each for each in on_test.comparisons if each.baseline == "linear model")
    return {
        "rows": on_test.rows,
        "measure": on_test.measure,
        "winner": linear.winner,
        "linear": linear.score,
        "gain": linear.gain,
        "interval": linear.interval,
    }


def compare_labels(result: Experiment, dataset: Dataset) -> Mapping[str, Any]:
    """Compare the log loss, the mean over labels, with a logistic regression per label."""
    from scipy import stats

    training, signature = dataset.training, {**dataset.signature, "task": "binary", "outputs": 1}
    x = np.concatenate([training.x_train, training.x_validation])
    y, truth = np.concatenate([training.y_train, training.y_validation]), dataset.y_test
    model = make_baselines("binary")["linear model"]
    encoded, held = (encode_linearly(each, signature) for each in (x, dataset.x_test))
    columns = [fit_and_predict(model, signature, encoded, each, held) for each in y.T]
    linear = np.concatenate(columns, axis=1)
    winner = result.companion("predict")(result.best_model(), dataset.raw_test)
    losses = [_log_losses(truth, each) for each in (winner, linear)]
    gains = losses[1] - losses[0]
    interval = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    return {
        "rows": len(truth),
        "measure": "log loss",
        "winner": losses[0].mean(),
        "linear": losses[1].mean(),
        "gain": gains.mean(),
        "interval": (interval.low, interval.high),
    }


def _log_losses(truth: Any, outputs: Any) -> Any:
    """Return the log loss of each row, the mean over its labels."""
    likely = np.where(truth == 1, outputs, 1 - outputs)
    return -np.log(likely.clip(LEAST, 1)).mean(axis=1)


if __name__ == "__main__":
    main()
