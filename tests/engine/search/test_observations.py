"""What a searcher learns from trials that ended early."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.observations import comparable_losses, losses, rank

curves = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=6), min_size=1, max_size=12).map(
    lambda found: [losses(list(enumerate(values, 1)), Goal("loss")) for values in found]
)


def falling(*values):
    return [(epoch, value) for epoch, value in enumerate(values, 1)]


def test_a_stopped_trial_keeps_its_place_in_its_rung():
    stopped = [falling(0.9), falling(0.8)]
    longer = [falling(0.7, 0.5), falling(0.6, 0.55)]

    assert list(rank([*stopped, *longer])) == [3, 2, 0, 1]


def test_a_low_value_late_is_no_better_than_a_promising_start():
    # After one epoch the second was far ahead, so its value there is worth more than 0.5 late.
    slow, promising = falling(0.9, 0.7, 0.5), falling(0.6)

    assert list(rank([slow, promising])) == [1, 0]
    assert list(comparable_losses([slow, promising])) == [0.6, 0.5]


def test_without_early_stopping_the_losses_are_what_they_are():
    ended = [falling(0.5, 0.4), falling(0.3, 0.2), falling(0.9, 0.8)]

    np.testing.assert_allclose(comparable_losses(ended), [0.4, 0.2, 0.8])


def test_a_curve_counts_with_its_best_epoch_so_far():
    assert losses([(1, 0.5), (2, 0.7), (3, 0.4)], Goal("loss")) == [(1, 0.5), (2, 0.5), (3, 0.4)]
    assert losses([(1, 0.5), (2, 0.7)], Goal("accuracy", "max")) == [(1, -0.5), (2, -0.7)]


@given(curves)
def test_places_are_a_permutation_and_follow_the_values_of_the_last_rung(found):
    places = rank(found)

    assert sorted(places) == list(range(len(found)))
    last = max(curve[-1][0] for curve in found)
    there = [(places[n], curve[-1][1]) for n, curve in enumerate(found) if curve[-1][0] == last]
    values = [value for _, value in sorted(there)]
    assert values == sorted(values)
