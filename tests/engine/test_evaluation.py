import numpy as np
import pytest

from tune_jobs.engine import Evaluation, Job, JobError, table
from tune_jobs.engine.tuner import constants, load_data


def make_job(**options):
    data = table("breast_cancer", target="malignant")
    return Job(trainable=print, space={"x": 1}, data=data, evaluation=Evaluation(**options))


@pytest.mark.parametrize(("folds", "repeats"), [(2, 1), (5, 3), (6, 2)])
def test_every_row_but_the_test_part_is_scored_once_a_repeat(folds, repeats):
    training = load_data(make_job(folds=folds, repeats=repeats)).training
    rows = len(training.x_train)

    assert len(training.replicas) == folds * repeats
    for repeat in range(repeats):
        parts = training.replicas[repeat * folds : (repeat + 1) * folds]
        assert sorted(np.concatenate([part.validation for part in parts])) == list(range(rows))
        for part in parts:
            assert not set(part.train) & set(part.validation)
            assert len(part.train) + len(part.validation) == rows


def test_folds_hold_each_class_in_proportion_and_every_replica_has_its_seed():
    training = load_data(make_job(folds=5, repeats=2)).training
    shares = [training.y_train[part.validation].mean() for part in training.replicas]

    assert np.ptp(shares) < 0.02
    assert len({part.seed for part in training.replicas}) == 10


def test_repeats_alone_keep_the_validation_part():
    job = make_job(repeats=3)
    with_seeds, without = load_data(job), job.data(0)

    assert [part.train for part in with_seeds.training.replicas] == [None] * 3
    assert len(with_seeds.training.x_train) == len(without.training.x_train)


def test_the_test_part_stays_out_and_a_config_knows_the_rows_of_a_fold():
    job = make_job(folds=5)
    dataset = load_data(job)
    whole = len(dataset.training.x_train)

    assert whole + len(dataset.x_test) == 569
    assert constants(job, dataset)["rows"] == len(dataset.training.replicas[0].train) < whole


@pytest.mark.parametrize("options", [{"folds": 0}, {"repeats": 0}, {"folds": 2.5}], ids=str)
def test_folds_and_repeats_are_whole_numbers(options):
    with pytest.raises(JobError, match="must be a whole number >= 1"):
        Evaluation(**options)


def test_too_many_folds_say_how_many_rows_there_are():
    with pytest.raises(JobError, match=r"400 folds need as many rows of the rarest class.*170"):
        load_data(make_job(folds=400))


def test_folds_need_data():
    with pytest.raises(JobError, match="evaluation needs data"):
        Job(trainable=print, space={"x": 1}, evaluation=Evaluation(folds=3))
