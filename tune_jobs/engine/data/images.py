"""The recipe of a dataset of images: scikit-learn's digits, or a file in Keras' ``.npz`` layout."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tune_jobs.engine.data.dataset import Dataset, TrainingData, digest
from tune_jobs.engine.data.sources import find_file
from tune_jobs.engine.data.splitting import Array, Split, check_fractions, split_rows
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.names import nearest

NAMES = ("x_train", "y_train", "x_test", "y_test")
UNREADABLE = (
    *(OSError, ValueError, EOFError, NotImplementedError, RuntimeError, MemoryError),
    *(OverflowError, TypeError, SyntaxError, KeyError),
    *(zlib.error, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class Images:
    """The recipe of a dataset of images: called with a seed, it reads and splits.

    Raises:
        JobError: for a wrong field; when called, for data that cannot be learnt.
    """

    source: str | Path
    validation: float = 0.2
    test: float = 0.2

    def __post_init__(self) -> None:
        if not isinstance(self.source, str | Path) or not str(self.source):
            raise JobError(f"source is {self.source!r}, but must be 'digits' or a .npz file")
        check_fractions(validation=self.validation, test=self.test)

    def __call__(self, seed: int) -> Dataset:
        """Read the images and make their dataset; a file brings its own test set."""
        if str(self.source) == "digits":
            return _split_digits(self, seed)
        arrays = {name: _checked(name, array) for name, array in _read(self.source).items()}
        _check_together(arrays)
        classes = np.unique(arrays["y_train"])
        codes = np.searchsorted(classes, arrays["y_train"])
        split = split_rows(len(codes), seed, validation=self.validation, test=0, classes=codes)
        return _dataset(arrays, classes, split)


def images(source: str | Path, *, validation: float = 0.2, test: float = 0.2) -> Images:
    """Say which images to learn from; nothing is read before the recipe is called with a seed.

    Args:
        source: ``digits``, or a ``.npz`` file with ``x_train``, ``y_train``, ``x_test`` and
            ``y_test``: images of shape (rows, height, width) or (rows, height, width, channels),
            whole numbers of shape (rows,) or (rows, 1).
        validation: the fraction of the rows (in a file, of ``x_train``) to compare trials on.
        test: the fraction that the search never sees; a file brings its own test set.

    Raises:
        JobError: for a wrong argument.
    """
    return Images(source, validation, test)


def read_images(source: str | Path, shape: Sequence[int] | None = None) -> Array:
    """Read new images to predict: a ``.npy`` file, or ``x`` or ``x_test`` of an ``.npz`` file.

    Args:
        source: the file.
        shape: that of a row in training; with one side, rows of numbers are read, not images.

    Returns:
        Shape (rows, height, width, channels); a ``.npy`` file stays on disk and is mapped.

    Raises:
        JobError: for a file that cannot be read or holds no images.
    """
    path = find_file(source)
    if zipfile.is_zipfile(path):
        names = [name for name in ("x", "x_test") if name in _list_arrays(path)]
        if not names:
            raise JobError(f"{path} has no array x or x_test; there is {_shown(path)}")
        return check_rows(names[0], _load(path, names[:1])[names[0]], shape)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return check_rows(path.name, array, shape)
    except UNREADABLE as error:
        if isinstance(error, JobError):
            raise
        raise JobError(f"{path} cannot be read as .npy or .npz: {first_line(error)}") from None


def _split_digits(recipe: Images, seed: int) -> Dataset:
    from sklearn.datasets import load_digits

    found = load_digits()
    x, y = found.images.astype(np.uint8)[..., np.newaxis], found.target
    split = split_rows(
        len(y), seed, validation=recipe.validation, test=recipe.test, classes=y.astype(np.int64)
    )
    arrays = {"x_train": x, "y_train": y, "x_test": x[split.test], "y_test": y[split.test]}
    return _dataset(arrays, np.unique(y), split)


def _dataset(arrays: dict[str, Array], classes: Array, split: Split) -> Dataset:
    x, y = arrays["x_train"], np.searchsorted(classes, arrays["y_train"]).astype(np.int32)
    training = TrainingData(
        x[split.train], y[split.train], x[split.validation], y[split.validation]
    )
    return Dataset(
        training,
        arrays["x_test"],
        np.searchsorted(classes, arrays["y_test"]).astype(np.int32),
        raw_test=arrays["x_test"],
        signature=_signature(training.x_train, classes),
        preprocessing={
            "columns": None,
            "target": {"name": "y", "task": "multiclass", "classes": classes.tolist()},
        },
        fingerprint=digest(part for item in sorted(arrays.items()) for part in item),
    )


def _signature(x_train: Array, classes: Array) -> dict[str, Any]:
    maximum = float(x_train.max())
    if maximum <= 0:
        raise JobError(f"the largest value of x_train is {maximum:g}, but must be above 0")
    return {
        "task": "multiclass",
        "input_shape": list(x_train.shape[1:]),
        "outputs": len(classes),
        "rows": len(x_train),
        "maximum": maximum,
    }


def _read(source: str | Path) -> dict[str, Array]:
    text = str(source)
    if not text.endswith(".npz"):
        raise JobError(f"{text!r} is neither 'digits' nor a .npz file{nearest(text, ['digits'])}")
    path = find_file(source)
    if not zipfile.is_zipfile(path):
        raise JobError(f"{path} is not an .npz file: it is not a zip file, or is truncated")
    if absent := [name for name in NAMES if name not in _list_arrays(path)]:
        raise JobError(f"{path} has no array {', '.join(absent)}; there is {_shown(path)}")
    return _load(path, NAMES)


def _list_arrays(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as loaded:
        return list(loaded)


def _shown(path: Path) -> str:
    return ", ".join(_list_arrays(path)) or "nothing"


def _load(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """Read arrays of an ``.npz`` file into memory."""
    found = {}
    with np.load(path, allow_pickle=False) as loaded:
        for name in names:
            try:
                found[name] = loaded[name]
            except UNREADABLE as error:
                if "allow_pickle" in str(error):
                    raise JobError(
                        f"{path}: {name} holds Python objects, but must hold numbers"
                    ) from None
                raise JobError(f"{path}: {name} cannot be read: {first_line(error)}") from None
            if not isinstance(found[name], np.ndarray):
                raise JobError(f"{path}: {name} cannot be read: it is not a .npy file")
    return found


def _checked(name: str, array: Array) -> Array:
    return _checked_images(name, array) if name.startswith("x") else _checked_classes(name, array)


def check_rows(name: str, array: Array, shape: Sequence[int] | None) -> Array:
    """Return rows of the shape that they had in training, images with their channel.

    Raises:
        JobError: for rows of another shape, or of anything but numbers.
    """
    rows = _checked_images(name, array) if shape is None or len(shape) == 3 else array
    if shape is not None and (rows.shape[1:] != tuple(shape) or rows.dtype.kind not in "uifb"):
        sides = ", ".join(map(str, shape))
        raise JobError(
            f"{name} has the shape {array.shape} and the type {array.dtype}, but must be numbers "
            f"of shape (rows, {sides})"
        )
    return rows


def _checked_images(name: str, array: Array) -> Array:
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise JobError(
            f"{name} has the shape {array.shape}, but must be (rows, height, width) or "
            "(rows, height, width, channels)"
        )
    if array.dtype.kind not in "uifb":
        raise JobError(f"{name} has the type {array.dtype}, but must be numbers")
    if array.dtype not in (np.uint8, np.float32):
        array = array.astype(np.float32)
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise JobError(f"{name} has values that are infinite or not a number; replace them")
    return array if array.ndim == 4 else array[..., np.newaxis]


def _checked_classes(name: str, array: Array) -> Array:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "uib":
        raise JobError(
            f"{name} has the shape {array.shape} and the type {array.dtype}, "
            "but must be whole numbers of shape (rows,) or (rows, 1)"
        )
    return array


def _check_together(arrays: dict[str, Array]) -> None:
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if len(x) != len(y):
            raise JobError(f"x_{part} has {len(x):,} rows, but y_{part} has {len(y):,}")
    train, test = arrays["x_train"].shape[1:], arrays["x_test"].shape[1:]
    if train != test:
        raise JobError(f"images of x_train have the shape {train}, but those of x_test {test}")
    _check_classes(arrays["y_train"], arrays["y_test"])


def _check_classes(train: Array, test: Array) -> None:
    classes, counts = np.unique(train, return_counts=True)
    if len(classes) == 1:
        raise JobError(f"y_train is {classes[0]} in all rows; there is nothing to learn")
    if np.min(counts) < 2:
        raise JobError(f"class {classes[np.argmin(counts)]} has 1 image in y_train, but needs 2")
    if unknown := sorted(set(np.unique(test).tolist()) - set(classes.tolist())):
        raise JobError(f"class {unknown[0]} of y_test is not in y_train; classes: {classes}")
