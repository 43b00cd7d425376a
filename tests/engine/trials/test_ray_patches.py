"""Replacements in Ray: the queue of trials, and workers that have grown too large."""

from types import SimpleNamespace

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.utils.object_cache import _ObjectCache

from tune_jobs.engine.trials.ray_patches import (
    short_queue,
    surviving_lost_workers,
    with_idle_workers_kept,
    without_unused_work,
)


class Waiting:
    """A trial, as far as a scheduler looks at one that has yet to start."""

    def __init__(self, name: str, status: str) -> None:
        self.trial_id, self.status = name, status


class Looked(list):
    """Trials that count how many of them were looked at."""

    count = 0

    def __iter__(self):
        return self._counted(super().__iter__())

    def __reversed__(self):
        return self._counted(super().__reversed__())

    def _counted(self, trials):
        for trial in trials:
            self.count += 1
            yield trial


class Controller:
    """Tune, as far as a scheduler asks it for trials."""

    def __init__(self, *statuses: str) -> None:
        self.trials = Looked(Waiting(str(number), status) for number, status in enumerate(statuses))
        self._trial_to_actor: dict[Waiting, object] = {}

    def get_trials(self) -> Looked:
        return self.trials

    def get_live_trials(self) -> set[Waiting]:
        return {trial for trial in list(self.trials) if trial.status != Trial.TERMINATED}


CASES = [
    (),
    (Trial.TERMINATED, Trial.RUNNING),
    (Trial.TERMINATED, Trial.RUNNING, Trial.PENDING),
    (Trial.TERMINATED, Trial.PAUSED, Trial.RUNNING),
    (Trial.PAUSED, Trial.TERMINATED, Trial.PENDING, Trial.PENDING),
    (Trial.ERROR, Trial.PAUSED, Trial.PAUSED),
    (Trial.PENDING, Trial.RUNNING, Trial.PENDING, Trial.PAUSED, Trial.TERMINATED),
]


@pytest.mark.parametrize("statuses", CASES)
@pytest.mark.parametrize("make", [FIFOScheduler, AsyncHyperBandScheduler])
def test_the_trial_that_tune_would_choose_is_chosen(make, statuses) -> None:
    controller, scheduler = Controller(*statuses), make()
    expected = scheduler.choose_trial_to_run(controller)

    with short_queue():
        assert scheduler.choose_trial_to_run(controller) is expected


def test_trials_that_ended_before_the_first_that_waits_are_not_looked_at() -> None:
    controller = Controller(*[Trial.TERMINATED] * 100, Trial.PENDING, Trial.RUNNING, Trial.PENDING)
    live = controller.get_live_trials()
    controller.get_live_trials = lambda: live
    controller.trials.count = 0

    with short_queue():
        chosen = FIFOScheduler().choose_trial_to_run(controller)

    assert chosen is controller.trials[100]
    assert controller.trials.count <= 4


def test_a_trial_whose_own_worker_starts_leaves_a_free_one_to_the_next() -> None:
    controller = Controller(Trial.RUNNING, Trial.PENDING, Trial.PENDING, Trial.PAUSED)
    controller._trial_to_actor[controller.trials[1]] = "starts"
    scheduler = FIFOScheduler()
    assert scheduler.choose_trial_to_run(controller) is controller.trials[1]

    with short_queue():
        assert scheduler.choose_trial_to_run(controller) is controller.trials[2]
        controller._trial_to_actor[controller.trials[2]] = "starts"
        assert scheduler.choose_trial_to_run(controller) is controller.trials[1]


def test_tune_chooses_as_ever_afterwards() -> None:
    before = FIFOScheduler.choose_trial_to_run
    with short_queue():
        assert FIFOScheduler.choose_trial_to_run is not before

    assert FIFOScheduler.choose_trial_to_run is before


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OutOfMemoryError("the node ran low on memory\nTop 10: sh --token=s"),
            "OutOfMemoryError: the",
        ),
        (ActorDiedError(), "The actor died unexpectedly"),
    ],
    ids=["killed for memory", "died"],
)
def test_a_trial_whose_worker_is_lost_in_any_way_is_no_end_of_the_search(error, said) -> None:
    heard: list[Exception] = []
    actor = SimpleNamespace(actor_id=1, _on_error=lambda _, error: heard.append(error))
    call = SimpleNamespace(_tracked_actor=actor, _on_error=lambda _, error: heard.append(error))
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda **_: None)

    with surviving_lost_workers():
        RayActorManager._actor_task_failed(manager, tracked_actor_task=call, exception=error)
        RayActorManager._actor_start_failed(manager, tracked_actor=actor, exception=error)

    assert len(heard) == 3
    assert all(isinstance(each, RayActorError) for each in heard)
    assert all(str(each).startswith(said) and "token" not in str(each) for each in heard)


def test_a_trainable_is_looked_up_once_and_a_worker_is_asked_nothing(monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "ray.tune.experiment.trial.get_trainable_cls", lambda name: asked.append(name) or Trial
    )
    worker = SimpleNamespace()  # without a method to call

    with without_unused_work():
        trials = [Trial("anything", stub=False) for _ in range(3)]
        for trial in trials:
            trial.get_trainable_cls()
            trial.set_ray_actor(worker)

    assert asked == ["anything"]
    assert [trial.temporary_state.ray_actor for trial in trials] == [worker] * 3
    assert trials[0].last_result == {"trial_id": trials[0].trial_id}


def test_workers_that_wait_for_a_decision_are_all_kept() -> None:
    cache = _ObjectCache()

    with with_idle_workers_kept():
        assert [cache.cache_object("a CPU", worker) for worker in "abc"] == [True] * 3
        assert list(cache.flush_cached_objects()) == []
        assert cache.pop_cached_object("a CPU") == "a"
        assert list(cache.flush_cached_objects(force_all=True)) == ["b", "c"]
    assert cache.total_max_objects == 0
