"""What two hyperparameters explain together is found, and nothing is found where nothing is."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from tests.engine.analysis.test_importance import draw, measure
from tune_jobs.engine.analysis.factors import Factor
from tune_jobs.engine.analysis.interactions import measure_pair


def factor(name: str, groups: np.ndarray) -> Factor:
    return Factor(name, groups, np.zeros(len(groups), int), is_text=True)


def p_value(seed: int, *, together: float, count: int = 40) -> float:
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 3, count), random.integers(0, 3, count)
    scores = one - 0.7 * other + together * (one == other) + random.normal(size=count)
    pair = factor("one", one), factor("other", other)
    return measure_pair(pair, scores, np.arange(count) // 10)[1]


def test_effects_that_only_add_up_are_no_interaction() -> None:
    found = [p_value(seed, together=0) < 0.05 for seed in range(600)]
    assert 0.03 < np.mean(found) < 0.075


def test_an_interaction_is_found() -> None:
    assert np.mean([p_value(seed, together=2.5) < 0.05 for seed in range(100)]) > 0.9


def test_the_pair_whose_values_depend_on_each_other_is_named() -> None:
    configs = draw(80)
    random = np.random.default_rng(0)
    signs = [(config["rate"] > 0.01) == (config["units"] > 32) for config in configs]

    losses = [float(sign) + 0.2 * random.normal() for sign in signs]
    (first, *others) = measure(configs, losses).interactions

    assert set(first.name.split(" and ")) == {"rate", "units"}
    assert not first.is_noise
    assert 0.2 < first.share < 1
    assert all(other.is_noise for other in others)


@pytest.mark.parametrize("count", [10, 23])
def test_of_few_trials_no_pairs_are_measured(count) -> None:
    configs = draw(count)
    assert measure(configs, [config["rate"] for config in configs]).interactions == ()


def test_equal_cells_leave_no_noise_to_compare_with() -> None:
    groups = np.tile([0, 1], 20)
    pair = factor("one", groups), factor("other", groups)
    assert measure_pair(pair, groups.astype(float), np.zeros(40, int)) == (0.0, 1.0)


def test_the_shares_are_those_of_a_model_with_a_column_per_stretch() -> None:
    random = np.random.default_rng(0)
    one, other, scores = (
        random.integers(0, 3, 60),
        random.integers(0, 3, 60),
        random.normal(size=60),
    )
    stretches = np.arange(60) // 10

    def left_of(*codes: np.ndarray) -> float:
        columns = [(code[:, None] == np.unique(code)).astype(float) for code in codes]
        design = np.concatenate(columns, axis=1)
        return float(np.sum((scores - design @ np.linalg.lstsq(design, scores)[0]) ** 2))

    alone, cells = left_of(stretches, one, other), left_of(stretches, 3 * one + other)
    more, left = 4, 60 - 6 - 8
    ratio = (alone - cells) / more / (cells / left)
    share, chance = measure_pair((factor("a", one), factor("b", other)), scores, stretches)
    assert chance == pytest.approx(stats.f.sf(ratio, more, left))
    expected = max(alone - cells - more * cells / left, 0) / left_of(stretches)
    assert share == pytest.approx(expected)


def test_many_trials_need_no_column_per_stretch() -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 3, (2, 4000))
    pair = factor("one", groups[0]), factor("other", groups[1])
    tracemalloc.start()
    measure_pair(pair, random.normal(size=4000), np.arange(4000) // 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4e6  # 400 columns of 4,000 numbers are 13 MB
