import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from tune_jobs.engine.queue import short_queue


class Waiting:
    """A trial, as far as a scheduler looks at one that has yet to start."""

    def __init__(self, name: str, status: str) -> None:
        self.trial_id, self.status = name, status


class Controller:
    """Tune, as far as a scheduler asks it for trials; counts how often it tells all of them."""

    def __init__(self, *statuses: str) -> None:
        self.trials = [Waiting(str(number), status) for number, status in enumerate(statuses)]
        self.told_all = 0

    def get_trials(self) -> list[Waiting]:
        self.told_all += 1
        return self.trials

    def get_live_trials(self) -> set[Waiting]:
        return {trial for trial in self.trials if trial.status != Trial.TERMINATED}


CASES = [
    (),
    (Trial.TERMINATED, Trial.RUNNING),
    (Trial.TERMINATED, Trial.RUNNING, Trial.PENDING),
    (Trial.TERMINATED, Trial.PAUSED, Trial.RUNNING),
    (Trial.PAUSED, Trial.TERMINATED, Trial.PENDING, Trial.PENDING),
    (Trial.ERROR, Trial.PAUSED, Trial.PAUSED),
]


@pytest.mark.parametrize("statuses", CASES)
@pytest.mark.parametrize("make", [FIFOScheduler, AsyncHyperBandScheduler])
def test_the_trial_that_tune_would_choose_is_chosen(make, statuses) -> None:
    controller, scheduler = Controller(*statuses), make()
    expected = scheduler.choose_trial_to_run(controller)

    with short_queue():
        assert scheduler.choose_trial_to_run(controller) is expected


def test_trials_that_have_ended_are_not_looked_at_while_one_waits() -> None:
    controller = Controller(*[Trial.TERMINATED] * 100, Trial.RUNNING, Trial.PENDING)

    with short_queue():
        chosen = FIFOScheduler().choose_trial_to_run(controller)

    assert chosen is controller.trials[-1]
    assert controller.told_all == 0


def test_tune_chooses_as_ever_afterwards() -> None:
    controller = Controller(Trial.RUNNING)
    with short_queue():
        pass

    FIFOScheduler().choose_trial_to_run(controller)

    assert controller.told_all == 2
