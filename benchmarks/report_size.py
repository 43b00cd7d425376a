"""Measure the size of a report, and the seconds to write it and to open it in Chromium.

    python -m benchmarks.report_size
    python -m benchmarks.report_size --trials 60 1000 --out benchmarks/figures/report_size.parquet

Experiments of 10 epochs per trial are written record by record and not trained: the figures depend
on the amount to draw and not on its meaning. The page is opened from disk, offline, once to warm
the browser and then ``--repeat`` times. The result is the median time until the charts, the table
and the links between them are complete and a frame has been drawn.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import Epoch, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.report import write_report
from tune_jobs.engine.storage.folder import open_folder

EPOCHS = 10
# As many hyperparameters as an ordinary multilayer perceptron has.
SPACE = {
    "learning_rate": "loguniform(0.0001, 0.1)",
    "weight_decay": "loguniform(1e-06, 0.01)",
    "momentum": "near_one(0.9, 0.999)",
    **{f"units_{place}": "randint(16, 513)" for place in range(4)},
    **{f"dropout_{place}": "uniform(0, 0.5)" for place in range(4)},
    "activation": {"choice": ["relu", "gelu", "tanh"]},
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRAWN = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(
    () => done(experiments.every(e => e.charts.length && e.rows.length) && performance.now()))))"""


def main() -> None:
    options = read_options()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for trials in options.trials:
            experiment = write_experiment(Path(place, str(trials)), trials)
            rows.append({"trials": trials, **measure(experiment, options.repeat)})
            print(rows[-1], flush=True)
    report.show("the report of an experiment", HEADER, [_row(row) for row in rows])
    if options.out:
        report.save(pd.DataFrame(rows), options.out)
    report.state()


HEADER = ["trials", "page, MB", "picture, MB", "s to write", "s to open"]


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", nargs="+", type=int, default=[60, 1000])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    return parser.parse_args()


def write_experiment(place: Path, trials: int) -> Experiment:
    """Write an experiment whose trials ASHA stopped early."""
    folder = open_folder(place)
    folder.create()
    folder.write_json(
        "experiment.json",
        {"metric": "val_loss", "mode": "min", "space": SPACE, "constants": {"rungs": [1, 3]}},
    )
    history, chance = SegmentWriter(folder), random.Random(0)
    for trial in range(1, trials + 1):
        config = {name: chance.random() for name in SPACE if name != "activation"}
        config |= {"learning_rate": 10 ** chance.uniform(-4, -1), "activation": "relu"}
        history.append(TrialStart(trial, config))
        level = chance.random()
        for epoch in range(1, EPOCHS + 1):
            metrics = {"val_loss": level + 1 / epoch + 0.05 * chance.random()}
            history.append(Epoch(trial, 0, epoch, 0.1, metrics))
        history.append(TrialEnd(trial, "stopped" if trial % 9 else "complete", None, None))
    history.flush()
    return Experiment(folder)


def measure(experiment: Experiment, repeat: int) -> dict[str, float]:
    """Return sizes in bytes and times in seconds; opening is omitted without a browser."""
    began = time.perf_counter()
    write_report([Experiment(experiment.folder)])
    found: dict[str, float] = {"write": time.perf_counter() - began}
    for name in ("report.html", "report.png"):
        found[name] = len(experiment.folder.read(name))
    found["open"] = open_page(Path(experiment.folder.path, "report.html"), repeat)
    return found


def open_page(page: Path, repeat: int) -> float:
    """Return the median seconds until everything is drawn."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        return float("nan")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        seconds = [_open_once(browser, page) for _ in range(repeat + 1)]
        browser.close()
    return statistics.median(seconds[1:])


def _open_once(browser: Any, page: Path) -> float:
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.goto(page.as_uri())
    drawn = tab.evaluate(DRAWN)
    if not drawn:
        raise RuntimeError(f"{page}: charts or table are missing")
    context.close()
    return float(drawn) / 1000


def _row(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['trials']:,}",
        f"{row['report.html'] / 1e6:.2f}",
        f"{row['report.png'] / 1e6:.2f}",
        f"{row['write']:.2f}",
        f"{row['open']:.2f}",
    ]


if __name__ == "__main__":
    main()
