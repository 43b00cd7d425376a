"""Experiments written record by record, as a run writes them, and one browser for all tests."""

import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import Epoch, HistoryRecord, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.report import write_report
from tune_jobs.engine.storage.folder import open_folder

SPACE = {
    "learning_rate": "loguniform(0.0001, 0.1)",
    "momentum": "near_one(0.9, 0.999)",
    "layers": {
        "choice": [[{"units": {"choice": [16, 32]}}], [{"units": {"choice": [16, 32]}}] * 2]
    },
    "optimizer": {
        "choice": [{"name": "adam"}, {"name": "sgd", "nesterov": {"choice": [False, True]}}]
    },
    "patience": 8,
}
RUNGS = (1, 3)
BROWSER = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Maker:
    """Writes experiments into a folder of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def describe(self, **changes: Any) -> dict[str, Any]:
        return {
            "trainable": "trainables.tabular_mlp.train",
            "metric": "val_loss",
            "mode": "min",
            "num_trials": 40,
            "max_epochs": 9,
            "seed": 0,
            "space": SPACE,
            "constants": {"rungs": list(RUNGS)},
            "resources": {"cpu": 1, "gpu": 0},
            "machine": "Linux x86_64, 2 CPUs",
            "versions": {"python": "3.11.7", "keras": "3.15.1"},
            "fingerprint": "9e0caf80",
            "command": {"job": "breast_cancer_tpe"},
            **changes,
        }

    def draw(self, number: int) -> dict[str, Any]:
        """A config of the space, the same for the same number."""
        chance = random.Random(number)
        optimizer: dict[str, Any] = {"name": chance.choice(["adam", "sgd"])}
        if optimizer["name"] == "sgd":
            optimizer["nesterov"] = chance.random() < 0.5
        return {
            "learning_rate": 10 ** chance.uniform(-4, -1),
            "momentum": 1 - 10 ** chance.uniform(-3, -1),
            "layers": [{"units": chance.choice([16, 32])} for _ in range(chance.choice([1, 2]))],
            "optimizer": optimizer,
            "patience": 8,
        }

    def curve(self, config: dict[str, Any], epochs: int) -> list[float]:
        """A loss that the learning rate decides."""
        floor = 0.1 + abs(math.log10(config["learning_rate"]) + 2) / 2
        return [floor + 1 / (epoch + 1) for epoch in range(1, epochs + 1)]

    def search(self, name: str, count: int, *, replicas: int = 1, **changes: Any) -> Experiment:
        """An ordinary search: of each nine trials one is trained to the end, one fails."""
        records = []
        for number in range(1, count + 1):
            config = self.draw(number)
            epochs = {0: 9, 1: 3, 2: 3}.get(number % 9, 1)
            state = "complete" if epochs == 9 else "failed" if number % 9 == 8 else "stopped"
            losses = self.curve(config, epochs)
            values = [[loss + 0.02 * replica for loss in losses] for replica in range(replicas)]
            records += self.trial(number, config, values, state)
        return self.write(name, records, **changes)

    def trial(
        self,
        number: int,
        config: dict[str, Any],
        values: list[list[float]],
        state: str = "complete",
        error: str = "Traceback\nValueError: units is -3",
    ) -> list[HistoryRecord]:
        """The records of a trial; ``values`` by replica, then by epoch."""
        records: list[HistoryRecord] = [TrialStart(number, config)]
        for replica, losses in enumerate(values):
            records += [
                Epoch(number, replica, epoch, 0.1, {"val_loss": loss, "loss": loss / 2})
                for epoch, loss in enumerate(losses, 1)
            ]
        if state == "running":
            return records
        failure = ("configuration", error) if state == "failed" else (None, None)
        return [*records, TrialEnd(number, state, *failure)]

    def write(
        self,
        name: str,
        records: list[HistoryRecord],
        *,
        summary: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Experiment:
        folder = open_folder(self.place / name)
        folder.create()
        folder.write_json("experiment.json", self.describe(**changes))
        history = SegmentWriter(folder)
        for record in records:
            history.append(record)
        history.flush()
        summary = None if summary is None else dict(summary)
        if summary and "winner" in summary:
            folder.write_json("verdict.json", summary.pop("winner"))
        if summary is not None:
            folder.write_json(
                "summary.json", {"outcome": "complete", "seconds": 12.5, "attempt": 1, **summary}
            )
        return Experiment(folder)


class Opened:
    """A report in a browser without a network, and what it complained of or asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def charts(self) -> list[str]:
        """The charts' text alternatives up to the first full stop."""
        labels = self.page.locator("svg[role=img]").evaluate_all(
            "charts => charts.map(chart => chart.getAttribute('aria-label'))"
        )
        return [label.split(". ")[0] for label in labels]

    def headings(self) -> list[str]:
        return self.page.locator("h2").all_inner_texts()

    def marked(self) -> set[str]:
        """The trials that are marked in the charts, found by where their marks are."""
        return set(
            self.page.evaluate(
                """() => [...document.querySelectorAll('.plot')].flatMap(svg => {
                  const core = svg.querySelector('.marked .core');
                  if (!core) return [];
                  const d = core.getAttribute('d');
                  for (const path of svg.querySelectorAll('path[data-t]')) {
                    const parts = path.getAttribute('d').split('M').slice(1);
                    const place = parts.findIndex(part => 'M' + part === d);
                    if (place >= 0) return [path.dataset.t.split(' ')[place]];
                  }
                  return ['nobody'];
                })"""
            )
        )

    def count_marked(self) -> int:
        return self.page.locator(".marked:has(.core)").count()


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser on the path: none of {', '.join(names)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER)
        yield browser
        browser.close()


@pytest.fixture
def show(chromium: Any) -> Iterator[Any]:
    """Writes the report of experiments and opens it."""
    contexts = []

    def open_report(*experiments: Experiment, width: int = 1280, **options: Any) -> Opened:
        write_report(experiments)
        context = chromium.new_context(
            offline=True, viewport={"width": width, "height": 900}, **options
        )
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.goto(Path(experiments[0].folder.path, "report.html").as_uri())
        return opened

    yield open_report
    for context in contexts:
        context.close()
