"""The examination of a real Ray, and of this machine without one."""

import os
import time

import pytest
import ray

from tune_jobs.engine import JobError, Profile
from tune_jobs.engine.cluster.capacity import alive_nodes, free_nodes
from tune_jobs.engine.cluster.doctor import examine, refuse
from tune_jobs.engine.cluster.doctor.storage_check import check_storage
from tune_jobs.engine.cluster.node_tasks import NoAnswer, ask
from tune_jobs.engine.ray_internals import SETUP_HOOK
from tune_jobs.engine.storage.folder import open_folder


def cluster(storage: object, **values: object) -> Profile:
    return Profile(
        **{"address": "auto", "storage": str(storage), "max_concurrent_trials": 2, **values}
    )


def states(checks) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for check in checks:
        assert "\n" not in check.text
        found.setdefault(check.name, set()).add(check.state)
    return found


def environment_of_a_node() -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR")


def failing() -> None:
    raise OSError("disk\non fire")


def slow() -> None:
    time.sleep(60)


def test_a_healthy_cluster_passes_and_its_storage_is_as_it_was(local_ray, tmp_path) -> None:
    (tmp_path / "earlier").mkdir()

    checks = refuse(examine(cluster(tmp_path)))

    assert {"versions", "machines", "clocks", "storage", "room"} <= states(checks).keys()
    assert states(checks)["storage"] == states(checks)["versions"] == {"ok"}
    assert [path.name for path in tmp_path.iterdir()] == ["earlier"]


def test_a_trial_too_large_for_every_node_stops_a_run(local_ray, tmp_path) -> None:
    with pytest.raises(JobError, match="a trial of 1 CPU and 8 GPUs does not fit on any node"):
        refuse(examine(cluster(tmp_path, gpus_per_trial=8)))


def test_storage_that_cannot_be_written_is_named_once_with_the_reason(local_ray, tmp_path) -> None:
    (tmp_path / "file").touch()
    found = [check for check in examine(cluster(tmp_path / "file")) if check.name == "storage"]

    assert [check.state for check in found] == ["failure"]
    assert found[0].text.startswith(f"storage {tmp_path}/file cannot be used from here: ")
    assert ".doctor-" not in found[0].text


def test_leaving_in_the_middle_deletes_the_files_too(local_ray, tmp_path) -> None:
    storage = open_folder(tmp_path / "new")
    checks = check_storage(storage, alive_nodes(), 60)
    next(checks)
    assert storage.names()
    checks.close()

    assert not storage.exists()


def test_one_machine_is_examined_without_ray(tmp_path) -> None:
    was_there = ray.is_initialized()
    checks = refuse(examine(Profile(storage=str(tmp_path))))

    assert ray.is_initialized() == was_there
    assert states(checks)["storage"] == {"ok"}
    assert "room" in states(checks)
    assert not list(tmp_path.iterdir())


def test_a_node_runs_a_function_by_value_without_what_trials_do_first(local_ray) -> None:
    (node,) = alive_nodes()
    first, second = (ask([node], environment_of_a_node, limit=60)[node.id] for _ in range(2))

    assert first[0] != os.getpid()
    assert first[1] == second[1] == ""
    assert SETUP_HOOK == ray._private.ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR


def test_a_node_that_fails_or_is_late_says_why(local_ray) -> None:
    (node,) = alive_nodes()

    assert ask([node], failing, limit=60)[node.id] == NoAnswer("OSError: disk on fire")
    assert ask([node], slow, limit=1)[node.id] == NoAnswer("no answer within 1 s")


def test_what_tasks_hold_is_not_free(local_ray) -> None:
    (node,) = alive_nodes()

    @ray.remote(num_cpus=1)
    class Holder:
        def ready(self) -> None: ...

    holder = Holder.remote()
    ray.get(holder.ready.remote())
    for _ in range(100):
        if free_nodes([node])[0].resources.get("CPU", 0) < node.resources["CPU"]:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the actor's CPU counts as free")
    ray.kill(holder)
