"""Searches with real Ray and real Keras, from the data to predictions on new rows."""

import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import log_loss

from tune_jobs.cli.main import main
from tune_jobs.engine import Evaluation, Experiment, Finalists, Profile, open_experiment, run
from tune_jobs.engine.job.modules import find_job

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def profile(tmp_path_factory) -> Profile:
    # One trial at a time: TensorFlow is imported once less, and the search repeats exactly.
    return Profile(storage=str(tmp_path_factory.mktemp("results")), max_concurrent_trials=1)


def search(job: str, profile: Profile, **changes) -> Experiment:
    return run(
        replace(find_job(job).job, **{"finalists": None, **changes}),
        profile=profile,
        name=job,
        listeners=[],
        import_paths=[str(ROOT)],
    )


def predict(experiment: Experiment, source: Path, target: Path) -> pd.DataFrame:
    ran = CliRunner().invoke(main, ["predict", experiment.folder.uri, str(source), str(target)])
    assert ran.exit_code == 0, ran.stderr
    return pq.read_table(target).to_pandas()


@pytest.fixture(scope="module")
def breast_cancer(local_ray, profile) -> Experiment:
    return search("breast_cancer_tpe", profile, num_samples=3, max_epochs=4)


def test_tpe_with_asha_finds_a_model_that_is_better_than_guessing(breast_cancer) -> None:
    assert breast_cancer.exit_code == 0
    assert len(breast_cancer.trials) == 3
    assert breast_cancer.best_value < math.log(2)
    assert breast_cancer.summary.test["roc_auc"] > 0.9
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(breast_cancer.epochs.columns)


def test_trials_run_in_compiled_epochs_in_one_warm_worker(breast_cancer) -> None:
    assert set(breast_cancer.trials["path"]) == {"compiled"}
    assert breast_cancer.trials["worker"].nunique() == 1
    assert 0 < breast_cancer.summary.usage.useful < 1


def test_the_exported_model_is_the_best_epochs_model_on_raw_columns(breast_cancer) -> None:
    """Its loss on the raw validation rows is the value that the search recorded."""
    data = find_job("breast_cancer_tpe").job.load_data().training
    columns = breast_cancer.description.preprocessing["columns"]
    raw = {
        column["name"]: data.x_validation[:, [place]].astype(float) * column["scale"]
        + column["mean"]
        for place, column in enumerate(columns)
    }
    outputs = breast_cancer.companion("predict")(breast_cancer.best_model(), raw)

    loss = log_loss(data.y_validation, outputs[:, 0].astype(float))
    assert loss == pytest.approx(breast_cancer.best_value, rel=1e-3)


def test_predictions_of_a_table_without_the_target(breast_cancer, tmp_path) -> None:
    frame = load_breast_cancer(as_frame=True)
    frame.data.to_parquet(tmp_path / "new.parquet")

    predicted = predict(breast_cancer, tmp_path / "new.parquet", tmp_path / "out.parquet")

    assert predicted.columns.tolist() == [
        "prediction",
        "probability_False",
        "probability_True",
    ]
    malignant = frame.target == 0
    assert (predicted["prediction"] == malignant).mean() > 0.9
    assert (predicted["prediction"] == (predicted["probability_True"] > 0.5)).all()


def test_export_writes_the_same_model_again(breast_cancer, tmp_path) -> None:
    target = tmp_path / "model.keras"
    ran = CliRunner().invoke(main, ["export", breast_cancer.folder.uri, str(target)])
    assert ran.exit_code == 0, ran.stderr
    frame = load_breast_cancer(as_frame=True).data.head(20)
    rows = {name: frame[[name]].to_numpy(float) for name in frame}
    outputs = breast_cancer.companion("predict")
    again = outputs(breast_cancer.companion("load")(str(target)), rows)
    np.testing.assert_array_equal(again, outputs(breast_cancer.best_model(), rows))


@pytest.mark.slow
def test_a_run_with_one_worker_repeats_exactly(breast_cancer, profile, local_ray) -> None:
    again = run(
        replace(find_job("breast_cancer_tpe").job, num_samples=3, max_epochs=4, finalists=None),
        profile=profile,
        name="again",
        listeners=[],
    )
    metrics = ["trial", "epoch", "loss", "val_loss", "val_accuracy"]
    pd.testing.assert_frame_equal(again.epochs[metrics], breast_cancer.epochs[metrics])


@pytest.mark.slow
def test_folds_and_repeats_are_trained_in_step_and_exported(local_ray, profile) -> None:
    evaluation = Evaluation(folds=3, repeats=2)
    result = run(
        replace(
            find_job("breast_cancer_tpe").job,
            num_samples=2,
            max_epochs=3,
            evaluation=evaluation,
            finalists=Finalists(count=2, scores=3),
        ),
        profile=profile,
        name="folds",
        listeners=[],
    )

    assert result.exit_code == 0
    counts = result.epochs.groupby(["trial", "epoch"])["replica"].nunique()
    assert set(counts) == {6}
    means = result.epochs.groupby(["trial", "epoch"])["val_loss"].mean()
    search_values = [finalist.search_value for finalist in result.verdict.finalists]
    assert min(search_values) == pytest.approx(means.min())
    assert result.verdict.scores == 3
    assert result.summary.test["roc_auc"] > 0.5


