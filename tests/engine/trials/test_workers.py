import os
import sys

import cloudpickle
import pytest
from ray import tune

from tune_jobs.engine import Job, Profile, run

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("local_ray")


def growing(config: dict, data: object) -> None:
    """Pretend to leak: the third trial of the search leaves its worker too large."""
    trial = int(tune.get_context().get_trial_id())
    work = {"path": "", "worker": str(os.getpid()), "began": 0.0, "spent": {}}
    memory = 5000.0 if trial == 3 else 500.0 + trial
    row = {"epoch": 1, "loss": 1.0, "seconds": 0.0}
    tune.report({**row, "epochs": [row], "work": work | {"memory": memory}})


def failing_once(config: dict, data: object) -> None:
    if tune.get_context().get_trial_id() == "00002":
        os._exit(1)
    work = {"path": "", "worker": str(os.getpid()), "began": 0.0, "spent": {}, "memory": 1.0}
    row = {"epoch": 1, "loss": 1.0, "seconds": 0.0}
    tune.report({**row, "epochs": [row], "work": work})


@pytest.fixture
def workers_of(tmp_path):
    def workers_of(trainable):
        job = Job(
            trainable, {"x": tune.uniform(0, 1)}, metric="loss", num_samples=6, finalists=None
        )
        profile = Profile(storage=str(tmp_path), max_concurrent_trials=1, max_failures=0)
        return run(job, profile=profile, name="test", listeners=[]).trials["worker"].tolist()

    return workers_of


def test_one_worker_serves_all_trials_until_it_has_grown_too_large(workers_of) -> None:
    workers = workers_of(growing)

    assert len(set(workers[:3])) == len(set(workers[3:])) == 1
    assert workers[2] != workers[3]


def test_a_worker_that_died_is_replaced(workers_of) -> None:
    workers = [worker for worker in workers_of(failing_once) if isinstance(worker, str)]

    assert len(workers) == 5
    assert len(set(workers)) == 2
