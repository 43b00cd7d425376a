"""A job says what is wrong with it when it is made."""

from dataclasses import replace

import pytest
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.search.hyperopt import HyperOptSearch

from tune_jobs.engine import (
    ASHA,
    TPE,
    Hyperband,
    Job,
    JobError,
    MedianStopping,
    RandomSearch,
    as_grid,
)


def train(config: dict, data: object) -> None:
    tune.report({"loss": config["x"]})


def population(max_epochs: int) -> PopulationBasedTraining:
    return PopulationBasedTraining(hyperparam_mutations={"x": tune.uniform(0, 1)})


JOB = Job(
    trainable=train, space={"x": tune.uniform(0, 1)}, metric="loss", searcher=TPE(), max_epochs=9
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_samples": 0}, "num_samples is 0, but must be an integer >= 1"),
        ({"num_samples": "40"}, "num_samples is '40', but"),
        ({"num_samples": True}, "num_samples is True"),
        ({"max_epochs": 2.5}, "max_epochs is 2.5"),
        ({"seed": -1}, "seed is -1, but must be an integer >= 0"),
        ({"mode": "minimum"}, "mode is 'minimum', but must be 'min' or 'max'"),
        ({"metric": ""}, "metric is ''"),
        ({"trainable": "train"}, "trainable is 'train', but must be callable"),
        ({"searcher": "tpe"}, "searcher is 'tpe'"),
        ({"scheduler": "asha"}, "scheduler is 'asha'"),
        ({"data": "x.csv"}, "data is 'x.csv'"),
        ({"space": {"seed": tune.uniform(0, 1)}}, "the space must not define 'seed'"),
        ({"space": {"x": tune.uniform(1, 0)}}, "must have a lower bound below its upper bound"),
        ({"space": {"x": tune.grid_search([1, 2])}}, "cannot use a grid"),
        ({"scheduler": ASHA(grace_period=10)}, "grace_period is 10 epochs but max_epochs is 9"),
        ({"scheduler": ASHA(grace_period=0)}, "grace_period is 0"),
        ({"scheduler": ASHA(reduction_factor=1)}, "reduction_factor is 1, but must be above 1"),
        ({"scheduler": MedianStopping(grace_period=10)}, "no trial would reach the first rung"),
        ({"scheduler": Hyperband(reduction_factor=0.5)}, "reduction_factor is 0.5"),
        ({"scheduler": lambda _: None}, r"scheduler\(max_epochs\) returned a NoneType"),
        (
            {"scheduler": population},
            r"cannot use PopulationBasedTraining, .*; replace JOB by def tuner\(profile, name\)",
        ),
    ],
)
def test_a_field_that_is_not_as_it_must_be_is_named(changes, message) -> None:
    with pytest.raises(JobError, match=message):
        replace(JOB, **changes)


def test_a_search_is_stopped_when_done_only_in_a_space_that_a_model_can_learn() -> None:
    grid = replace(JOB, searcher=RandomSearch(), space={"x": tune.grid_search([1, 2])})

    with pytest.raises(JobError, match="stop_when_done does not apply: no model can learn the sp"):
        replace(grid, stop_when_done=True)
    assert replace(JOB, stop_when_done=True).stop_when_done


def test_lowering_the_epochs_below_the_grace_period_is_refused() -> None:
    job = replace(JOB, scheduler=ASHA(grace_period=5))
    with pytest.raises(JobError, match="grace_period is 5 epochs but max_epochs is 2"):
        replace(job, max_epochs=2)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (lambda: TPE(n_initial_points=0), "n_initial_points is 0"),
        (lambda: TPE(gamma=1.5), "gamma is 1.5"),
    ],
)
def test_a_searcher_says_what_is_wrong_with_it(recipe, message) -> None:
    with pytest.raises(JobError, match=message):
        recipe()


@pytest.mark.parametrize(
    ("metric", "mode", "warns"),
    [
        ("val_accuracy", "min", True),
        ("val_accuracy", "max", False),
        ("val_loss", "max", True),
        ("val_loss", "min", False),
        ("profit", "min", False),
    ],
)
def test_a_metric_that_contradicts_its_mode_is_a_warning(metric, mode, warns) -> None:
    assert bool(replace(JOB, metric=metric, mode=mode).warnings) is warns


def test_a_patience_beyond_the_last_epoch_does_no_harm_and_is_no_warning() -> None:
    assert replace(JOB, space={**JOB.space, "patience": 10}).warnings == []


def test_a_space_without_choice_is_a_warning() -> None:
    (warning,) = replace(JOB, space={"x": 1}).warnings
    assert "the space has no choices" in warning


def test_a_grid_counts_its_points() -> None:
    grid = as_grid({"x": tune.choice([1, 2, 3]), "y": tune.choice([{"a": 1}, {"b": 2}])})
    assert replace(JOB, space=grid, searcher=RandomSearch(), num_samples=2).num_trials == 12


def test_recipes_build_afresh_for_each_run() -> None:
    assert TPE()(0) is not TPE()(0)
    assert ASHA()(9) is not ASHA()(9)


def test_any_of_rays_searchers_is_a_recipe_with_a_lambda() -> None:
    replace(JOB, searcher=lambda seed: HyperOptSearch(random_state_seed=seed))


def test_a_migration_that_fails_is_one_line() -> None:
    def trainable(config: dict, data: object) -> None: ...

    trainable.migrate = lambda config: config["y"]
    job = Job(trainable, {"x": tune.uniform(0, 1)})

    with pytest.raises(JobError, match=r"^migrate\(config\) raised KeyError: 'y'$"):
        job.read_config({"x": 0.5})
