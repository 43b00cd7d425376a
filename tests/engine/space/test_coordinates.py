"""Configs as rows of numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

from tune_jobs.engine import JobError, as_grid, near_one
from tune_jobs.engine.space.coordinates import Coordinates, identities

LAYER = {"units": tune.choice([32, 64, 128]), "dropout": tune.quniform(0, 0.3, 0.1)}
SPACE = {
    "layers": tune.choice([[LAYER] * count for count in (2, 3, 4)]),
    "optimizer": tune.choice(
        [
            {"name": "adam", "beta_1": near_one(0.9, 0.999)},
            {"name": "sgd", "momentum": tune.uniform(0, 1), "steps": tune.qrandint(10, 50, 10)},
        ]
    ),
    "rate": tune.loguniform(1e-5, 1.0),
    "units": tune.lograndint(4, 5000),
    "noise": tune.randn(0, 1),
    "activation": tune.choice(["relu", "tanh", "elu"]),
    "epochs": 3,
}


def label_index(coordinates, label):
    return [column.label for column in coordinates.columns].index(label)


@given(st.integers(0, 2**20))
def test_a_row_and_its_config_stand_for_each_other(seed):
    coordinates = Coordinates(SPACE)
    (row,) = coordinates.draw(1, np.random.default_rng(seed))

    again = coordinates.row_of(coordinates.config_of(row))

    np.testing.assert_allclose(again, row, atol=1e-7)


def test_hyperparameters_of_branches_that_are_not_taken_are_missing():
    coordinates = Coordinates(SPACE)
    rows = coordinates.draw(200, np.random.default_rng(0))
    optimizer = rows[:, label_index(coordinates, "optimizer")]
    momentum = rows[:, label_index(coordinates, "optimizer#1.momentum")]
    fourth = rows[:, label_index(coordinates, "layers.3.units")]
    depth = rows[:, label_index(coordinates, "layers")]

    np.testing.assert_array_equal(np.isnan(momentum), optimizer == 0)
    np.testing.assert_array_equal(np.isnan(fourth), depth < 2)


def test_numbers_with_few_values_lie_at_these_values():
    coordinates = Coordinates({"width": tune.choice([8, 16, 64]), "rate": tune.quniform(0, 1, 0.5)})
    rows = coordinates.draw(100, np.random.default_rng(0))

    assert len(set(identities(rows))) == 9
    assert [column.values for column in coordinates.columns] == [3, 3]


def test_settling_draws_what_is_missing_and_drops_what_is_not_active():
    coordinates = Coordinates(SPACE)
    random = np.random.default_rng(0)
    rows = coordinates.draw(50, random)
    optimizer = label_index(coordinates, "optimizer")
    rows[:, optimizer] = 0
    momentum = label_index(coordinates, "optimizer#1.momentum")
    beta = label_index(coordinates, "optimizer#0.beta_1")

    settled = coordinates.settle(rows, random)

    assert np.isnan(settled[:, momentum]).all()
    assert not np.isnan(settled[:, beta]).any()


def test_depth_is_ordered_and_names_are_not():
    ordered = {column.label: column.is_ordered for column in Coordinates(SPACE).columns}

    assert ordered["layers"]
    assert ordered["rate"]
    assert not ordered["optimizer"]
    assert not ordered["activation"]


def test_a_grid_has_no_coordinates():
    with pytest.raises(JobError, match="cannot use a grid"):
        Coordinates(as_grid({"rate": tune.choice([1, 2])}))
