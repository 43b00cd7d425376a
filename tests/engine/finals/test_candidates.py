"""Finalists are the best trials by value, and by the end that their curves promise, in turn."""

from hypothesis import given
from hypothesis import strategies as st
from ray import tune

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import Epoch, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.finals.candidates import choose_candidates, take_turns
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.describing import describe_search
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.storage.folder import open_folder

SPACE = {"rate": tune.uniform(0, 1)}
SLOW = 0.2  # such a rate falls slowly and to the lowest loss
STOPPED = 4  # the trial that was stopped on its way there


def train(config):
    """Do nothing: the histories are written by hand."""


def loss_of(rate: float, epoch: int) -> float:
    return 1 - 0.1 * epoch if rate <= SLOW else 0.6 - 0.01 * epoch + 0.1 * rate


def write_search(folder, rates, stopped=(), epochs=9) -> Experiment:
    described = describe_search("t.train", Goal("loss"), max_epochs=epochs, space=SPACE)
    folder.write_json("experiment.json", described.to_json())
    writer = SegmentWriter(folder)
    for trial, rate in enumerate(rates, start=1):
        writer.append(TrialStart(trial, {"rate": rate}, trial, "random"))
        last = 3 if trial in stopped else epochs
        for epoch in range(1, last + 1):
            writer.append(Epoch(trial, 0, epoch, 0.1, {"loss": loss_of(rate, epoch)}))
        writer.append(TrialEnd(trial, "stopped" if trial in stopped else "complete", None, None))
    writer.flush()
    return Experiment(folder)


def numbers(experiment, count):
    job = Job(trainable=train, space=SPACE, metric="loss", max_epochs=9)
    return [each.trial for each in choose_candidates(experiment, job, count)]


RATES = [0.1, 0.05, 0.18, 0.13, 0.9, 0.7, 0.5, 0.8, 0.6, 0.95, 0.4, 0.3]


def test_a_stopped_trial_on_its_way_to_a_better_end_is_a_finalist(tmp_path) -> None:
    experiment = write_search(open_folder(tmp_path), RATES, stopped={STOPPED, 6, 8})

    assert experiment.ranked["trial"].tolist().index(STOPPED) == len(RATES) - 1
    assert numbers(experiment, 5)[:1] == [1]
    assert STOPPED in numbers(experiment, 5)


def test_without_stopped_trials_the_values_decide(tmp_path) -> None:
    experiment = write_search(open_folder(tmp_path), RATES)

    assert numbers(experiment, 4) == experiment.ranked["trial"].tolist()[:4]


def test_after_few_trials_the_values_decide(tmp_path) -> None:
    experiment = write_search(open_folder(tmp_path), RATES[:5], stopped={STOPPED})

    assert numbers(experiment, 4) == experiment.ranked["trial"].tolist()[:4]


@given(st.permutations(range(1, 9)), st.dictionaries(st.integers(1, 10), st.floats(-9, 9)))
def test_all_come_up_the_best_by_value_and_by_end_first(ranked, ends) -> None:
    found = list(take_turns(ranked, ends))

    assert found[0] == ranked[0]
    assert set(found) == set(ranked)
    promising = [trial for trial in ranked if trial in ends]
    if promising:
        assert found[1] == min(promising, key=lambda trial: ends[trial])
