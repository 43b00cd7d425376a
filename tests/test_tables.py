"""A table as it occurs, from the file to predictions of new rows: one small search."""

import csv
import importlib.util
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from ray import tune

from tune_jobs import tabular
from tune_jobs.cli.main import main
from tune_jobs.engine import Evaluation, Finalists, Profile, run
from tune_jobs.engine.runs.predict import predict
from tune_jobs.engine.views.show import lines

pytestmark = pytest.mark.usefixtures("local_ray")


TARGETS = ["sold", "class", "price", "garden", "listed"]
SPACE = {
    "layers": [{"units": 16, "dropout": 0.0}],
    "optimizer": {"name": "adam", "learning_rate": tune.choice([0.03])},
    "batch_size": 16,
}


def load_messy():
    path = Path(__file__).parent / "fixtures" / "messy.py"
    spec = importlib.util.spec_from_file_location("messy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_tables(folder):
    return load_messy().write(folder)


@pytest.fixture(scope="module")
def homes():
    return load_messy().homes()


@pytest.fixture
def search(homes, tmp_path):
    """Return a function that searches a messy file, and predicts it without its targets."""
    source = load_messy().spoil(homes, TARGETS, tmp_path)
    new = tmp_path / "new.csv"
    rows = pd.read_csv(source, sep=";", dtype=str, encoding="utf-8-sig", keep_default_na=False)
    rows.head(len(homes)).drop(columns=TARGETS).to_csv(new, sep=";", index=False)

    def search(target, **changes):
        ignored = tuple(set(TARGETS) - {*target} - {target})
        data = replace(tabular.JOB.data, source=source, target=target, ids=("id",), ignore=ignored)
        job = replace(tabular.JOB, data=data, space=SPACE, num_samples=1, max_epochs=12)
        job = replace(job, scheduler=None, **({"finalists": None} | changes))
        profile = Profile(storage=str(tmp_path / "results"), max_concurrent_trials=1)
        experiment = run(job, profile=profile, name="messy", listeners=[])
        out = tmp_path / "out.csv"
        ran = CliRunner().invoke(main, ["predict", experiment.folder.uri, str(new), str(out)])
        assert (experiment.exit_code, ran.exit_code) == (0, 0), ran.stderr
        found = pd.read_csv(out, sep=";", decimal=",")  # as the new rows are written
        assert found["id"].tolist() == rows["id"].head(len(homes)).tolist()
        return experiment, found

    return search


def test_two_classes_with_few_of_one_have_a_threshold_from_the_finals(search, homes):
    experiment, found = search(
        "sold",
        metric="val_f1",
        evaluation=Evaluation(scoring="f1"),
        finalists=Finalists(count=1, scores=2),
    )
    threshold, test = experiment.summary.threshold, experiment.summary.test

    assert (threshold.measure, threshold.folds) == ("f1", 2)
    said = threshold.sentence.removeprefix("Threshold ")
    assert f"threshold   {said}" in lines(experiment, short=True)
    wanted = np.where(found["probability_Yes"] > threshold.value, "Yes", "No")
    assert found["prediction"].tolist() == wanted.tolist()
    assert (found["prediction"] == homes["sold"]).mean() > 0.9
    assert test["f1"] > 0.5


def test_several_classes(search, homes):
    experiment, found = search("class")

    assert {"probability_low", "probability_middle", "probability_high"} < {*found}
    assert (found["prediction"] == homes["class"]).mean() > 0.75
    assert lines(experiment, short=False)[-1].endswith("NEW.csv predictions.csv")
    assert experiment.summary.threshold is None


def test_a_number_is_reported_in_its_unit(search, homes):
    experiment, found = search("price")
    test, said = experiment.summary.test, lines(experiment, short=True)

    error = float(np.sqrt(np.mean((found["prediction"] - homes["price"]) ** 2)))
    assert error < 0.6 * homes["price"].std()
    assert 0.5 < test["root_mean_squared_error"] / error < 2
    (best,) = (line for line in said if line.startswith("best val_loss"))
    assert best.startswith("best val_loss of the standardised target  ")
    shown = float(best.partition("(RMSE ")[2].partition(" in the unit of price")[0])
    assert shown == pytest.approx(test["root_mean_squared_error"], rel=1)
    by = experiment.summary.on_test
    assert by.measure == "root mean squared error"
    assert by.comparisons[0].winner == pytest.approx(test["root_mean_squared_error"])


def test_several_labels(search, homes):
    _, found = search(("garden", "listed"))

    for label in ("garden", "listed"):
        assert (found[f"prediction_{label}"] == homes[label]).mean() > 0.85
        likely = found[f"probability_{label}"] > 0.5
        assert found[f"prediction_{label}"].tolist() == np.where(likely, "yes", "no").tolist()


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
        metric="val_balanced_accuracy",
        evaluation=Evaluation(scoring="balanced_accuracy"),
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
    # Without finals the threshold is chosen by what the checkpoint predicts of the validation set.
    threshold = experiment.summary.threshold
    assert (threshold.measure, threshold.folds) == ("balanced_accuracy", 4)
    assert experiment.summary.test["balanced_accuracy"] > 0.95
    with zipfile.ZipFile(experiment.folder.child("best.keras").path) as archive:
        kept = [name for name in archive.namelist() if name == "threshold.json"]
        found = [json.loads(archive.read(name))["threshold"] for name in kept]
    assert found == ([] if threshold.value == 0.5 else [threshold.value])
