"""The stopper ends trials that failed, and the run for a mistake in the job."""

import pytest

from tune_jobs.engine import JobError
from tune_jobs.engine.deadline import NO_DEADLINE
from tune_jobs.engine.experiments.messages import as_report
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.trials.stopping import RunStopper

MISTAKE = as_report(JobError("the model has a Lambda layer"))


@pytest.fixture
def stopper(tmp_path) -> RunStopper:
    return RunStopper("loss", open_folder(str(tmp_path)), NO_DEADLINE)


def test_a_mistake_of_the_first_trial_ends_the_run_even_after_its_last_epoch(stopper) -> None:
    assert not stopper("00001", {"loss": 1.0})

    with pytest.raises(JobError, match=r"^the model has a Lambda layer$"):
        stopper("00001", MISTAKE)


def test_a_mistake_that_a_later_trial_meets_is_its_failure(stopper) -> None:
    stopper("00001", {"loss": 1.0})

    assert stopper("00002", MISTAKE)


def test_what_is_no_number_ends_the_run_only_before_the_first_number(stopper) -> None:
    with pytest.raises(JobError, match="metric 'loss' must be reported as a number, got None"):
        stopper("00002", {"loss": None})
    assert not stopper("00001", {"loss": 1.0})
    assert stopper("00001", {"loss": None})


class GivesUpError(Exception):
    ends_run = True


def test_an_exception_that_ends_the_run_does_so_whichever_trial_raises_it(stopper) -> None:
    stopper("00001", {"loss": 1.0})

    with pytest.raises(JobError, match=r"^GivesUpError: no disk$"):
        stopper("00007", as_report(GivesUpError("no disk\nat all")))
