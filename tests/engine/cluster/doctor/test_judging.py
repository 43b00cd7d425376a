"""What is said of versions, machines, clocks and room, from what was found."""

import pytest

from tune_jobs.engine import Profile
from tune_jobs.engine.cluster.capacity import Autoscaler, Node, NodeType
from tune_jobs.engine.cluster.doctor.clocks import judge
from tune_jobs.engine.cluster.doctor.machines import survey
from tune_jobs.engine.cluster.doctor.resources import check_free, check_room
from tune_jobs.engine.cluster.doctor.versions import compare, missing

VERSIONS = {"Python": "3.11.7", "ray": "2.60.0", "tensorflow": "2.21.0", "keras": "3.15.1"}
HERE = {
    "versions": VERSIONS | {"numpy": "2.4.6"},
    "code": {"tune_jobs": "aaa", "trainables": "bbb"},
    "gpus": [],
    "other_gpus": False,
}
CLUSTER = Profile(address="auto", storage="/shared", max_concurrent_trials=4)
HEAD = Node("head", "10.0.0.1 (head)", {"node:__internal_head__": 1.0})


def node(number: int, **resources: float) -> Node:
    return Node(f"{number}", f"10.0.0.{number} (gpu-{number})", resources)


def differing(**versions: str | None) -> dict:
    return HERE | {"versions": HERE["versions"] | versions}


def only(checks) -> tuple[str, str]:
    (check,) = checks
    return check.state, check.text


def texts(checks) -> str:
    return "\n".join(f"{check.state}: {check.text}" for check in checks)


def test_the_same_everywhere_is_one_line() -> None:
    state, text = only(compare(HERE, [(node(2), HERE), (node(3), HERE)]))

    assert state == "ok"
    assert text.startswith("Python 3.11.7, ray 2.60.0")
    assert text.endswith("same here and on 2 nodes")


@pytest.mark.parametrize(
    ("versions", "state", "text"),
    [
        ({"ray": "2.59.0"}, "failure", r"ray is 2.59.0 on 10.0.0.2 (gpu-2), but 2.60.0 here: "),
        ({"Python": "3.12.7"}, "failure", "Python is 3.12.7 on"),
        ({"Python": "3.11.9"}, "warning", "Python is 3.11.9 on"),
        ({"tensorflow": None}, "failure", "tensorflow is not installed on 10.0.0.2"),
        ({"keras": "3.15.0"}, "failure", "keras is 3.15.0 on"),
        ({"numpy": "2.4.0"}, "warning", "numpy is 2.4.0 on"),
    ],
)
def test_another_version_on_a_node_is_named_with_both(versions, state, text) -> None:
    found = only(compare(HERE, [(node(2), differing(**versions)), (node(3), HERE)]))

    assert found[0] == state
    assert found[1].startswith(text)


def test_nodes_with_the_same_other_version_share_a_line() -> None:
    there = [(node(number), differing(keras="3.0.0")) for number in range(2, 9)]

    assert "gpu-6) and 2 more, but 3.15.1 here" in only(compare(HERE, there))[1]


def test_code_that_differs_or_is_absent_stops_a_run() -> None:
    other = HERE | {"code": {"tune_jobs": "ccc", "trainables": None}}

    assert texts(compare(HERE, [(node(2), other)])).splitlines() == [
        (
            "failure: tune_jobs has different code on 10.0.0.2 (gpu-2): use tune-jobs submit, "
            "which sends the code, or install the same wheel there"
        ),
        (
            "failure: trainables cannot be imported on 10.0.0.2 (gpu-2): use tune-jobs submit, "
            "which sends the code, or install the same wheel there"
        ),
    ]


def test_what_is_missing_here_is_named() -> None:
    assert not list(missing(HERE))
    assert only(missing(differing(keras=None)))[1].startswith("keras is not installed here")


def test_machines_of_one_kind_share_a_line() -> None:
    gpus = ["NVIDIA H200, 143771"] * 2
    there = [
        (node(number, CPU=16.0, GPU=2.0, memory=64e9), HERE | {"gpus": gpus}) for number in (2, 3)
    ]

    assert only(survey(there)) == (
        "ok",
        (
            "10.0.0.2 (gpu-2) and 10.0.0.3 (gpu-3): 16 CPUs, 2 GPUs (2 x NVIDIA H200 of 150.8 GB), "
            "64.0 GB memory each"
        ),
    )


