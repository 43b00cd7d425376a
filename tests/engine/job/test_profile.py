"""Profiles: what is wrong with one is said with file, key and rule."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.engine import Job, JobError, Profile, load_profile
from tune_jobs.engine.cluster.capacity import Autoscaler, Node, NodeType
from tune_jobs.engine.cluster.concurrency import concurrency_of
from tune_jobs.engine.cluster.connection import worker_env
from tune_jobs.engine.cluster.machine import local_resources
from tune_jobs.engine.environment import environment
from tune_jobs.engine.job.modules import find_job
from tune_jobs.engine.names import check_experiment_name
from tune_jobs.engine.runs.start_ray import find_preload

SHIPPED = sorted(Path("cluster/profiles").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_profile_loads(path) -> None:
    load_profile(str(path))


def test_the_laptop_profile_is_the_default() -> None:
    assert load_profile("laptop") == Profile()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu_per_trial: 1", "unknown key 'gpu_per_trial'; did you mean 'gpus_per_trial'"),
        ("cpus_per_trial: four", "cpus_per_trial is 'four', but must be a number"),
        ("cpus_per_trial: 0", "cpus_per_trial is 0"),
        ("gpus_per_trial: 1.5", "gpus_per_trial is 1.5, but must be an integer if above 1"),
        ("max_concurrent_trials: 0", "max_concurrent_trials is 0"),
        ("trials_in_step: 0", "trials_in_step is 0"),
        ("trials_in_step: many", "trials_in_step is 'many'"),
        ("storage: 3", "storage is 3, but must be text"),
        ("env: {API_TOKEN: x}", "env.API_TOKEN looks like a secret"),
        ("address: auto", "storage is 'results', but must be a URI or an absolute path"),
        (
            "{address: auto, storage: ~/results}",
            "storage is '~/results', but must be a URI or an absolute path",
        ),
        ("jobs_api: head:8265", "jobs_api is 'head:8265', but must be a URL"),
        ("jobs_api: http://[::1", r"jobs_api is 'http://\[::1', but must be a URL"),
        ("jobs_api: http://", "jobs_api is 'http://', but must be a URL"),
        ("token_file: 7", "token_file is 7, but must be text"),
        ("env: {A: 1}", "env is {'A': 1}, but must map names to strings"),
        ("- a", "must map keys to values"),
        ("a: [", "invalid YAML"),
    ],
)
def test_a_wrong_profile_is_refused_with_its_path(tmp_path, text, message) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)

    with pytest.raises(JobError, match=message) as caught:
        load_profile(str(path))

    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_lists_those_there_are() -> None:
    with pytest.raises(JobError, match="did you mean 'laptop'"):
        load_profile("labtop")


@pytest.mark.parametrize(
    ("profile", "available", "at_once"),
    [
        (Profile(), {"CPU": 4}, 4),
        (Profile(cpus_per_trial=1.5), {"CPU": 4}, 2),
        (Profile(gpus_per_trial=0.25), {"CPU": 8, "GPU": 1}, 4),
        (Profile(max_concurrent_trials=3), {"CPU": 8}, 3),
        (Profile(max_concurrent_trials=30), {"CPU": 8}, 8),
        (Profile(cpus_per_trial=0.1), {"CPU": 0.3}, 3),
    ],
)
def test_as_many_trials_run_at_once_as_fit(profile, available, at_once) -> None:
    assert concurrency_of(profile, [Node("1", "here", available)]) == at_once


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (Profile(cpus_per_trial=64), "cpus_per_trial is 64, but this machine has 2 CPUs"),
        (Profile(gpus_per_trial=1), "gpus_per_trial is 1, but this machine has 0 GPUs"),
        (
            Profile(address="auto", storage="/s", gpus_per_trial=8),
            "but the cluster at auto has 0 GPUs",
        ),
    ],
)
def test_a_trial_that_fits_nowhere_is_an_error_and_not_an_endless_wait(profile, message) -> None:
    with pytest.raises(JobError, match=message):
        concurrency_of(profile, [Node("1", "here", {"CPU": 2})])


TYPE = NodeType("gpu", {"CPU": 8, "GPU": 4}, 0, 2)
WANTED = Profile(address="auto", storage="/s", cpus_per_trial=1, gpus_per_trial=1)


@pytest.mark.parametrize(
    ("profile", "nodes", "types", "at_once"),
    [
        (replace(WANTED, gpus_per_trial=2), [{"CPU": 4, "GPU": 3}] * 2, [], 2),
        (WANTED, [{"CPU": 0}], [TYPE], 1),
        (replace(WANTED, max_concurrent_trials=5), [{"CPU": 0}], [TYPE], 5),
        (replace(WANTED, max_concurrent_trials=50), [{"CPU": 0}], [TYPE], 8),
        (replace(WANTED, max_concurrent_trials=4), [{"CPU": 2, "GPU": 1}] * 2, [], 2),
    ],
)
def test_on_a_cluster_trials_are_counted_by_node_with_those_that_may_start(
    profile, nodes, types, at_once
) -> None:
    found = [Node(str(n), f"node {n}", resources) for n, resources in enumerate(nodes)]
    assert concurrency_of(profile, found, Autoscaler(types)) == at_once


def test_a_trial_that_needs_more_than_each_node_has_does_not_fit_two() -> None:
    nodes = [Node(n, n, {"CPU": 4, "GPU": 2}) for n in ("1", "2")]
    with pytest.raises(JobError, match="but the cluster at auto has 2 GPUs on a node"):
        concurrency_of(replace(WANTED, gpus_per_trial=4), nodes)
    apart = [Node("1", "1", {"CPU": 4}), Node("2", "2", {"CPU": 1, "GPU": 2})]
    with pytest.raises(JobError, match="has both the 2 CPUs and the 1 GPUs of a trial"):
        concurrency_of(replace(WANTED, cpus_per_trial=2), apart)


def test_gpus_are_those_that_this_process_may_see(monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert local_resources()["GPU"] == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert local_resources()["GPU"] == 0


def test_a_worker_gets_as_many_threads_as_its_trial_has_cpus() -> None:
    env = worker_env(Profile(cpus_per_trial=3, env={"EXTRA": "1"}), ["there"])
    assert env["TF_NUM_INTRAOP_THREADS"] == env["OMP_NUM_THREADS"] == "3"
    assert env["EXTRA"] == "1"
    assert env["PYTHONPATH"].startswith("there")


@given(st.text(st.sampled_from("abcXYZ019._-"), min_size=1, max_size=100))
def test_a_plain_name_is_one_folder(name) -> None:
    if name[0] in "._-":
        with pytest.raises(JobError):
            check_experiment_name(name)
    else:
        check_experiment_name(name)


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "a\n", "ä", "x" * 101, "a\\b", ".."])
def test_a_name_that_is_a_path_is_refused(name) -> None:
    with pytest.raises(JobError, match="must be at most 100 letters, digits"):
        check_experiment_name(name)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads Linux' list of processes")
def test_a_local_ray_starts_no_process_that_one_machine_has_no_use_for(local_ray) -> None:
    commands = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if int(parent) == os.getpid():
                commands.append((folder / "cmdline").read_text())
    assert any("raylet" in command for command in commands)
    assert not [c for c in commands if "monitor.py" in c or "dashboard.py" in c]


def test_the_workers_of_a_local_ray_have_their_threads_pinned(local_ray) -> None:
    names = ["OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"]
    read = ray.remote(lambda: [os.environ.get(name) for name in names])

    assert ray.get(read.remote()) == ["1", "1", "1"]
    assert not {"TF_NUM_INTRAOP_THREADS"} & os.environ.keys()


def test_workers_preload_what_lies_beside_the_trainable() -> None:
    assert find_preload(find_job("breast_cancer_tpe").job) == "trainables.tabular_mlp.preload"
    assert find_preload(Job(print, {"x": 1})) is None


def test_environment_variables_are_as_they_were_after_the_block(monkeypatch) -> None:
    monkeypatch.setenv("KEPT", "before")
    with environment({"KEPT": "inside", "NEW": "inside"}):
        assert (os.environ["KEPT"], os.environ["NEW"]) == ("inside", "inside")
    assert os.environ["KEPT"] == "before"
    assert "NEW" not in os.environ
