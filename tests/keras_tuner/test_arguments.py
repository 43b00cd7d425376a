"""The arguments of tuners and of `search`: what is refused, and what is said."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tune_jobs.keras_tuner as kt
from tests.keras_tuner.models import X_HELD, X_TRAIN, Y_HELD, Y_TRAIN, build, make_model
from tune_jobs.engine import JobError
from tune_jobs.keras_tuner.objective import make_objective
from tune_jobs.keras_tuner.project import locate_project
from tune_jobs.keras_tuner.trials import Metrics, Trial
from tune_jobs.keras_tuner.worker.arguments import list_warnings, read_call

HELD = (X_HELD, Y_HELD)


def make(tmp_path, model=build, kind=kt.RandomSearch, objective="val_loss", **more):
    return kind(model, objective=objective, directory=tmp_path, **more)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_trails": 3}, "unknown argument 'max_trails'; did you mean 'max_trials'"),
        ({"kind": kt.Hyperband, "max_trials": 3}, "Hyperband has no argument 'max_trials', which"),
        ({"kind": kt.GridSearch, "max_epoch": 3}, "unknown argument 'max_epoch'"),
        ({"objective": "val_width"}, "the objective is 'val_width', whose direction is not known"),
        ({"objective": ["loss", "val_loss"]}, "but a search has one"),
        ({"objective": 3}, "the objective is 3, but must be a name or kt.Objective"),
        ({"max_trials": 0}, "max_trials is 0, but must be an integer >= 1"),
        ({"executions_per_trial": 0}, "executions_per_trial is 0"),
        ({"model": None}, "hypermodel is missing"),
        ({"model": 3}, "hypermodel is 3, but must be a function build"),
        ({"model": kt.HyperModel}, "hypermodel is the class HyperModel, but must be an instance"),
        ({"project_name": "n" * 101}, "must be at most 100 letters"),
        ({"distribution_strategy": "mirrored"}, "distribution_strategy is not used"),
        ({"model": lambda hp: make_model()}, "declares no hyperparameter"),  # noqa: ARG005
        ({"cv": 1}, "cv is 1, but must be an integer >= 2"),
        ({"profile": 3}, "profile is 3, but must be a Profile or the name of one"),
    ],
)
def test_wrong_arguments_of_a_tuner_take_one_line(tmp_path, given, said):
    with pytest.raises(JobError) as caught:
        make(tmp_path, **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"y": Y_TRAIN[:-1]}, "search: x has 90 rows, but y has 89"),
        ({"validation_data": (X_HELD, Y_TRAIN)}, "but y of validation_data has 90"),
        ({"validation_split": 1.5}, "validation_split is 1.5, but must be between 0 and 1"),
        ({"epoch": 3}, "unknown argument 'epoch'; did you mean 'epochs'"),
        ({"epochs": 0}, "epochs is 0, but must be an integer >= 1"),
        ({"x": iter([]), "y": None, "validation_split": 0.1}, "has no rows to split"),
        ({"x": None, "y": None}, "x is missing"),
        ({"y": [0, 1]}, "y is a list of numbers; give np.array(y)"),
        ({"validation_data": X_HELD}, "validation_data is x alone, but must be (x, y)"),
        ({"callbacks": 3}, "callbacks has 3, which is no callback of Keras"),
        ({}, "the objective is 'val_loss', but there are no validation data"),
    ],
)
def test_wrong_arguments_of_search_take_one_line(tmp_path, given, said):
    tuner = make(tmp_path)
    with pytest.raises(JobError) as caught:
        tuner.search(**{"x": X_TRAIN, "y": Y_TRAIN, "epochs": 1, **given})
    assert said in str(caught.value)
    assert not tuner.experiment.exists


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda hp: hp.Int("n", 1, 8, stp=1), "hp.Int has no argument 'stp'; did you mean 'step'?"),
        (lambda hp: hp.Float("n", 0, 1, smpling="log"), "hp.Float has no argument 'smpling'; did"),
        (lambda hp: hp.Choice("n", ["a"], order=True), "did you mean 'ordered'?"),
        (lambda hp: hp.Boolean("n", defalt=True), "did you mean 'default'?"),
        (lambda hp: hp.Fixed("n", valu=3), "did you mean 'value'?"),
        (lambda hp: hp.get(nam="n"), "hp.get has no argument 'nam'; did you mean 'name'?"),
        (lambda hp: hp.conditional_scope("n", value=[1]), "hp.conditional_scope has no argument"),
    ],
)
def test_an_unknown_argument_of_hp_names_the_nearest(tmp_path, call, said):
    with pytest.raises(JobError) as caught:
        make(tmp_path, model=call)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_argument_in_a_fit_is_refused_before_anything_starts(tmp_path):
    class Fits(kt.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, batch_size=hp.Int("batch_size", 8, 32, stp=8), **kwargs)

    tuner = make(tmp_path, model=Fits())
    with pytest.raises(JobError, match=r"hp\.Int has no argument 'stp'; did you mean 'step'"):
        tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD)
    assert not tuner.experiment.exists


def test_an_unknown_argument_of_what_reads_results_names_the_nearest(tmp_path):
    tuner = make(tmp_path)
    for call in (tuner.results_summary, tuner.oracle.get_best_trials):
        with pytest.raises(JobError, match="has no argument 'num_trial'; did you mean 'num_trials"):
            call(num_trial=1)
    with pytest.raises(JobError, match=r"tuner\.get_best_models has no argument 'n'"):
        tuner.get_best_models(n=1)


def test_an_unknown_argument_of_an_oracle_names_the_nearest():
    with pytest.raises(JobError, match="unknown argument 'objectve'; did you mean 'objective'"):
        kt.oracles.Hyperband(objectve="loss")


def test_an_objective_has_to_be_named_unless_the_program_returns_a_number(tmp_path):
    with pytest.raises(JobError, match="the objective is missing"):
        make(tmp_path, objective=None).search(X_TRAIN, Y_TRAIN)


def test_an_objective_that_no_model_reports_is_refused_before_anything_starts(tmp_path):
    rows = tf.data.Dataset.from_tensor_slices((X_TRAIN, Y_TRAIN)).batch(8)
    tuner = make(tmp_path, objective="val_auc")
    for given in ({"x": X_TRAIN, "y": Y_TRAIN}, {"x": rows}):
        with pytest.raises(JobError) as caught:
            tuner.search(**given, validation_data=HELD)
        assert str(caught.value).startswith(
            "the objective is 'val_auc', but the model reports accuracy, loss, val_accuracy, "
            "val_loss; "
        )
    assert not tuner.experiment.exists


def test_a_build_has_to_return_a_compiled_model(tmp_path):
    def no_model(hp):
        return hp.Int("units", 1, 8)

    def not_compiled(hp):
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int("units", 1, 8))])

    with pytest.raises(JobError, match="build returned a int, but must return"):
        make(tmp_path, model=no_model)
    with pytest.raises(JobError, match="build returned a model that is not compiled"):
        make(tmp_path, model=not_compiled)
    assert make(tmp_path, model=not_compiled, optimizer="adam", loss="mse").oracle.trials == {}


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("val_accuracy", "max"),
        ("val_loss", "min"),
        ("val_auc_1", "max"),
        ("mean_squared_error", "min"),
        ("val_precision", "max"),
        ("val_kullback_leibler_divergence", "min"),
    ],
)
def test_directions_of_known_metrics(name, direction):
    assert make_objective(name) == kt.Objective(name, direction)


def test_validation_data_that_are_the_training_data_are_a_warning():
    def said(**given):
        return list(list_warnings(read_call((X_TRAIN, Y_TRAIN), given)))

    assert said(validation_data=HELD) == []
    for same in (X_TRAIN, X_TRAIN.copy()):
        (warning,) = said(validation_data=(same, Y_TRAIN))
        assert "validation_data are the training data" in warning


def test_a_batch_size_that_no_fit_reads_is_a_warning(tmp_path, caplog, monkeypatch):
    def build_with_batches(hp):
        hp.Int("batch_size", 8, 32)
        return build(hp)

    class Reads(kt.HyperModel):
        def build(self, hp):
            return build_with_batches(hp)

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, batch_size=hp.get("batch_size"), **kwargs)

    monkeypatch.setattr("tune_jobs.keras_tuner.searching.Search._run", lambda *_: None)
    make(tmp_path, model=Reads()).search(X_TRAIN, Y_TRAIN)
    assert "batch_size" not in caplog.text
    make(tmp_path, model=build_with_batches).search(X_TRAIN, Y_TRAIN, validation_data=HELD)
    assert "hyperparameter 'batch_size' has no effect" in caplog.text


def trials_with(*curves):
    found = {}
    for number, curve in enumerate(curves):
        metrics = Metrics({"val_loss": min(curve)}, {"val_loss": [*enumerate(curve, 1)]}, 1)
        found[str(number)] = Trial(kt.HyperParameters(), score=min(curve), metrics=metrics)
    return found


@pytest.mark.parametrize(
    ("curves", "is_useless"),
    [
        (([0.0, 0.0], [0.0, 0.0]), True),
        (([0.25], [0.25], [0.25]), True),
        (([0.0, 0.0], [0.0, 0.1]), False),  # its best is the same, by chance
        (([0.0], [0.0]), False),
        (([0.0, 0.0, 0.0],), False),
        ((), False),
    ],
)
def test_an_objective_that_is_the_same_in_all_trials_is_a_warning(
    tmp_path, caplog, capsys, monkeypatch, curves, is_useless
):
    monkeypatch.setattr("tune_jobs.keras_tuner.searching.Search._run", lambda *_: None)
    tuner = make(tmp_path)
    tuner.oracle.read = lambda: trials_with(*curves)
    tuner.search(X_TRAIN, Y_TRAIN, validation_data=HELD)
    tuner.results_summary()

    said = [each.message for each in caplog.records if "every trial has" in each.message]
    assert len(said) == is_useless
    assert capsys.readouterr().out.count("Warning: every trial has val_loss") == is_useless
    for line in said:
        assert line.startswith(f"every trial has val_loss {curves[0][0]:g} in all its epochs")
        assert "\n" not in line


def test_rows_are_split_as_keras_splits_them():
    weights = np.arange(90)
    fit = read_call((X_TRAIN, Y_TRAIN), {"validation_split": 0.2, "sample_weight": weights})
    sets = fit.sets()
    assert len(sets.x_train) == len(sets.weights_train) == 72
    np.testing.assert_array_equal(sets.x_validation, X_TRAIN[72:])
    np.testing.assert_array_equal(sets.weights_validation, weights[72:])


def test_what_is_not_there_says_what_to_do_instead():
    with pytest.raises(AttributeError, match="write a build"):
        kt.applications  # noqa: B018
    assert kt.oracles.BayesianOptimization is kt.oracles.BayesianOptimizationOracle
    assert kt.engine.hyperparameters.HyperParameters is kt.HyperParameters
    assert kt.tuners.Hyperband is kt.Hyperband


@pytest.mark.parametrize(
    ("name", "folder", "said"),
    [
        ("mnist fashion", "mnist-fashion", "the folder of project 'mnist fashion' is called"),
        ("first/second", "first/second", ""),
        ("_hidden_", "hidden", "the folder of project '_hidden_' is called 'hidden'"),
        ("plain-1.0", "plain-1.0", ""),
    ],
)
def test_a_project_may_have_any_name(tmp_path, caplog, name, folder, said):
    directory, own = locate_project(tmp_path, name)
    assert f"{directory}/{own}" == f"{tmp_path}/{folder}"
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)


def test_a_project_is_deleted_only_if_it_is_one(tmp_path):
    mine = tmp_path / "untitled_project" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(JobError, match="is the folder of no project, and is not deleted"):
        make(tmp_path, overwrite=True)
    assert mine.exists()

    (mine.parent / "oracle.json").write_text("{}")
    make(tmp_path, overwrite=True)
    assert not mine.exists()