def test_gpus_that_are_only_declared_are_a_warning_unless_they_are_not_nvidias() -> None:
    declared = node(2, CPU=4.0, GPU=1.0)

    assert "warning: Ray counts more GPUs than nvidia-smi finds on 10.0.0.2" in texts(
        survey([(declared, HERE)])
    )
    assert "warning" not in texts(survey([(declared, HERE | {"other_gpus": True})]))


@pytest.mark.parametrize(
    ("skew", "error", "state", "text"),
    [
        (0.9, 0.001, None, ""),
        (-3.5, 3.0, None, ""),
        (-3.5, 0.01, "warning", "gpu is 3.5 s behind this one (± 0.01 s)"),
        (299.0, 0.01, "warning", "299.0 s ahead of"),
        (1000.0, 0.01, "failure", "1,000.0 s ahead of this one (± 0.01 s): S3"),
    ],
)
def test_a_clock_is_judged_by_more_than_the_message_took(skew, error, state, text) -> None:
    check = judge("gpu", skew, error)

    assert (check and check.state) == state
    assert text in (check.text if check else "")


def test_a_trial_that_fits_on_no_node_is_refused_although_it_fits_on_all_together() -> None:
    profile = Profile(address="auto", storage="/s", cpus_per_trial=6, gpus_per_trial=2)
    nodes = [HEAD, node(2, CPU=4.0, GPU=1.0), node(3, CPU=4.0, GPU=1.0)]

    assert only(check_room(profile, nodes, Autoscaler())) == (
        "failure",
        (
            "a trial of 6 CPUs and 2 GPUs does not fit on any node: the nodes have 4 CPUs and 1 "
            "GPU; lower cpus_per_trial or gpus_per_trial, or add a larger node"
        ),
    )


def test_a_cluster_with_nothing_but_a_head_says_so() -> None:
    assert "the head is the only node" in only(check_room(CLUSTER, [HEAD], Autoscaler()))[1]


def test_a_node_type_that_may_start_is_room_enough() -> None:
    autoscaler = Autoscaler([NodeType("gpu", {"CPU": 8, "GPU": 2}, 0, 3)])
    profile = Profile(address="auto", storage="/s", gpus_per_trial=0.6, max_concurrent_trials=4)

    assert texts(check_room(profile, [HEAD], autoscaler)).splitlines() == [
        ("ok: a trial of 1 CPU and 0.6 GPUs fits on nodes that the autoscaler can start: gpu"),
        (
            "ok: in parallel: 0 trials, 6 with all nodes that the autoscaler can start; "
            "max_concurrent_trials is 4"
        ),
    ]


def test_an_autoscaler_whose_types_are_not_known_turns_a_failure_into_a_warning() -> None:
    autoscaler = Autoscaler(problem="HTTPError: 403")

    assert texts(check_room(CLUSTER, [HEAD], autoscaler)).splitlines() == [
        (
            "warning: the autoscaler's node types cannot be read: HTTPError: 403; only running "
            "nodes are counted"
        ),
        (
            "warning: a trial of 1 CPU and 0 GPUs does not fit on any running node: the head is "
            "the only node; trials wait until a larger node starts"
        ),
    ]


def test_a_cluster_that_could_grow_needs_a_number_to_grow_to() -> None:
    profile = Profile(address="auto", storage="/s")
    growing = Autoscaler([NodeType("w", {"CPU": 8}, 0, 3)])
    nodes = [HEAD, node(2, CPU=4.0)]

    assert (
        "failure: max_concurrent_trials is not set in the profile, so the cluster would not grow "
        "beyond 4; set it to at most 28"
    ) in texts(check_room(profile, nodes, growing))
    assert "warning: max_concurrent_trials is not set in the profile: 4 is used" in texts(
        check_room(profile, nodes, Autoscaler())
    )
    assert "max_concurrent" not in texts(check_room(Profile(), nodes[1:], Autoscaler()))


def test_what_other_jobs_hold_is_told() -> None:
    nodes, free = [node(2, CPU=4.0), node(3, CPU=4.0)], [node(2, CPU=1.0), node(3)]

    assert not list(check_free(CLUSTER, nodes, nodes))
    assert only(check_free(CLUSTER, nodes, free))[1].startswith("1 of the 8 trials that fit could")
