"""A table as it occurs, from the file to predictions of new rows: one small search."""

import csv
import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from ray import tune

from tune_jobs import tabular
from tune_jobs.engine import Profile, run
from tune_jobs.engine.runs.predict import predict

pytestmark = pytest.mark.usefixtures("local_ray")


def write_tables(folder):
    path = Path(__file__).parent / "fixtures" / "messy.py"
    spec = importlib.util.spec_from_file_location("messy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write(folder)


def test_a_messy_table_is_searched_and_new_rows_are_predicted(tmp_path):
    source = write_tables(tmp_path)["european"]
    job = replace(
        tabular.JOB,
        data=replace(tabular.JOB.data, source=source, target="churned", ids=("customer_id",)),
        space={
            "layers": [{"units": 16, "dropout": 0.0}],
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "batch_size": 16,
            "class_weight": "balanced",
            "embedding_units": tune.choice([4]),
        },
        num_samples=1,
        max_epochs=20,
        scheduler=None,
        finalists=None,
    )

    profile = Profile(storage=str(tmp_path / "results"), max_concurrent_trials=1)
    experiment = run(job, profile=profile, name="messy", listeners=[])
    described = experiment.description.table
    assert [column.name for column in described.columns][:2] == ["customer_id", "age"]
    assert described.notes[0] == "the file is separated by semicolons"
    names, *rows = source.read_text(encoding="utf-8-sig").splitlines()
    new = tmp_path / "new.csv"
    # In another dialect, without the target, and with a text that training took as missing.
    kept = [row.rsplit(";", 1)[0].split(";") for row in [names, *rows[:40]]]
    kept[3][1] = "unknown"
    with new.open("w", encoding="cp1252", newline="") as file:
        csv.writer(file).writerows(kept)
    assert predict(experiment, str(new), str(tmp_path / "out.csv")) == 40

    with (tmp_path / "out.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row["customer_id"] for row in found] == [row.split(";")[0] for row in rows[:40]]
    # The refunds give the target away, which a few epochs learn with classes of equal weight.
    assert [row["prediction"] for row in found] == [row.rsplit(";", 1)[1] for row in rows[:40]]
    assert experiment.summary.test["roc_auc"] > 0.95
