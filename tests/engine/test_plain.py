"""Values as JSON and histories know them."""

import math

import numpy as np
import pytest

from tune_jobs.engine.plain import as_number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (np.array(0.25), 0.25),
        (10**400, math.inf),
        (True, None),
        (np.array(True), None),
        ("0.5", None),
        (np.array("0.5"), None),
        (None, None),
        (1j, None),
        (np.array([0.5]), None),
    ],
)
def test_a_number_and_an_array_of_just_one_are_numbers(value, number) -> None:
    assert as_number(value) == number
