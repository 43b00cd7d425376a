"""Configs as points, whose distances say how alike they are."""

import numpy as np
import pytest
from ray import tune

from tune_jobs.engine.space.coordinates import Coordinates
from tune_jobs.engine.space.embedding import Embedding

RATE = tune.loguniform(1e-4, 1)


def points_of(space, *configs) -> np.ndarray:
    coordinates = Coordinates(space)
    rows = np.array([coordinates.row_of(config) for config in configs])
    return Embedding(coordinates).points_of(rows)


def distance(space, one, other) -> float:
    places = points_of(space, one, other)
    return float(np.linalg.norm(places[0] - places[1]))


def test_options_are_at_distance_one_of_each_other() -> None:
    space = {"x": tune.choice(["a", "b", "c"])}

    assert distance(space, {"x": "a"}, {"x": "b"}) == pytest.approx(1)
    assert distance(space, {"x": "a"}, {"x": "c"}) == pytest.approx(1)


def test_options_that_rise_are_as_far_apart_as_their_places() -> None:
    space = {"x": tune.choice([1, 10, 100])}

    assert distance(space, {"x": 1}, {"x": 10}) == pytest.approx(0.5, abs=0.2)
    assert distance(space, {"x": 1}, {"x": 100}) > distance(space, {"x": 1}, {"x": 10})


def test_a_rate_of_each_branch_is_one_coordinate() -> None:
    branches = [{"name": "sgd", "rate": RATE}, {"name": "adam", "rate": RATE}]
    space = {"optimizer": tune.choice(branches)}
    embedding = Embedding(Coordinates(space))

    places = points_of(
        space,
        {"optimizer": {"name": "sgd", "rate": 0.01}},
        {"optimizer": {"name": "adam", "rate": 0.01}},
    )

    assert len(embedding.groups) == 3  # two corners and the rate
    assert places[:, 2] == pytest.approx([0.5, 0.5])


def test_branches_with_other_bounds_share_one_scale() -> None:
    branches = [tune.uniform(0, 1), tune.uniform(1, 2)]
    space = {"kind": tune.choice([{"x": branch} for branch in branches])}

    places = points_of(space, {"kind": {"x": 0.5}}, {"kind": {"x": 1.5}})

    assert places[:, 2] == pytest.approx([0.25, 0.75])


def test_layers_share_a_length_and_have_coordinates_of_their_own() -> None:
    layer = {"units": tune.uniform(8, 256), "dropout": tune.uniform(0, 0.5)}
    space = {"layers": tune.choice([[layer] * count for count in (1, 2, 3)])}
    embedding = Embedding(Coordinates(space))

    one, two = [{"units": 8, "dropout": 0}], [{"units": 8, "dropout": 0}] * 2
    places = points_of(space, {"layers": one}, {"layers": two})

    assert len(set(embedding.groups)) == 3  # depth, units, dropout
    assert len(embedding.groups) == 7
    assert len(embedding.columns) == 7
    assert set(places[0, 3:]) == {0.5}  # what a network lacks lies in the middle


def test_a_choice_between_numbers_and_a_number_keeps_both_apart() -> None:
    space = {"momentum": tune.choice([0.0, tune.uniform(0.5, 1)])}

    places = points_of(space, {"momentum": 0.0}, {"momentum": 0.75})

    assert places.shape == (2, 3)
    assert places[0, 2] == places[1, 2] == 0.5


def test_a_space_of_constants_has_no_coordinates() -> None:
    assert points_of({"x": 3}, {"x": 3}, {"x": 3}).shape == (2, 0)
