"""An arithmetic job in a file of its own, and drivers that search it on the tests' Ray."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

ROOT = Path(__file__).parent.parent.parent

# Notes every epoch that is really trained, as "<trial> <epoch>".
JOB = """
import pathlib
import tempfile

from ray import tune

from tune_jobs.engine import ASHA, TPE, Job


def train(config, data):
    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            start = int(pathlib.Path(folder, "epoch").read_text())
    for epoch in range(start + 1, config["max_epochs"] + 1):
        with pathlib.Path(config["log"]).open("a") as log:
            log.write(f"{int(tune.get_context().get_trial_id())} {epoch}\\\\n")
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "epoch").write_text(str(epoch))
            loss = (config["x"] - 0.3) ** 2 + (config["y"] - 0.7) ** 2 + 1 / epoch
            tune.report({"loss": loss}, checkpoint=tune.Checkpoint.from_directory(folder))


JOB = Job(
    train,
    {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1), "log": "LOG"},
    metric="loss",
    searcher=TPE(n_initial_points=5),
    scheduler=ASHA(),
    num_samples=200,
    max_epochs=9,
    finalists=None,
)
""".replace("\\\\", "\\")


class Driver:
    """A run of the command line in a process of its own."""

    def __init__(self, folder: Path, *options: str, name: str = "test") -> None:
        command = [sys.executable, "-m", "tune_jobs", "run", str(folder / "job.py"), "--json"]
        command += ["--profile", str(folder / "profile.yaml"), "--name", name, *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.errors: list[str] = []

    def events(self) -> Iterator[dict]:
        """What it says while it runs."""
        for line in self.process.stderr:
            if line.startswith("{"):
                yield json.loads(line)
            else:
                self.errors.append(line.strip())

    def end(self) -> dict:
        """Wait for its end; what it printed at last, empty where it printed nothing."""
        for _ in self.events():
            pass
        out = self.process.stdout.read()
        self.process.wait(60)
        return json.loads(out.splitlines()[-1]) if out.strip() else {}


@pytest.fixture
def folder(local_ray, tmp_path) -> Path:
    """A folder with the job and a profile that joins the tests' Ray."""
    (tmp_path / "job.py").write_text(JOB.replace("LOG", str(tmp_path / "log")))
    address = ray.get_runtime_context().gcs_address
    profile = {
        "address": address,
        "storage": str(tmp_path / "results"),
        "max_concurrent_trials": 1,
        "cpus_per_trial": 0.4,  # a suspended driver keeps what it holds; starting needs more
    }
    (tmp_path / "profile.yaml").write_text(json.dumps(profile))
    return tmp_path


@pytest.fixture
def drive(folder):
    """Start a driver; whatever happens, none is left behind."""
    drivers = []

    def drive(*options: str, name: str = "test") -> Driver:
        drivers.append(Driver(folder, *options, name=name))
        return drivers[-1]

    yield drive
    for driver in drivers:
        driver.process.kill()
        driver.process.communicate()
