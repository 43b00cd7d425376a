"""A list of values in a space is a choice that was written without ``tune.choice``."""

import pytest
from ray import tune

from tune_jobs.engine import JobError
from tune_jobs.engine.space.checks import check_space


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"C": [1, 10, 100]},
            r"C is a list of values, \[1, 10, 100\]; .*tune.choice\(\[1, 10",
        ),
        ({"kernel": ["linear", None]}, r"kernel is a list .* and to pass all of them a tuple"),
        ({"optimizer": {"rate": [0.1, 0.01]}}, r"optimizer\.rate is a list of values"),
        (
            {
                "optimizer": tune.choice(
                    [{"name": "adam"}, {"name": "sgd", "momentum": [0.9, 0.99]}]
                )
            },
            r"optimizer\.momentum is a list of values",
        ),
    ],
)
def test_a_list_of_values_is_refused(space, message) -> None:
    with pytest.raises(JobError, match=message):
        check_space(space)


@pytest.mark.parametrize(
    "part",
    [
        (0.1, 0.5, 0.9),
        ["accuracy"],
        [],
        [{"units": 16}, {"units": 8}],
        [{"units": tune.choice([8, 16])}] * 2,
        tune.choice([[64, 64], [32]]),
        tune.grid_search([1, 2]),
        {"grid_search": [1, 2]},
        tune.choice([1, 2]),
    ],
)
def test_tuples_layers_and_domains_are_not(part) -> None:
    check_space({"x": part, "rate": tune.uniform(0, 1)})
