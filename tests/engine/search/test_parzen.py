"""Densities over configs."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import tune

from tune_jobs.engine.search.parzen import Bandwidth, KernelDensity
from tune_jobs.engine.space.coordinates import Coordinates, identities
from tune_jobs.engine.space.grid import iterate

LAYER = {"units": tune.choice([16, 32, 64])}
FINITE = {
    "layers": tune.choice([[LAYER] * count for count in (1, 2)]),
    "optimizer": tune.choice([{"name": "adam"}, {"name": "sgd", "momentum": tune.choice([0, 1])}]),
    "activation": tune.choice(["relu", "tanh", "elu"]),
}
CONTINUOUS = {
    "optimizer": tune.choice(
        [
            {"name": "adam", "beta": tune.uniform(0.8, 1)},
            {"name": "sgd", "momentum": tune.uniform(0, 1)},
        ]
    ),
    "layers": tune.choice([[{"units": tune.lograndint(8, 4096)}] * count for count in (1, 2, 3)]),
    "rate": tune.loguniform(1e-5, 1.0),
}

bandwidths = st.sampled_from([Bandwidth(), Bandwidth(most=0.3), Bandwidth(share=0.15)])
seeds, counts = st.integers(0, 2**20), st.integers(0, 12)


def random(seed=0):
    return np.random.default_rng(seed)


def columns_of(coordinates):
    return [column.label for column in coordinates.columns]


def row_with(coordinates, **values):
    row = coordinates.settle(np.full((1, len(coordinates.columns)), np.nan), random())
    for place, label in enumerate(columns_of(coordinates)):
        for name, value in values.items():
            if label.endswith(name):
                row[0, place] = value
    return coordinates.settle(row, random())


@settings(max_examples=40, deadline=None)
@given(seeds, counts, bandwidths)
def test_the_densities_of_a_finite_space_sum_to_one(seed, count, bandwidth):
    coordinates = Coordinates(FINITE)
    points = np.array([coordinates.row_of(config) for config in iterate(FINITE)])
    density = KernelDensity(coordinates, coordinates.draw(count, random(seed)), bandwidth)

    assert np.exp(density.log_density(points)).sum() == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(seeds, counts, bandwidths, st.sampled_from([FINITE, CONTINUOUS]))
def test_draws_lie_in_the_space_and_have_a_finite_density(seed, count, bandwidth, space):
    coordinates = Coordinates(space)
    density = KernelDensity(coordinates, coordinates.draw(count, random(seed)), bandwidth)

    drawn = density.draw(20, random(seed + 1))

    assert np.isfinite(density.log_density(drawn)).all()
    again = np.array([coordinates.row_of(coordinates.config_of(row)) for row in drawn])
    np.testing.assert_allclose(again, drawn, atol=1e-7)


def test_draws_come_as_often_as_their_density_says():
    space = {"a": tune.choice(["x", "y", "z"]), "b": tune.choice(["u", "v"])}
    coordinates = Coordinates(space)
    points = np.array([coordinates.row_of(config) for config in iterate(space)])
    density = KernelDensity(coordinates, points[[0, 0, 3]], Bandwidth())

    drawn = identities(density.draw(20_000, random()))

    shares = [drawn.count(point) / len(drawn) for point in identities(points)]
    np.testing.assert_allclose(shares, np.exp(density.log_density(points)), atol=0.012)


def test_the_prior_never_leaves():
    coordinates = Coordinates({"x": tune.uniform(0, 1)})
    density = KernelDensity(coordinates, np.full((9, 1), 0.1), Bandwidth(share=0.01))

    assert np.exp(density.log_density(np.array([[0.9]])))[0] == pytest.approx(1 / 10)


def test_a_branch_is_modelled_among_the_trials_that_have_it():
    coordinates = Coordinates(CONTINUOUS)
    sgd = np.concatenate([row_with(coordinates, optimizer=1, momentum=0.1)] * 5)
    low, high = (row_with(coordinates, optimizer=0, beta=value) for value in (0.1, 0.9))

    other_branch = KernelDensity(coordinates, sgd, Bandwidth(share=0.15))
    own = KernelDensity(coordinates, np.concatenate([sgd, low]), Bandwidth(share=0.15))

    assert other_branch.log_density(low) == pytest.approx(other_branch.log_density(high))
    assert own.log_density(low) > own.log_density(high) + 0.5


def test_networks_of_any_depth_share_their_layers():
    coordinates = Coordinates(CONTINUOUS)
    units = next(label for label in columns_of(coordinates) if label.endswith("units"))
    deep = np.concatenate([row_with(coordinates, **{"layers": 2, units: 0.2})] * 5)
    alike, other = (row_with(coordinates, **{"layers": 0, units: value}) for value in (0.2, 0.9))

    density = KernelDensity(coordinates, deep, Bandwidth(share=0.15))

    assert density.log_density(alike) > density.log_density(other) + 1


@pytest.mark.parametrize("many", [5, 30])
def test_kernels_between_neighbours_are_narrow_where_rows_are_dense(many):
    coordinates = Coordinates({"x": tune.uniform(0, 1)})
    rows = np.concatenate([np.linspace(0.2, 0.3, many), [0.8]])[:, None]

    density = KernelDensity(coordinates, rows, Bandwidth())

    inside, beside, around_lone = density.log_density(np.array([[0.25], [0.5], [0.7]]))
    assert inside > around_lone > beside - 0.5
    assert inside > beside + 1


def test_ordered_choices_are_alike_where_they_are_near():
    space = {"batch": tune.choice([16, 32, 64, 128, 256])}
    coordinates = Coordinates(space)
    points = np.array([coordinates.row_of(config) for config in iterate(space)])

    density = KernelDensity(coordinates, points[[0] * 6], Bandwidth(share=0.02))

    falling = density.log_density(points)
    assert all(near > far for near, far in itertools.pairwise(falling[:3]))
