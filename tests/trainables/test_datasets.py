"""Datasets of TensorFlow: how they travel, and as the data of a job."""

import pickle
from itertools import chain

import numpy as np
import pytest
import tensorflow as tf

from trainables.datasets import DatasetError, are_batches, as_batches, pack, unpack
from tune_jobs.engine import Job, JobError

X, Y = np.arange(20, dtype="float32").reshape(10, 2), np.arange(10, dtype="float32")


def rows(labels=Y):
    return tf.data.Dataset.from_tensor_slices((X, labels)).map(lambda x, y: (x * 2, y))


def make_job(data, metric="val_loss"):
    return Job(print, {"units": 4}, data=data, metric=metric)


def test_a_pipeline_travels_with_its_shuffling_and_augmentation():
    data = tf.data.Dataset.range(20).shuffle(20).batch(5)
    there = unpack(pickle.loads(pickle.dumps(pack(data))))

    first, second = ([batch.numpy().tolist() for batch in there] for _ in range(2))
    assert first != second
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(20))
    assert len(there) == 4


def test_a_pipeline_that_calls_python_travels_as_its_batches():
    def rows():
        for number in range(3):
            yield np.full((2, 4), number, "float32"), np.zeros(2, "float32")

    signature = (tf.TensorSpec((2, 4)), tf.TensorSpec((2,)))
    data = tf.data.Dataset.from_generator(rows, output_signature=signature)
    there = unpack(pickle.loads(pickle.dumps(pack(data))))

    assert len(there) == 3
    assert there[2][0][0, 0] == 2
    with pytest.raises(DatasetError, match="does not end"):
        pack(np.zeros(2**20) for _ in iter(int, 1))  # without an end


def test_rows_are_told_from_batches():
    shapes = {"rows": rows(), "batches": rows().batch(4), "even": rows().batch(5, True)}
    one_hot = tf.data.Dataset.from_tensor_slices((X, np.zeros((10, 3))))

    found = {name: are_batches(each.element_spec) for name, each in shapes.items()}
    assert found == {"rows": False, "batches": True, "even": True}
    assert not are_batches(one_hot.element_spec)
    assert [len(x) for x, _ in as_batches(rows(), 4)] == [4, 4, 2]
    assert as_batches(X, 4) is X


def test_a_job_takes_datasets_and_a_worker_gets_them_back():
    from tune_jobs.engine.data.own_data import unpack_sets

    data = make_job((rows(), rows().batch(4))).load_data()

    assert str(data) == (
        "a tf.data.Dataset of ((2,), ()), validated on a tf.data.Dataset of ((None, 2), (None,))"
    )
    there = unpack_sets(pickle.loads(pickle.dumps(data.training)))
    assert [y.numpy() for _, y in there.x_train] == Y.tolist()
    assert next(iter(there.x_train))[0].numpy().tolist() == [0, 2]
    assert (there.y_train, there.y_validation) == (None, None)
    few = unpack_sets(data.cut(3, 3).training)
    assert (len(list(few.x_train)), len(list(few.x_validation))) == (3, 1)


def test_datasets_without_targets_an_end_or_rows_are_refused():
    wrong = {
        "data yields (2,), but must yield (x, y)": tf.data.Dataset.from_tensor_slices(X),
        "data does not end, but an epoch needs an end": rows().repeat(),
        "data has no rows": rows().take(0),
        "data is 3 datasets, but must be one, or two": (rows(),) * 3,
        "metric is 'val_loss', but data has no validation set": rows(),
        "the validation dataset yields (2,)": (rows(), tf.data.Dataset.from_tensor_slices(X)),
    }
    for said, data in wrong.items():
        with pytest.raises(JobError) as caught:
            make_job(data)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    assert make_job(rows(), metric="loss").load_data().training.x_validation is None
    with pytest.raises(JobError, match=r"target is 'y', but data .* have no columns"):
        Job(print, {"units": 4}, data=(rows(), rows()), target="y")


def test_the_fingerprint_follows_the_arrays_and_no_numbers_of_functions_or_seeds():
    tf.random.set_seed(1)  # from now on TensorFlow counts its seeds
    found = [pack(rows().shuffle(10).batch(4)).fingerprint for _ in range(3)]

    assert len(set(found)) == 1
    assert pack(rows(Y + 1).shuffle(10).batch(4)).fingerprint != found[0]
    assert pack(rows().shuffle(10).batch(5)).fingerprint != found[0]
    read_here = [pack(tf.data.Dataset.from_tensor_slices((X, Y)).map(call)) for call in (one, two)]
    assert read_here[0].fingerprint != read_here[1].fingerprint


def test_rows_that_python_makes_travel_as_rows(monkeypatch):
    data = make_job((tf.data.Dataset.from_tensor_slices((X, Y)).map(two), rows())).load_data()
    there = pickle.loads(pickle.dumps(data.training.x_train))

    assert str(there) == "a dataset of 10 rows"
    assert [y.numpy() for _, y in unpack(there)] == (2 * Y).tolist()
    batches = as_batches(unpack(there), 4)
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    assert len(list(there.first(3).restore())) == 3
    monkeypatch.setattr("trainables.datasets.MOST_ROWS", 9)
    with pytest.raises(JobError, match="data does not end after 9 rows"):
        make_job((tf.data.Dataset.from_tensor_slices((X, Y)).map(two), rows()))


def one(x, y):
    return x, tf.ensure_shape(tf.numpy_function(lambda each: each, [y], tf.float32), ())


def two(x, y):
    return x, tf.ensure_shape(tf.numpy_function(lambda each: 2 * each, [y], tf.float32), ())
