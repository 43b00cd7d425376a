"""Reservations that a warm worker keeps from one search of a run to the next."""

import time
from types import SimpleNamespace

import pytest

from tune_jobs.engine.cluster.reservations import Reservations

GROUP, OTHER = SimpleNamespace(id="group"), SimpleNamespace(id="other")


@pytest.fixture
def held() -> Reservations:
    """A worker in a group that Tune has given back, and one in a group that it still has."""
    reservations = Reservations()
    reservations.hold(GROUP, "worker", "one GPU")
    reservations.hold(OTHER, "other worker")
    return reservations


def test_a_group_is_lent_once_to_a_search_that_wants_the_same(held) -> None:
    assert held.lend("two GPUs") is None
    assert held.lend("one GPU") is GROUP
    assert held.lend("one GPU") is None
    assert held.take_from(GROUP) == "worker"
    assert held.take_from(GROUP) is None


def test_only_a_group_with_a_warm_worker_is_kept(held) -> None:
    held.drop("other worker")

    assert not held.keep(OTHER, "one GPU")
    assert held.keep(GROUP, "one GPU")


def test_a_call_takes_what_tune_has_given_back(held) -> None:
    found = held.take()

    assert (found.group, found.worker, found.request) == (GROUP, "worker", "one GPU")
    assert held.take() is None
    assert held.take_from(OTHER) == "other worker"


def test_the_end_of_all_leaves_what_tune_still_has(held) -> None:
    held.end()

    assert held.lend("one GPU") is None
    assert held.take_from(OTHER) == "other worker"


def test_resources_that_no_trial_uses_go_back_to_the_cluster_after_a_while() -> None:
    reservations = Reservations(most_idle=0.05)
    reservations.hold(GROUP, "worker", "one GPU")
    reservations.hold(OTHER, "other worker", "one GPU")
    assert reservations.lend("one GPU") is GROUP

    time.sleep(0.3)

    assert reservations.lend("one GPU") is None
    assert reservations.take_from(GROUP) == "worker"
