"""Three nights of a schedule, each a process of its own on a real Ray."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tune_jobs.engine import open_experiment

# A logistic model of one column, which is what has to be found; it notes every epoch it trains.
JOB = """
import pathlib
import time

import numpy as np
from ray import tune

from tune_jobs.engine import TPE, Finalists, Job, table


def train(config, data):
    x, y = data.x_train[:, config["column"]], data.y_train
    held, truth = data.x_validation[:, config["column"]], data.y_validation
    own = np.random.default_rng(config["seed"]).permutation(len(y))[: len(y) * 9 // 10]
    weight = 0.0
    for epoch in range(1, config["max_epochs"] + 1):
        time.sleep(0.05)
        with pathlib.Path(config["log"]).open("a") as log:
            log.write(f"{tune.get_context().get_trial_dir()} {epoch}\\n")
        for _ in range(40):
            error = 1 / (1 + np.exp(-weight * x[own])) - y[own]
            weight -= config["rate"] * np.mean(error * x[own])
        p = np.clip(1 / (1 + np.exp(-weight * held)), 1e-6, 1 - 1e-6)
        loss = -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))
        tune.report({"val_loss": float(loss)})


JOB = Job(
    train,
    {"column": tune.choice([0, 1, 2, 3]), "rate": tune.loguniform(1e-1, 1), "log": "LOG"},
    data=table("SPRING", target="bought"),
    searcher=TPE(n_initial_points=6),
    finalists=Finalists(count=3, scores=4),
    num_samples=14,
    max_epochs=3,
)
"""


def customers(column: str, seed: int) -> pd.DataFrame:
    """Customers of whom those with a high value in one column bought."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(300, 4)), columns=list("abcd"))
    bought = 2 * frame[column] + draw.normal(size=300) > 0
    return frame.assign(bought=np.where(bought, "yes", "no"))


@pytest.fixture
def season(folder) -> Path:
    """The job, and the customers of spring and of autumn."""
    for name, column, seed in (("spring", "a", 1), ("autumn", "c", 3)):
        customers(column, seed).to_parquet(folder / f"{name}.parquet")
    job = JOB.replace("LOG", str(folder / "log")).replace("SPRING", str(folder / "spring.parquet"))
    (folder / "job.py").write_text(job)
    return folder


def retest(season: Path, data: str, slot: str, *options: str) -> tuple[int, dict]:
    words = [sys.executable, "-m", "tune_jobs", "retest", "nightly-2026-11-27", "--json"]
    words += ["--data", str(season / data), "--slot", slot, "--profile"]
    words += [str(season / "profile.yaml"), "--scores", "4", *options]
    ran = subprocess.run(words, capture_output=True, text=True, cwd=season)
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout)["answer"]


@pytest.mark.slow
def test_three_nights(season, drive) -> None:
    def night(slot: str):
        return drive("--slot", slot, name="nightly-{slot}")

    # The first searches.
    first = night("2026-11-26").end()
    assert (first["name"], first["outcome"]) == ("nightly-2026-11-26", "complete")

    # The second is killed at a random moment, and started again for the same slot.
    (season / "log").unlink()
    killed, ends = night("2026-11-27"), random.randint(1, 12)
    for event in killed.events():
        ends -= event["kind"] == "end"
        if ends == 0:
            time.sleep(random.uniform(0, 0.2))
            break
    killed.process.kill()
    killed.process.communicate()
    results = season / "results"
    trials = open_experiment(str(results / "nightly-2026-11-27")).trials
    finished = set(trials[trials["state"] == "complete"]["trial"])
    assert finished
    resumed = night("2026-11-27")
    second = resumed.end()
    assert second["outcome"] == "complete"
    assert "Traceback" not in "".join(resumed.errors)  # of the thread that keeps the lease, say
    assert second["attempt"] == 2
    trained = Counter((season / "log").read_text().splitlines())
    searched = [line for line in trained if "/finalists/" not in line]
    again = {int(Path(line.split()[0]).name.split("-")[0]) for line in searched if "-2 " in line}
    assert not finished & again
    assert set(trained.values()) == {1}

    # A third start for that slot does no work, and says what the second found.
    (season / "log").unlink()
    assert night("2026-11-27").end() == second
    assert not (season / "log").exists()

    # The third retests: on data whose labels changed, and on the same.
    code, answer = retest(season, "autumn.parquet", "2026-11-28", "--exit-verdict")
    assert (code, answer["answer"]) == (11, "replace")
    assert answer["challenge"]["interval"][0] > 0
    assert answer["challenger"]["config"]["column"] == 2
    assert answer["fall"]["is_worse"]
    same = retest(season, "spring.parquet", "2026-11-29", "--exit-verdict")
    assert (same[0], same[1]["answer"]) == (0, "keep")
    assert [each["answer"] for each in same[1]["earlier"]] == ["replace"]
