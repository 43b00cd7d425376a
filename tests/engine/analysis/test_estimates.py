"""The statistics agree with scikit-learn's published examples, and keep their stated level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_ind, ttest_rel
from sklearn.datasets import load_digits, make_moons
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold, ShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from tune_jobs.engine.analysis.estimates import (
    HINT,
    Estimate,
    are_behind,
    cheapest_within,
    compare_means,
    estimate,
    estimate_of_interval,
    judge,
)
from tune_jobs.engine.goal import Goal

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


@pytest.mark.slow
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

    assert cheapest_within(-means, options, deviations[means.argmax()]) == expected


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
    losses = Goal("loss", mode).sign * np.array(means)
    chosen = cheapest_within(losses.tolist(), costs, margin)

    assert losses[chosen] <= losses.min() + margin
    tied = [place for place in range(len(means)) if losses[place] <= losses.min() + margin]
    assert costs[chosen] == min(costs[place] for place in tied)


def test_a_gain_is_proven_if_its_whole_interval_lies_above_what_is_wanted() -> None:
    gain = estimate([0.9, 1.1, 1.0, 1.2, 0.8], overlap=0)
    just_below = np.nextafter(gain.lower, -np.inf)

    assert judge(gain) == "replace"
    assert judge(gain, just_below) == "replace"
    assert judge(gain, gain.lower) == "inconclusive"  # touching is not enough
    assert judge(gain, gain.mean) == "keep"


def test_a_gain_that_chance_brings_in_a_fifth_of_the_cases_is_no_hint() -> None:
    scores = np.array([-1.0, 0.0, 1.0, 2.0])
    error = estimate(scores, overlap=0).standard_error
    at_the_hint = t.isf(HINT, len(scores) - 1) * error

    assert judge(estimate(scores - scores.mean() + 1.001 * at_the_hint, overlap=0)) == (
        "inconclusive"
    )
    assert judge(estimate(scores - scores.mean() + 0.999 * at_the_hint, overlap=0)) == "keep"


@pytest.mark.parametrize(
    ("scores", "least", "answer"),
    [
        ([0.0, 0.0, 0.0], 0.0, "keep"),
        ([0.1, 0.1, 0.1], 0.0, "replace"),
        ([0.5, 0.5, 0.5], 0.5, "keep"),
        ([-0.1, -0.1], 0.0, "keep"),
    ],
)
def test_a_gain_without_variance_is_what_it_is(scores, least, answer) -> None:
    assert judge(estimate(scores, overlap=0), least) == answer


@pytest.mark.parametrize(
    ("scores", "answer"),
    [([1.0, 1.01], "replace"), ([1.0, 2.0], "inconclusive"), ([-1.0, 2.0], "keep")],
)
def test_two_scores_are_enough_to_judge(scores, answer) -> None:
    assert judge(estimate(scores, overlap=0)) == answer


@pytest.mark.parametrize("score", [-1.0, 0.0, 1.0])
def test_on_one_score_nothing_is_replaced(score) -> None:
    assert judge(estimate([score], overlap=0)) == "keep"


@given(
    st.lists(numbers, min_size=2, max_size=12),
    st.floats(0, 10),
    st.sampled_from([0.0, 1 / 3]),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_the_answer_follows_from_interval_and_one_sided_test(scores, least, overlap, level) -> None:
    gain = estimate(scores, overlap, level)
    answer = judge(gain, least)

    assert (answer == "replace") == (gain.lower > least)
    if answer == "inconclusive":
        one_sided = estimate(np.subtract(scores, least), overlap)
        assert gain.mean > least
        assert one_sided.p_value / 2 < HINT + 1e-9


def test_where_nothing_is_gained_seldom_is_replace_said() -> None:
    rng = np.random.default_rng(0)
    answers = [judge(estimate(rng.normal(0, 1, 8), overlap=0)) for _ in range(2000)]
    assert answers.count("replace") / 2000 == pytest.approx(0.025, abs=0.0105)  # 3 standard errors
    assert answers.count("inconclusive") / 2000 == pytest.approx(HINT - 0.025, abs=0.026)


samples = st.lists(numbers, min_size=2, max_size=12).filter(lambda values: np.ptp(values) > 1e-2)


@given(samples, samples, st.sampled_from([0.8, 0.95, 0.99]))
def test_means_that_are_not_paired_are_compared_as_welch_does(first, second, level) -> None:
    expected = ttest_ind(first, second, equal_var=False)
    found = compare_means(estimate(first, 0), estimate(second, 0), level)

    assert found.mean == pytest.approx(np.mean(first) - np.mean(second), abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert found.scores == round(expected.df) + 1
    interval = expected.confidence_interval(level)
    assert (found.lower, found.upper) == pytest.approx(tuple(interval), rel=1e-6, abs=1e-9)


def test_means_without_variance_differ_surely_or_not_at_all() -> None:
    one, other = estimate([0.5, 0.5], 0), estimate([0.25, 0.25, 0.25], 0)
    same, apart = compare_means(one, one), compare_means(one, other)
    assert (same.mean, same.p_value) == (0.0, 1.0)
    assert (apart.mean, apart.lower, apart.upper, apart.p_value) == (0.25, 0.25, 0.25, 0.0)


@given(
    st.lists(numbers, min_size=2, max_size=12),
    st.sampled_from([0.0, 1 / 3]),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_an_estimate_comes_back_from_its_interval(scores, overlap, level) -> None:
    known = estimate(scores, overlap, level)
    found = estimate_of_interval(known.mean, [known.lower, known.upper], known.scores, level)

    assert (found.mean, found.lower, found.upper) == (known.mean, known.lower, known.upper)
    assert found.scores == known.scores
    # An interval that is short beside its mean has lost digits.
    assert found.standard_error == pytest.approx(known.standard_error, rel=1e-6, abs=1e-12)
    if known.standard_error > 1e-6:
        assert found.p_value == pytest.approx(known.p_value, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("unit", [1e-300, 1e-170, 1.0, 1e170, 1e300])
def test_means_are_compared_in_any_unit(unit) -> None:
    one, other = (Estimate(m * unit, 0, 0, e * unit, 0.5, 8) for m, e in ((3, 0.5), (2, 0.7)))
    plain = compare_means(Estimate(3, 0, 0, 0.5, 0.5, 8), Estimate(2, 0, 0, 0.7, 0.5, 8))

    found = compare_means(one, other)

    assert found.p_value == pytest.approx(plain.p_value)
    assert found.lower / unit == pytest.approx(plain.lower)
    assert found.scores == plain.scores


@pytest.mark.parametrize(("error", "scores"), [(1e308, 8), (np.inf, 8), (np.nan, 1)])
def test_means_of_no_finite_error_may_differ_by_anything(error, scores) -> None:
    one = Estimate(1, 0, 0, error, 0.5, scores)

    found = compare_means(one, Estimate(1, 0, 0, 1.5 * error, 0.5, scores))

    assert (found.lower, found.upper) == (-np.inf, np.inf)


@pytest.mark.parametrize(("count", "level"), [(8, 0), (8, -1), (1, 0.95), (0, 0.95), (8, np.nan)])
def test_an_interval_that_says_nothing_has_no_error(count, level) -> None:
    found = estimate_of_interval(1, [0, 2], count, level)

    assert np.isnan(found.standard_error)
    assert compare_means(found, found).lower == -np.inf
