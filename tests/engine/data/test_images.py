"""Datasets of images."""

from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import pytest

from tune_jobs.engine.data.images import images, read_images
from tune_jobs.engine.errors import JobError


def arrays(rows=60, tests=20, **other):
    draw = np.random.default_rng(0)
    return {
        "x_train": draw.integers(0, 256, (rows, 4, 5), dtype=np.uint8),
        "y_train": np.arange(rows, dtype=np.uint8) % 3,
        "x_test": draw.integers(0, 256, (tests, 4, 5), dtype=np.uint8),
        "y_test": np.arange(tests, dtype=np.uint8) % 3,
    } | other


def save(path, compress=False, **other):
    (np.savez_compressed if compress else np.savez)(path, **arrays(**other))
    return path


def fails(message: str):
    return pytest.raises(JobError, match=re.escape(message))


def contents(dataset):
    training = dataset.training
    parts = [training.x_train, training.y_train, training.x_validation, training.y_validation]
    return [part.tolist() for part in [*parts, dataset.x_test, dataset.y_test]]


def test_digits_are_split_in_three_with_every_class_in_proportion():
    dataset = images("digits")(0)
    training = dataset.training

    assert training.x_train.shape == (1079, 8, 8, 1)
    assert (len(training.x_validation), len(dataset.x_test)) == (359, 359)
    assert training.x_train.dtype == np.uint8 and training.y_train.dtype == np.int32
    shares = [np.bincount(y) / len(y) for y in (training.y_train, dataset.y_test)]
    np.testing.assert_allclose(*shares, atol=0.005)
    assert dataset.signature == {
        "task": "multiclass",
        "input_shape": [8, 8, 1],
        "outputs": 10,
        "rows": 1079,
        "maximum": 16.0,
    }
    assert dataset.preprocessing["columns"] is None
    np.testing.assert_array_equal(dataset.raw_test, dataset.x_test)


def test_a_seed_repeats_the_split_and_another_draws_another(tmp_path):
    recipe = images(save(tmp_path / "i.npz"))

    assert contents(recipe(1)) == contents(recipe(1)) != contents(recipe(2))
    assert recipe(1).fingerprint == recipe(2).fingerprint


def test_plain_and_compressed_files_give_equal_datasets(tmp_path):
    plain = images(save(tmp_path / "plain.npz"))(3)
    compressed = images(save(tmp_path / "compressed.npz", compress=True))(3)

    assert contents(plain) == contents(compressed)
    assert plain.fingerprint == compressed.fingerprint


def test_an_archive_may_hold_other_files_and_other_layouts(tmp_path):
    found = arrays(x_train=np.asfortranarray(arrays()["x_train"]))
    with zipfile.ZipFile(tmp_path / "i.npz", "w") as archive:
        archive.writestr("note.txt", "odd length!")
        for name, array in found.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=(2, 0))
            archive.writestr(f"{name}.npy", buffer.getvalue())

    dataset = images(tmp_path / "i.npz")(0)

    np.testing.assert_array_equal(dataset.x_test[..., 0], found["x_test"])
    rows = {row.tobytes() for row in found["x_train"]}
    assert {row[..., 0].tobytes() for row in dataset.training.x_train} < rows


def test_the_file_s_own_test_part_is_kept_whole_and_apart(tmp_path):
    dataset = images(save(tmp_path / "i.npz"), validation=0.25)(0)

    assert len(dataset.training.x_train) == 45
    assert len(dataset.training.x_validation) == 15
    np.testing.assert_array_equal(dataset.x_test[..., 0], arrays()["x_test"])


def test_channels_and_column_targets_and_odd_labels_are_taken(tmp_path):
    found = arrays()
    for part in ("train", "test"):
        found[f"x_{part}"] = np.repeat(found[f"x_{part}"][..., np.newaxis], 3, axis=3)
        found[f"y_{part}"] = found[f"y_{part}"][:, np.newaxis].astype(np.int64) * 10 - 5
    dataset = images(save(tmp_path / "i.npz", **found))(0)

    assert dataset.signature["input_shape"] == [4, 5, 3]
    assert dataset.preprocessing["target"]["classes"] == [-5, 5, 15]
    assert set(dataset.training.y_train.tolist()) == {0, 1, 2}


