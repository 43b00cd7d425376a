"""Placement: a trial has all that it wants on one node, and a fraction of a GPU on one GPU."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.engine.cluster.capacity import (
    Autoscaler,
    Node,
    NodeType,
    trials_at_once,
    trials_on,
    trials_with_all,
)

HEAD = {"node:__internal_head__": 1.0}
shares = st.integers(1, 10_000).map(lambda parts: parts / 10_000)
wants = st.fixed_dictionaries(
    {
        "cpu": st.one_of(shares, st.integers(1, 4).map(float)),
        "gpu": st.one_of(st.just(0.0), shares, st.integers(1, 4).map(float)),
    }
)
machines = st.fixed_dictionaries({"CPU": st.integers(0, 8), "GPU": st.integers(0, 4)})


def node(name: str, resources: dict) -> Node:
    return Node(name, name, resources)


def placed_one_by_one(resources: dict, wanted: dict, most: int = 60) -> int:
    """Give trials their share until none is left, as Ray does: GPU by GPU."""
    cpus, gpus = resources["CPU"] * 10_000, [10_000] * resources["GPU"]
    cpu, gpu = round(wanted["cpu"] * 10_000), round(wanted["gpu"] * 10_000)
    for trials in range(most):
        taken = [gpu] if gpu <= 10_000 else [10_000] * (gpu // 10_000)
        if cpu > cpus or len(gpus) < len(taken) or (gpu and max(gpus) < taken[0]):
            return trials
        cpus -= cpu
        for share in taken:
            free = max(gpus) if gpu else None
            if free is None:
                continue
            if free < share:
                return trials
            gpus[gpus.index(free)] -= share
    return most


@given(machines, wants)
def test_as_many_trials_fit_as_can_be_placed_one_by_one(resources, wanted) -> None:
    if not wanted["gpu"]:
        resources = resources | {"GPU": max(1, resources["GPU"])}
    assert min(60, trials_on(resources, wanted)) == placed_one_by_one(resources, wanted)


@pytest.mark.parametrize(
    ("resources", "wanted", "trials"),
    [
        ({"CPU": 8, "GPU": 2}, {"cpu": 1, "gpu": 0.6}, 2),
        ({"CPU": 8, "GPU": 1}, {"cpu": 1, "gpu": 0.25}, 4),
        ({"CPU": 8, "GPU": 1}, {"cpu": 1, "gpu": 1 / 3}, 3),
        ({"CPU": 8, "GPU": 4}, {"cpu": 1, "gpu": 3}, 1),
        ({"CPU": 8, "GPU": 4}, {"cpu": 1, "gpu": 1.5}, 0),
        ({"CPU": 2}, {"cpu": 0.6, "gpu": 0}, 3),
        ({"CPU": 0.3}, {"cpu": 0.1, "gpu": 0}, 3),
        ({"CPU": 4}, {"cpu": 1, "gpu": 1}, 0),
        ({"CPU": 4, "TPU": 2}, {"cpu": 1, "TPU": 1}, 2),
        ({}, {"cpu": 1}, 0),
    ],
)
def test_trials_on_one_node(resources, wanted, trials) -> None:
    assert trials_on(resources, wanted) == trials


def test_what_two_nodes_have_together_is_no_place_for_a_trial() -> None:
    nodes = [node("a", {"CPU": 8}), node("b", {"CPU": 1, "GPU": 1})]

    assert trials_at_once(nodes, {"cpu": 2, "gpu": 1}) == 0
    assert trials_at_once(nodes, {"cpu": 1, "gpu": 0.5}) == 1


@pytest.mark.parametrize(
    ("nodes", "autoscaler", "trials"),
    [
        ([{"CPU": 2} | HEAD], Autoscaler(), 2),
        ([HEAD], Autoscaler([NodeType("w", {"CPU": 4}, 0, 3)]), 12),
        ([HEAD, {"CPU": 4}], Autoscaler([NodeType("w", {"CPU": 4}, 0, 3)]), 12),
        ([HEAD, {"CPU": 4}], Autoscaler([NodeType("w", {"CPU": 4}, 0, 1)]), 4),
        ([HEAD, {"CPU": 3}], Autoscaler([NodeType("w", {"CPU": 4}, 0, 1)]), 7),
        ([{"CPU": 2} | HEAD], Autoscaler([NodeType("head", {"CPU": 2}, 1, 1)]), 2),
        (
            [HEAD],
            Autoscaler([NodeType("s", {"CPU": 1}, 0, 9), NodeType("l", {"CPU": 8}, 0, 2)], 3),
            17,
        ),
        ([HEAD], Autoscaler([NodeType("w", {"CPU": 4}, 0, sys.maxsize)]), sys.maxsize),
    ],
)
def test_trials_once_all_nodes_are_started(nodes, autoscaler, trials) -> None:
    nodes = [node(str(number), resources) for number, resources in enumerate(nodes)]

    assert trials_with_all(nodes, autoscaler, {"cpu": 1, "gpu": 0}) == trials


@given(st.lists(machines, max_size=4), machines, st.integers(0, 5), st.integers(0, 5), wants)
def test_an_autoscaler_never_takes_room_away(there, kind, most, most_nodes, wanted) -> None:
    nodes = [node(str(number), resources) for number, resources in enumerate(there)]
    autoscaler = Autoscaler([NodeType("worker", kind, 0, most)], most_nodes)
    now, later = trials_at_once(nodes, wanted), trials_with_all(nodes, autoscaler, wanted)

    assert now <= later <= now + most * trials_on(kind, wanted)
    if len(nodes) >= most_nodes:
        assert later == now