def test_finals_choose_a_winner_that_is_exported_alone_and_with_the_others(
    local_ray, profile, tmp_path
) -> None:
    result = run(
        replace(
            find_job("breast_cancer_tpe").job,
            num_samples=3,
            max_epochs=4,
            finalists=Finalists(count=2, scores=2, ensemble=True),
        ),
        profile=profile,
        name="finals",
        listeners=[],
    )
    finalists = result.verdict.finalists

    assert result.exit_code == 0
    assert len(finalists) == 2
    assert result.verdict.scores == 2
    assert all(finalist.parameters > 1000 for finalist in finalists)
    assert {base.name for base in result.verdict.baselines} == {
        "majority class",
        "linear model",
    }
    assert result.summary.test["roc_auc"] > 0.9
    assert result.summary.ensemble.test["roc_auc"] > 0.9
    (tmp_path / "ensemble.keras").write_bytes(result.folder.read("ensemble.keras"))
    raw = load_breast_cancer(as_frame=True).data
    rows = {name: raw[[name]].to_numpy(float) for name in raw}
    load, predict_rows = result.companion("load"), result.companion("predict")
    together = predict_rows(load(str(tmp_path / "ensemble.keras")), rows)
    assert together.shape == (569, 1)
    assert not np.array_equal(together, predict_rows(result.best_model(), rows))
    built: dict = {}
    exec(result.folder.read("rebuild_best.py"), built)
    winner = next(f for f in finalists if f.trial == result.verdict.trial)
    assert built["model"].count_params() == winner.parameters
    assert b"<h2>Verdict</h2>" in result.folder.read("report.html")


@pytest.mark.slow
def test_random_search_with_median_stopping(local_ray, profile) -> None:
    result = search("breast_cancer_random", profile, num_samples=2, max_epochs=3)
    assert result.exit_code == 0
    assert result.summary.test["accuracy"] > 0.5


@pytest.mark.slow
def test_a_grid_trains_each_of_its_points(local_ray, profile) -> None:
    job = find_job("breast_cancer_grid").job
    layers = {"grid_search": job.space["layers"]["grid_search"][:2]}
    optimizer = {"grid_search": job.space["optimizer"]["grid_search"][:1]}
    space = {**job.space, "layers": layers, "optimizer": optimizer}

    result = search("breast_cancer_grid", profile, space=space, max_epochs=2)

    assert result.exit_code == 0
    assert sorted(result.trials["config.layers.0.units"]) == [32, 128]


def test_a_convolutional_network_learns_the_digits(local_ray, profile, tmp_path) -> None:
    result = search("digits_cnn_asha", profile, num_samples=2, max_epochs=4)
    np.save(tmp_path / "digits.npy", load_digits().images.astype("uint8"))

    predicted = predict(result, tmp_path / "digits.npy", tmp_path / "out.parquet")

    assert result.best_value > 0.5
    assert (predicted["prediction"] == load_digits().target).mean() > 0.5
    assert len(predicted.columns) == 11


def test_mnists_layout_is_searched_from_a_file(local_ray, profile, tmp_path) -> None:
    digits = load_digits()
    x, y = digits.images.astype("uint8"), digits.target
    np.savez(
        tmp_path / "m.npz", x_train=x[:1500], y_train=y[:1500], x_test=x[1500:], y_test=y[1500:]
    )
    data = replace(find_job("mnist_dense").job.data, source=tmp_path / "m.npz")

    result = search("mnist_dense", profile, data=data, num_samples=2, max_epochs=3)

    assert result.summary.test["accuracy"] > 0.5
    assert all(units % 32 == 0 for units in result.trials["config.layers.0.units"])
    assert len(predict(result, tmp_path / "m.npz", tmp_path / "out.parquet")) == 297


@pytest.mark.slow
def test_ones_own_table_with_numbers_texts_and_gaps(local_ray, profile, tmp_path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size (m²)": rng.uniform(20, 200, 300),
            "city/district": rng.choice(["Bern", "Zürich", None], 300),
            "garden": rng.random(300) < 0.3,
            "rooms": rng.integers(1, 7, 300),
        }
    )
    frame.loc[::7, "rooms"] = None
    city = frame["city/district"].map({"Zürich": 2.0}).fillna(1.0)
    frame["price"] = 5000 * frame["size (m²)"] * city + 1e6
    frame.to_csv(tmp_path / "homes.csv.gz", index=False)
    data = replace(
        find_job("breast_cancer_random").job.data, source=tmp_path / "homes.csv.gz", target="price"
    )

    result = search(
        "breast_cancer_random",
        replace(profile, storage=str(tmp_path)),
        data=data,
        num_samples=4,
        max_epochs=12,
    )
    predicted = predict(result, tmp_path / "homes.csv.gz", tmp_path / "out.parquet")

    assert result.exit_code == 0
    scores = result.summary.test
    assert scores["mean_absolute_error"] < frame["price"].std()
    error = (predicted["prediction"] - frame["price"]).abs().mean()
    assert 0.3 < error / scores["mean_absolute_error"] < 3


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_it_has_and_says_so(tmp_path) -> None:
    command = [sys.executable, "-m", "tune_jobs", "run", "breast_cancer_tpe", "--name", "cut"]
    process = subprocess.Popen(
        [*command, "--storage", str(tmp_path), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    for line in process.stderr:
        if line.startswith("{") and json.loads(line)["kind"] == "end":
            process.send_signal(signal.SIGINT)
            break
    out, _ = process.communicate(timeout=120)

    assert process.returncode == 7
    assert json.loads(out)["outcome"] == "interrupted"
    result = open_experiment(str(tmp_path / "cut"))
    assert result.best_config == json.loads(out)["best"]["config"]
    exported = CliRunner().invoke(
        main, ["export", str(tmp_path / "cut"), str(tmp_path / "m.keras")]
    )
    assert exported.exit_code == 0, exported.stderr
