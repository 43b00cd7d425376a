"""Ranges that may be too narrow: a warning if the best crowd at a bound, and only then."""

import numpy as np
import pytest
from ray import tune
from ray.tune.search.variant_generator import generate_variants

from tune_jobs.engine import near_one
from tune_jobs.engine.analysis.bounds import find_crowding
from tune_jobs.engine.analysis.observed import observe
from tune_jobs.engine.space.domains import distinct
from tune_jobs.engine.space.membership import NotInSpaceError
from tune_jobs.engine.space.ray_choices import make_choice


def find_edges(space, configs, noise=()) -> list[str]:
    """A line for each hyperparameter and bound, in the order of the space."""
    found = find_crowding(observe(space, dict(enumerate(configs))), len(configs), noise=noise)
    return list(dict.fromkeys(line for lines in found.values() for line in lines))


SPREAD = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


@pytest.mark.parametrize(
    ("domain", "values", "line"),
    [
        (
            tune.loguniform(1e-4, 1e-1),
            [1.1e-4, 1.2e-4, 1.05e-4, 1.3e-4, 1.4e-4, 1e-4, 1e-3, 1e-2, 0.05, 2e-3],
            "6 of the 10 best have x within 5 % of the lower bound 0.0001: widen it",
        ),
        (
            tune.uniform(0, 2),
            [1.95, 1.99, 2.0, 1.91, 1.0, 0.5, 0.3, 1.2, 1.3, 0.7],
            "4 of the 10 best have x within 5 % of the upper bound 2: widen it",
        ),
        (
            near_one(0.9, 0.999),
            [0.9989, 0.9988, 0.99885, 0.9989, 0.95, 0.96, 0.92, 0.97, 0.93, 0.98],
            "4 of the 10 best have x within 5 % of the upper bound 0.999: widen it",
        ),
        (
            tune.randint(1, 4),
            [3] * 9 + [1],
            "9 of the 10 best have x at the upper bound 3: widen it",
        ),
        (
            tune.lograndint(16, 513),
            [16, 17, 18, 19, 16, 100, 200, 300, 50, 400],
            "5 of the 10 best have x within 5 % of the lower bound 16: widen it",
        ),
        (
            tune.qrandint(32, 128, 32),
            [128] * 9 + [64],
            "9 of the 10 best have x at the upper bound 128: widen it",
        ),
        (
            tune.quniform(0.1, 0.6, 0.1),
            [0.1] * 7 + [0.2, 0.30000000000000004, 0.4],
            "7 of the 10 best have x at the lower bound 0.1: widen it",
        ),
        (
            tune.choice([32, 64, 128]),
            [128] * 9 + [64],
            "9 of the 10 best have x at the upper bound 128: widen it",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_the_best_crowd_at_a_bound(domain, values, line) -> None:
    assert find_edges({"x": domain}, [{"x": value} for value in values]) == [line]


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (tune.loguniform(1e-4, 1e-1), [1.1e-4, 2e-3, 0.09, *[1e-2] * 7]),
        (tune.uniform(1e-4, 1e-1), [1e-3, 2e-3, *[0.05] * 8]),
        (tune.randint(1, 4), [3] * 6 + [1, 2, 2, 1]),  # a third is at a bound by chance
        (tune.randint(0, 2), [1] * 8 + [0] * 2),
        (tune.quniform(0, 0.2, 0.1), [0.1] * 6 + [0.0] * 2 + [0.2] * 2),
        (tune.choice(["a", "b"]), ["b"] * 10),
        (make_choice(["a", "b", "c"], is_ranked=True), ["c"] * 10),
        (tune.choice([True, False]), [True] * 10),
        (tune.randn(0, 1), [-5.0] * 10),
        (tune.grid_search([1, 2]), [1] * 10),
        (3, [3] * 10),
        (tune.uniform(0, 1), [0.0, 0.0]),  # two configs say nothing
        (tune.uniform(0, 1), []),
    ],
)
def test_what_is_likely_by_chance_is_not_told(domain, values) -> None:
    assert find_edges({"x": domain}, [{"x": value} for value in values]) == []


@pytest.mark.parametrize(
    "domain",
    [
        *(tune.uniform(0, 0.5), tune.quniform(0, 0.5, 0.1), tune.randint(0, 9)),
        *(tune.choice([0.0, 0.1, 0.3]), tune.choice([0, 1, 2, 3])),
    ],
)
def test_a_lower_bound_of_zero_is_natural(domain) -> None:
    assert find_edges({"dropout": domain}, [{"dropout": 0}] * 10) == []


def test_only_configs_in_which_it_is_active_count() -> None:
    space = {
        "optimizer": tune.choice(
            [{"name": "sgd", "momentum": tune.uniform(0, 1)}, {"name": "adam"}]
        )
    }
    active = [{"optimizer": {"name": "sgd", "momentum": 0.99}}] * 4
    inactive = [{"optimizer": {"name": "adam"}}] * 6

    (line,) = find_edges(space, [*active, *inactive])

    assert line.startswith(
        "4 of the 4 best with optimizer.momentum have it within 5 % of the upper"
    )


def test_a_layer_is_the_same_in_nets_of_any_depth() -> None:
    space = {"layers": tune.choice([[{"units": tune.uniform(0, 1)}] * n for n in (1, 2)])}
    configs = [
        {"layers": [{"units": 0.99}, {"units": u}][: 1 + n % 2]} for n, u in enumerate(SPREAD)
    ]

    (line,) = find_edges(space, configs)

    assert line.startswith("6 of the 6 best have layers.0.units within 5 %")


def test_the_same_name_with_two_ranges_is_two_hyperparameters() -> None:
    space = {
        "o": tune.choice(
            [
                {"name": "adam", "rate": tune.loguniform(1e-4, 1e-2)},
                {"name": "sgd", "rate": tune.loguniform(1e-2, 1)},
            ]
        )
    }
    configs = [{"o": {"name": "adam", "rate": 0.00999}}] * 4 + [
        {"o": {"name": "sgd", "rate": rate}} for rate in (0.1, 0.2, 0.3, 0.05)
    ]

    (line,) = find_edges(space, configs)

    assert line.startswith("4 of the 4 best with o.rate have it within 5 % of the upper bound 0.01")


def test_the_more_hyperparameters_the_more_must_lie_there() -> None:
    values = [0.99, 0.98, 0.97, *SPREAD, 0.45]
    few = [{"x": value} for value in values]
    many = [{"x": value, **{f"y{n}": 0.5 for n in range(20)}} for value in values]

    assert len(find_edges({"x": tune.uniform(0, 1)}, few)) == 1
    assert find_edges({name: tune.uniform(0, 1) for name in many[0]}, many) == []


def test_what_is_noise_is_not_looked_at() -> None:
    space = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}
    configs = [{"x": 0.01, "y": 0.99}] * 10

    (line,) = find_edges(space, configs, noise=["x"])

    assert "have y within" in line


def test_random_configs_are_seldom_said_to_lie_at_a_bound() -> None:
    space = {
        "rate": tune.loguniform(1e-4, 1),
        "depth": tune.randint(1, 4),
        "width": tune.qlograndint(16, 512, 16),
        "dropout": tune.quniform(0, 0.5, 0.1),
        "scale": tune.qloguniform(0.1, 10, 0.1),
        "count": tune.lograndint(1, 40),
        "units": tune.choice([32, 64, 128]),
        "beta": near_one(0.9, 0.999),
    }
    state = np.random.RandomState(0)
    wrong = 0
    for _ in range(200):
        configs = [
            next(generate_variants(distinct(space), random_state=state))[1] for _ in range(10)
        ]
        wrong += bool(find_edges(space, configs))

    assert wrong <= 19  # 5 % are 10; more than 19 have a probability below 0.3 %


def test_a_config_of_another_space_is_refused() -> None:
    with pytest.raises(NotInSpaceError):
        find_edges({"x": tune.choice([1, 2])}, [{"x": 3}])
