"""The size of the finals follows the size of the search, unless a job says otherwise."""

import pytest

from tune_jobs.engine import Finalists, JobError


@pytest.mark.parametrize(
    ("trials", "count", "scores"),
    [(1, 2, 4), (8, 2, 4), (12, 3, 4), (16, 4, 5), (20, 5, 6), (24, 5, 8), (40, 5, 8), (999, 5, 8)],
)
def test_finals_are_smaller_after_a_small_search(trials, count, scores) -> None:
    size = Finalists().size(trials)

    assert (size.count, size.scores) == (count, scores)


def test_finals_never_have_more_than_two_and_a_half_times_the_fits_of_a_search() -> None:
    for trials in range(8, 200):
        size = Finalists().size(trials)
        assert (size.count + 2) * size.scores <= 2.5 * trials


def test_a_number_that_is_given_counts() -> None:
    assert Finalists(count=3).size(8).count == 3
    assert Finalists(scores=16).size(8).scores == 16
    assert Finalists(count=3, scores=16).size(1000) == Finalists(count=3, scores=16).size(1)


@pytest.mark.parametrize("options", [{"count": 0}, {"scores": 1}, {"count": 2.5}, {"count": True}])
def test_a_number_that_is_too_small_is_refused(options) -> None:
    with pytest.raises(JobError, match=f"Finalists: {next(iter(options))}"):
        Finalists(**options)
