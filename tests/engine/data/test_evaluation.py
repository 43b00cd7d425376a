import numpy as np
import pytest

from tune_jobs.engine import Evaluation, Job, JobError, table
from tune_jobs.engine.data.evaluation import fresh_replicas, held_out_share


def make_job(**options):
    data = table("breast_cancer", target="malignant")
    return Job(trainable=print, space={"x": 1}, data=data, evaluation=Evaluation(**options))


@pytest.mark.parametrize(("folds", "repeats"), [(2, 1), (5, 3), (6, 2)])
def test_every_row_but_the_test_part_is_scored_once_a_repeat(folds, repeats):
    training = make_job(folds=folds, repeats=repeats).load_data().training
    rows = len(training.x_train)

    assert len(training.replicas) == folds * repeats
    for repeat in range(repeats):
        parts = training.replicas[repeat * folds : (repeat + 1) * folds]
        assert sorted(np.concatenate([part.validation for part in parts])) == list(range(rows))
        for part in parts:
            assert not set(part.train) & set(part.validation)
            assert len(part.train) + len(part.validation) == rows


def test_folds_hold_each_class_in_proportion_and_every_replica_has_its_seed():
    training = make_job(folds=5, repeats=2).load_data().training
    shares = [training.y_train[part.validation].mean() for part in training.replicas]

    assert np.ptp(shares) < 0.02
    assert len({part.seed for part in training.replicas}) == 10


def test_repeats_alone_keep_the_validation_part():
    job = make_job(repeats=3)
    with_seeds, without = job.load_data(), job.data(0)

    assert [part.train for part in with_seeds.training.replicas] == [None] * 3
    assert len(with_seeds.training.x_train) == len(without.training.x_train)


def test_the_test_part_stays_out_and_a_config_knows_the_rows_of_a_fold():
    job = make_job(folds=5)
    dataset = job.load_data()
    whole = len(dataset.training.x_train)

    assert whole + len(dataset.x_test) == 569
    assert job.constants(dataset)["rows"] == len(dataset.training.replicas[0].train) < whole


@pytest.mark.parametrize("options", [{"folds": 0}, {"repeats": 0}, {"folds": 2.5}], ids=str)
def test_folds_and_repeats_are_whole_numbers(options):
    with pytest.raises(JobError, match="must be an integer from 1 to 1,000"):
        Evaluation(**options)


def test_too_many_folds_say_how_many_rows_there_are():
    with pytest.raises(JobError, match=r"400 folds need as many rows of the rarest class.*170"):
        make_job(folds=400).load_data()


def test_folds_need_data():
    with pytest.raises(JobError, match="the job has an evaluation but no data"):
        Job(trainable=print, space={"x": 1}, evaluation=Evaluation(folds=3))


@pytest.mark.parametrize(("options", "folds"), [({}, 4), ({"repeats": 2}, 4), ({"folds": 3}, 3)])
def test_fresh_replicas_score_every_row_once_a_round_on_folds_of_their_own(options, folds):
    job = make_job(**options)
    dataset = job.load_data()
    whole, rounds = fresh_replicas(dataset, job.evaluation, seed=7, rounds=3)

    rows = len(whole.training.x_train)
    assert rows + len(whole.x_test) == 569
    for replicas in rounds:
        assert len(replicas) == folds
        assert sorted(np.concatenate([each.validation for each in replicas])) == list(range(rows))
        assert held_out_share(replicas) == pytest.approx(1 / (folds - 1), rel=0.01)
    seeds = {each.seed for replicas in [*rounds, dataset.training.replicas] for each in replicas}
    assert len(seeds) == 3 * folds + len(dataset.training.replicas)
    held = {tuple(each.validation) for replicas in rounds for each in replicas}
    assert len(held) == 3 * folds


def test_fresh_replicas_need_no_evaluation_and_follow_from_their_seed():
    dataset = Job(trainable=print, space={"x": 1}, data=make_job().data).load_data()
    first, again, other = (fresh_replicas(dataset, None, seed, 2)[1] for seed in (1, 1, 2))

    for one, same in zip(first[1], again[1], strict=True):
        assert one.seed == same.seed
        assert np.array_equal(one.train, same.train)
    assert first[1][0].seed != other[1][0].seed
