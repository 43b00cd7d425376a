"""Replacements in Ray: the queue of trials, and workers that have grown too large."""

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from tune_jobs.engine.trials.ray_patches import short_queue


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


def test_tune_chooses_as_ever_afterwards() -> None:
    before = FIFOScheduler.choose_trial_to_run
    with short_queue():
        assert FIFOScheduler.choose_trial_to_run is not before

    assert FIFOScheduler.choose_trial_to_run is before
