"""Trials on a cluster of several nodes, one of which is lost."""

import os
from collections import Counter
from types import SimpleNamespace

import pytest

from tune_jobs.engine import open_experiment


@pytest.fixture(scope="module")
def lost(cluster, make_site) -> SimpleNamespace:
    """A search of eight trials, four at once on two nodes, one of which is killed in between."""
    site = make_site()
    two = [cluster.add(num_cpus=2, num_gpus=1) for _ in range(2)]
    site.gate.touch()
    driver = site.drive(
        cluster.address, "--num-samples", "8", gpus_per_trial=0.5, env={"GREETING": "hello"}
    )
    site.wait_for(lambda: site.waiting == 4, driver)
    before = site.notes
    cluster.kill(two[0])
    lost = {note["pid"] for note in before if note["node"] == two[0]}
    site.wait_for(lambda: not any(is_alive(process) for process in lost), driver)
    site.gate.unlink()
    result = site.end(driver)
    cluster.remove(two[1])
    return SimpleNamespace(site=site, nodes=two, before=before, result=result)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_trial_that_fits_no_single_node_is_refused(cluster, nodes, make_site) -> None:
    site = make_site()
    for _ in range(2):
        nodes(num_cpus=2, num_gpus=2)

    result = site.end(site.drive(cluster.address, gpus_per_trial=4))

    assert result["exit_code"] == 2
    assert "a trial of 1 CPU and 4 GPUs does not fit on any node" in result["errors"]
    assert site.notes == []


@pytest.mark.slow
def test_trials_of_four_gpus_are_where_there_are_four(cluster, nodes, make_site) -> None:
    site = make_site()
    nodes(num_cpus=2, num_gpus=2)
    four = nodes(num_cpus=2, num_gpus=4)

    result = site.end(site.drive(cluster.address, "--num-samples", "2", gpus_per_trial=4))

    assert result["exit_code"] == 0, result["errors"]
    assert {(note["node"], note["gpus"]) for note in site.notes} == {(four, "0,1,2,3")}


def test_trials_of_half_a_gpu_are_two_on_each_node(lost) -> None:
    places = {note["trial"]: (note["node"], note["gpus"]) for note in lost.before}

    assert Counter(places.values()) == {(node, "0"): 2 for node in lost.nodes}


def test_the_environment_of_a_profile_is_there_when_a_worker_begins(lost) -> None:
    for note in lost.site.notes:
        assert "GREETING=hello" in note["born_with"]
        assert "TF_NUM_INTRAOP_THREADS=1" in note["born_with"]
        assert "TF_FORCE_GPU_ALLOW_GROWTH=true" in note["born_with"]


def test_trials_of_a_lost_node_go_on_from_their_checkpoints_on_another(lost) -> None:
    gone, left = lost.nodes
    moved = {note["trial"] for note in lost.before if note["node"] == gone}
    again = [note for note in lost.site.notes if note["trial"] in moved and note["node"] == left]

    assert len(moved) == 2
    assert {(note["trial"], note["start"], note["epoch"]) for note in again} == {
        (trial, 2, epoch) for trial in moved for epoch in (3, 4)
    }


def test_a_search_that_lost_a_node_lost_no_trial(lost) -> None:
    found = open_experiment(str(lost.site.folder / "results" / "test"))

    assert lost.result["exit_code"] == 0, lost.result["errors"]
    assert found.trials["trial"].tolist() == list(range(1, 9))
    assert set(found.trials["state"]) == {"complete"}
    assert found.epochs.groupby("trial")["epoch"].apply(list).tolist() == [[1, 2, 3, 4]] * 8


def test_a_lost_node_does_not_print_among_the_results(lost) -> None:
    assert [line for line in lost.result["printed"] if not line.startswith("{")] == []


@pytest.mark.slow
def test_a_run_begins_while_the_cluster_does_not_know_that_a_node_is_gone(
    cluster, nodes, make_site
) -> None:
    site = make_site()
    left, gone = nodes(num_cpus=2), cluster.add(num_cpus=2)
    cluster.kill(gone)

    result = site.end(site.drive(cluster.address))

    assert result["exit_code"] == 0, result["errors"]
    assert {note["node"] for note in site.notes} == {left}


def test_finals_run_in_the_workers_of_the_search_on_the_gpus_that_those_have(
    cluster, nodes, make_site
) -> None:
    site = make_site()
    two = [nodes(num_cpus=2, num_gpus=1) for _ in range(2)]

    site.gate.touch()
    driver = site.drive(cluster.address, "--finalists", "2", gpus_per_trial=0.5)
    site.wait_for(lambda: site.waiting == 4, driver)
    places = {(note["pid"], note["node"], note["gpus"]) for note in site.notes}
    site.gate.unlink()
    result = site.end(driver)

    found = open_experiment(str(site.folder / "results" / "test"))
    assert result["exit_code"] == 0, result["errors"]
    assert set(found.finals.trials["state"]) == {"complete"}
    assert Counter((node, gpus) for _, node, gpus in places) == {(node, "0"): 2 for node in two}
    assert {(note["pid"], note["node"], note["gpus"]) for note in site.notes} == places
    assert len(site.notes) == 4 * (len(found.trials) + len(found.finals.trials))
