"""The statistics agree with scikit-learn's published examples, and keep their stated level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_rel
from sklearn.datasets import load_digits, make_moons
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold, ShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from tune_jobs.engine.comparison import are_behind, cheapest_within, estimate

numbers = st.floats(-100, 100, width=32)


@pytest.fixture(scope="module")
def moons() -> np.ndarray:
    """The scores of scikit-learn's plot_grid_search_stats: four kernels, best first, 10 x 10."""
    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    cv = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    grid = [{"kernel": ["linear"]}, {"kernel": ["poly"], "degree": [2, 3]}, {"kernel": ["rbf"]}]
    search = GridSearchCV(SVC(random_state=0), grid, scoring="roc_auc", cv=cv).fit(x, y)
    found = search.cv_results_
    scores = np.stack([found[f"split{place}_test_score"] for place in range(100)], axis=1)
    return scores[np.argsort(found["rank_test_score"])]


def test_p_values_are_those_of_scikit_learns_example(moons) -> None:
    differences = moons[0] - moons[1]
    corrected = np.sqrt(np.var(differences, ddof=1) * (1 / 100 + 10 / 90))  # as the example does
    expected = t.sf(abs(differences.mean() / corrected), 99)
    found = estimate(differences, overlap=10 / 90)

    assert found.p_value / 2 == pytest.approx(expected, rel=1e-12)
    assert found.p_value / 2 == pytest.approx(0.227, abs=5e-4)  # as published
    assert found.lower < 0 < found.upper
    assert estimate(differences, overlap=0).p_value / 2 == pytest.approx(0.005, abs=5e-4)


def test_all_pairs_of_the_example_are_judged_as_published(moons) -> None:
    # Bonferroni's correction for 6 pairs; the order is rbf, linear, poly 3, poly 2.
    p_values = {
        (i, j): min(1, 6 * estimate(moons[i] - moons[j], 10 / 90).p_value / 2)
        for i in range(4)
        for j in range(i + 1, 4)
    }
    shown = {pair: round(float(p), 3) for pair, p in p_values.items()}
    assert shown == {
        (0, 1): 1.0,
        (0, 2): 0.302,
        (0, 3): 0.0,
        (1, 2): 0.807,
        (1, 3): 0.0,
        (2, 3): 0.001,
    }


def test_the_cheapest_choice_is_that_of_scikit_learns_example() -> None:
    x, y = load_digits(return_X_y=True)
    options = [6, 8, 10, 15, 20, 25, 35, 45, 55]
    model = Pipeline(
        [("pca", PCA(random_state=42)), ("fit", LogisticRegression(C=0.01, max_iter=1000))]
    )
    cv = ShuffleSplit(n_splits=10, random_state=0)
    search = GridSearchCV(model, {"pca__n_components": options}, scoring="accuracy", cv=cv)
    found = search.fit(x[:600], y[:600]).cv_results_
    means, deviations = found["mean_test_score"], found["std_test_score"]
    threshold = means[means.argmax()] - deviations[means.argmax()]  # the example's lower_bound
    candidates = np.flatnonzero(means >= threshold)
    expected = candidates[np.array(options)[candidates].argmin()]  # its best_low_complexity

    assert cheapest_within(means, options, deviations[means.argmax()], mode="max") == expected


@given(st.lists(numbers, min_size=3, max_size=30), st.lists(numbers, min_size=30, max_size=30))
def test_without_overlap_it_is_students_paired_test(first, other) -> None:
    other = other[: len(first)]
    differences = np.subtract(first, other)
    if np.ptp(differences) < 1e-3:
        return
    expected = ttest_rel(first, other)
    found = estimate(differences, overlap=0)

    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    interval = expected.confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx(tuple(interval), rel=1e-6, abs=1e-9)


def test_intervals_of_independent_scores_cover_at_their_level() -> None:
    rng = np.random.default_rng(0)
    covered = [
        found.lower < 3 < found.upper
        for found in (estimate(rng.normal(3, 2, 6), overlap=0) for _ in range(2000))
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_equal_candidates_are_seldom_called_behind() -> None:
    rng = np.random.default_rng(0)
    wrong = [any(are_behind(rng.normal(0, 1, (5, 8)), overlap=0)) for _ in range(1000)]
    # The leader was chosen for its mean, so this is more than 5 %; yet few.
    assert np.mean(wrong) < 0.2


def test_one_that_is_far_behind_is_called_so_and_the_leader_never() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.1, (3, 4)) + np.array([[0.0], [5.0], [0.01]])
    behind = are_behind(scores, overlap=1 / 3)
    assert behind[1]
    assert not behind[int(scores.mean(axis=1).argmin())]


def test_one_score_says_nothing_of_its_error() -> None:
    found = estimate([0.5], overlap=0)
    assert (found.mean, found.lower, found.upper) == (0.5, -np.inf, np.inf)
    assert are_behind(np.array([[0.1], [9.0]]), overlap=0) == [False, False]


@given(
    st.lists(st.tuples(numbers, st.integers(1, 100)), min_size=1, max_size=8),
    st.floats(0, 10),
    st.sampled_from(["min", "max"]),
)
def test_the_choice_is_within_the_margin_and_none_within_it_is_cheaper(pairs, margin, mode) -> None:
    means, costs = zip(*pairs, strict=True)
    sign = 1 if mode == "min" else -1
    losses = sign * np.array(means)
    chosen = cheapest_within(means, costs, margin, mode=mode)

    assert losses[chosen] <= losses.min() + margin
    tied = [place for place in range(len(means)) if losses[place] <= losses.min() + margin]
    assert costs[chosen] == min(costs[place] for place in tied)