def test_other_numbers_become_float32(tmp_path):
    found = arrays()
    found["x_train"], found["x_test"] = found["x_train"] / 255, found["x_test"] / 255
    dataset = images(save(tmp_path / "i.npz", **found))(0)

    assert dataset.training.x_train.dtype == np.float32
    assert dataset.signature["maximum"] <= 1


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"x_train": arrays()["x_train"][1:]}, "x_train has 59 rows, but y_train has 60"),
        ({"y_test": np.zeros(3, int)}, "x_test has 20 rows, but y_test has 3"),
        (
            {"x_test": np.zeros((20, 4, 6))},
            "have the shape (4, 5, 1), but those of x_test (4, 6, 1)",
        ),
        ({"x_train": np.zeros((60, 20))}, "x_train has the shape (60, 20), but must be"),
        ({"x_train": np.zeros((0, 4, 5))}, "x_train has the shape (0, 4, 5), but must be"),
        ({"x_train": np.full((60, 4, 5), "a")}, "x_train has the type <U1, but must be numbers"),
        ({"x_train": np.full((60, 4, 5), np.nan)}, "x_train has values that are infinite"),
        ({"x_train": np.zeros((60, 4, 5))}, "the largest value of x_train is 0"),
        ({"x_train": np.full(60, None)}, "x_train holds Python objects"),
        ({"y_train": np.linspace(0, 1, 60)}, "but must be whole numbers of shape (rows,)"),
        ({"y_train": np.zeros((60, 3), int)}, "but must be whole numbers of shape (rows,)"),
        ({"y_train": np.zeros(60, int)}, "y_train is 0 in all rows"),
        ({"y_train": np.array([7] + [0, 1] * 29 + [0])}, "class 7 has 1 image in y_train"),
        ({"y_test": np.full(20, 9)}, "class 9 of y_test is not in y_train"),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_arrays_that_do_not_fit_are_named(tmp_path, compress, other, message):
    recipe = images(save(tmp_path / "i.npz", compress, **other))

    with fails(message):
        recipe(0)


def test_a_file_without_the_arrays_says_which_are_there(tmp_path):
    np.savez(tmp_path / "i.npz", x_train=np.zeros(3), labels=np.zeros(3))

    with fails("has no array y_train, x_test, y_test; there is x_train, labels"):
        images(tmp_path / "i.npz")(0)


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_a_file_that_is_no_zip_or_cut_short_is_refused(tmp_path, content):
    path = save(tmp_path / "i.npz")
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)

    with fails("is not an .npz file"):
        images(path)(0)


def test_a_member_that_is_no_array_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "i.npz", "w") as archive:
        for name in arrays():
            archive.writestr(f"{name}.npy", b"no array")

    with fails("i.npz: x_train cannot be read: it is not a .npy file"):
        images(tmp_path / "i.npz")(0)


@pytest.mark.parametrize("compress", [False, True])
def test_a_damaged_member_is_refused(tmp_path, compress):
    path = save(tmp_path / "i.npz", compress)
    content = bytearray(path.read_bytes())
    content[60:120] = bytes(60)
    path.write_bytes(content)

    with fails("i.npz: x_train cannot be read: "):
        images(path)(0)


def test_a_damaged_pixel_is_refused(tmp_path):
    path = save(tmp_path / "i.npz")
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)

    with fails("i.npz: x_train cannot be read: Bad CRC-32"):
        images(path)(0)


def test_new_images_are_read_from_both_kinds_of_file(tmp_path):
    new = arrays()["x_test"]
    np.save(tmp_path / "new.npy", new)
    np.savez(tmp_path / "new.npz", x=new, y=new[:, 0, 0])
    np.savez(tmp_path / "test.npz", x_test=new)

    for name in ("new.npy", "new.npz", "test.npz"):
        np.testing.assert_array_equal(read_images(tmp_path / name)[..., 0], new)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "new.npy cannot be read as .npy or .npz: "),
        (b"no array", "new.npy cannot be read as .npy or .npz: "),
        (None, "has no array x or x_test; there is labels"),
    ],
)
def test_a_file_without_new_images_is_refused(tmp_path, content, message):
    path = tmp_path / "new.npy"
    if content is None:
        np.savez(tmp_path / "new.npz", labels=np.zeros(3))
        path = tmp_path / "new.npz"
    else:
        path.write_bytes(content)

    with fails(message):
        read_images(path)


def test_a_missing_file_says_how_to_give_it(tmp_path):
    save(tmp_path / "mnist.npz")

    with fails("did you mean 'mnist.npz'?"):
        images(tmp_path / "mnst.npz")(0)
    with fails("is neither 'digits' nor a .npz file; did you mean 'digits'?"):
        images("digit")(0)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, True, "0.2", float("nan")])
def test_fractions_that_leave_a_part_empty_are_refused_at_once(fraction):
    with fails(f"validation is {fraction!r}, but must be a fraction between 0 and 1"):
        images("digits", validation=fraction)
