"""The points of a finite space by their place, and a searcher that suggests them in order."""

import pytest
from ray import tune

from tune_jobs.engine import JobError
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.search.searchers import InOrder
from tune_jobs.engine.space.grid import count_points, iterate, point_at

LAYER = {"units": tune.choice([8, 16])}
SPACE = {
    "layers": tune.choice([[LAYER], [LAYER, LAYER]]),
    "optimizer": tune.choice([{"name": "sgd", "momentum": tune.choice([0.0, 0.9])}, "adam"]),
    "epochs": tune.randint(3, 5),
    "loss": "mse",
}


def test_each_place_has_the_point_that_iteration_gives() -> None:
    points = list(iterate(SPACE))

    assert len(points) == count_points(SPACE) == 36
    assert [point_at(SPACE, place) for place in range(36)] == points


def test_a_point_of_a_space_too_large_to_list() -> None:
    space = {f"p{number}": tune.choice(list(range(1000))) for number in range(20)}

    assert point_at(space, 1000**19 + 7) == {**dict.fromkeys(space, 0), "p0": 1, "p19": 7}


def test_points_are_suggested_once_and_in_order() -> None:
    searcher = InOrder()(0)
    searcher.set_search_properties("loss", "min", SPACE)

    assert [searcher.suggest("") for _ in range(36)] == list(iterate(SPACE))
    assert searcher.suggest("") == searcher.FINISHED
    assert searcher.chosen_by == "grid"


def test_points_that_are_known_are_left_out() -> None:
    searcher, points = InOrder()(0), list(iterate(SPACE))
    searcher.set_search_properties("loss", "min", SPACE)
    for point in points[:30:2]:
        searcher.learn("earlier", Observation(point, ((1, 0.5),), "ended"))
    searcher.asked = 15

    assert [searcher.suggest("") for _ in range(21)] == [*points[1:30:2], *points[30:]]
    assert searcher.suggest("") == searcher.FINISHED


def test_a_continuous_space_has_no_order() -> None:
    with pytest.raises(JobError, match="grid search needs a list of values for 'rate'"):
        InOrder()(0).set_search_properties("loss", "min", {"rate": tune.uniform(0, 1)})
