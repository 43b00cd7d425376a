"""Results of other tools for ``run --warm-start``: tables, KerasTuner's and Optuna's files."""

from __future__ import annotations

import csv
import io
import json
import random
import sqlite3
from pathlib import Path
from typing import Any

from tests.fuzz.pieces import TEXTS, any_bytes, any_value, changed, like, write_neighbours

SPACE = '{"x": tune.uniform(0, 1), "layers": {"units": tune.choice([8, 16])}}'


def earlier_results(rng: random.Random) -> list[str]:
    """Write earlier results of a job, some of them damaged, and start from them."""
    write_neighbours()
    Path("job.py").write_text(
        "from ray import tune\nfrom tune_jobs.engine import *\n"
        "def train(config, data): ...\n"
        f'JOB = Job(train, {SPACE}, metric="loss", num_samples=2, max_epochs=2)\n'
    )
    source = rng.choice([_table, _keras_tuner, _optuna])(rng)
    words = ["run", "job.py", "--name", "new", "--warm-start", source]
    if rng.random() < 0.3:
        words += ["--set", rng.choice(["mode=max", "metric=score", "num_samples=1"])]
    return words


def _configs(rng: random.Random) -> list[dict[str, Any]]:
    """Return configs of the job, of which some values are odd."""
    many = range(rng.choice([0, 1, 2, 5, 30]))
    made = [{"x": rng.random(), "layers.units": rng.choice([8, 16])} for _ in many]
    return [changed(rng, each) if rng.random() < 0.2 else each for each in made]


def _table(rng: random.Random) -> str:
    rows = [{**each, "loss": like(rng, 0.5)} for each in _configs(rng) if isinstance(each, dict)]
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["x", "loss"]
    heads = [rng.choice([*TEXTS[:12], "loss"]) if rng.random() < 0.05 else name for name in names]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([heads, *([row.get(name, "") for name in names] for row in rows)])
    content = text.getvalue().encode("utf-8", "surrogatepass")
    Path("past.csv").write_bytes(any_bytes(rng, content) if rng.random() < 0.3 else content)
    return "past.csv"


def _keras_tuner(rng: random.Random) -> str:
    """Write a project of KerasTuner, as its oracle and its trials write theirs."""
    for number, config in enumerate(_configs(rng)):
        trial = {
            "trial_id": f"{number:02}",
            "hyperparameters": {"space": [], "values": config},
            "metrics": {
                "metrics": {
                    "loss": {
                        "direction": "min",
                        "observations": [{"value": [rng.random()], "step": 0}],
                    }
                }
            },
            "score": rng.random(),
            "best_step": 0,
            "status": rng.choice(["COMPLETED", "COMPLETED", "FAILED", "RUNNING"]),
            "message": None,
        }
        content = json.dumps(changed(rng, trial) if rng.random() < 0.3 else trial).encode()
        folder = Path("project", f"trial_{number:02}")
        folder.mkdir(parents=True)
        is_damaged = rng.random() < 0.1
        (folder / "trial.json").write_bytes(any_bytes(rng, content) if is_damaged else content)
    oracle = {"ongoing_trials": {}, "hyperparameters": {"space": [], "values": {}}}
    Path("project").mkdir(exist_ok=True)
    Path("project/oracle.json").write_text(json.dumps(changed(rng, oracle)))
    return "project"


def _optuna(rng: random.Random) -> str:
    """Write what is, more or less, a database of Optuna."""
    with sqlite3.connect("study.db") as database:
        for name, columns in TABLES.items():
            if rng.random() < 0.95:
                database.execute(f"create table {name} ({', '.join(columns)})")
                for _ in range(rng.randint(0, 3)):
                    row = [_cell(rng, column) for column in columns]
                    marks = ", ".join("?" * len(row))
                    database.execute(f"insert into {name} values ({marks})", row)
    database.close()
    if rng.random() < 0.2:
        Path("study.db").write_bytes(any_bytes(rng, Path("study.db").read_bytes()))
    return rng.choice(["study.db", "study.db", "study.db#0", "study.db#", "sqlite:///study.db"])


TABLES = {
    "studies": ("study_id", "study_name"),
    "study_directions": ("study_direction_id", "direction", "study_id", "objective"),
    "trials": ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
    "trial_values": ("trial_value_id", "trial_id", "objective", "value", "value_type"),
    "trial_params": (*("param_id", "trial_id", "param_name", "param_value", "distribution_json"),),
    "alembic_version": ("version_num",),
    "version_info": ("version_info_id", "schema_version", "library_version"),
}


def _cell(rng: random.Random, column: str) -> Any:
    if rng.random() < 0.8:
        likely = {"state": "COMPLETE", "direction": "MINIMIZE", "value_type": "FINITE"}
        likely |= {"param_name": "x", "param_value": 0.5, "version_num": "v3.2.0.a"}
        likely["distribution_json"] = (
            '{"name": "FloatDistribution", "attributes": '
            '{"step": null, "low": 0.0, "high": 1.0, "log": false}}'
        )
        return likely.get(column, 1 if column.endswith("_id") else 0)
    value = any_value(rng)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    is_storable = isinstance(value, float | bool | None) or (
        isinstance(value, int) and abs(value) < 2**63
    )
    return value if is_storable else json.dumps(value)
