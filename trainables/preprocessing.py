"""The preprocessing of a table's columns, as operations of Keras that an exported model has inside.

A model of few columns has an input for each. Keras takes time for every input and every layer, and
more for each the more there are; so a model of many columns has two inputs, which join the numbers
and the texts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

Column = Mapping[str, Any]  # the preprocessing of a column, as JSON
Pair = tuple["keras.KerasTensor", Column]

# With more columns, inputs join them.
MOST_INPUTS = 200

# By joined input, the type of its values.
DTYPES = {"numbers": "float64", "texts": "string"}


def add_preprocessing(
    finish: Callable[[str], keras.Model], columns: Sequence[Column]
) -> keras.Model:
    """Return a model of the raw columns around a model of the encoded matrix.

    Args:
        finish: returns the inner model, given its name.
        columns: the preprocessing of the columns.
    """
    import keras

    if len(columns) > MOST_INPUTS:
        encoder = make_wide_encoder(columns, "preprocessing")
        wide = {
            kind: keras.Input(tensor.shape[1:], name=kind, dtype=tensor.dtype)
            for kind, tensor in encoder.input.items()
        }
        return keras.Model(wide, finish("model")(encoder(wide)))
    names = _name_inputs([column["name"] for column in columns])
    inputs = {
        column["name"]: _make_input(column, name)
        for column, name in zip(columns, names, strict=True)
    }
    # With names that no column has, since all names in a Keras model must differ.
    taken = set(names)
    encoder = make_encoder(columns, _find_free_name("preprocessing", taken))
    inner = finish(_find_free_name("model", taken))
    with odd_names_allowed():
        return keras.Model(inputs, inner(encoder(list(inputs.values()))))


def list_joined(columns: Sequence[Column]) -> dict[str, list[str]]:
    """Return the names of the columns that each input joins; nothing if each has its own."""
    if len(columns) <= MOST_INPUTS:
        return {}
    found = split_columns(columns)
    return {kind: [column["name"] for column in known] for kind, known in found.items()}


def make_encoder(columns: Sequence[Column], name: str) -> keras.Model:
    """Return a model from the list of raw columns to the encoded float32 matrix.

    Numbers come first, computed in float64, then indicators of missing values, then codes.
    The kinds of columns are those of the engine's ``data/column_kinds.py``: a new kind needs its
    operations here.
    """
    import keras

    inputs = [_make_input(column, f"column_{index}") for index, column in enumerate(columns)]
    pairs = list(zip(inputs, columns, strict=True))
    numeric = [pair for pair in pairs if pair[1]["kind"] != "categorical"]
    categorical = [pair for pair in pairs if pair[1]["kind"] == "categorical"]
    parts: list[keras.KerasTensor] = []
    if numeric:
        tensors, known = zip(*numeric, strict=True)
        parts += encode_numbers(_join(tensors), known)
    if categorical:
        parts.append(encode_categories(categorical))
    return keras.Model(inputs, _join(parts), name=name)


def make_wide_encoder(columns: Sequence[Column], name: str) -> keras.Model:
    """Return a model from the joined numbers and the joined texts to the same encoded matrix.

    Its size and the time it takes grow with the columns: it has no layer of any one column.
    """
    import keras

    inputs: dict[str, keras.KerasTensor] = {}
    parts: list[keras.KerasTensor] = []
    for kind, known in split_columns(columns).items():
        inputs[kind] = keras.Input((len(known),), name=kind, dtype=DTYPES[kind])
        if kind == "numbers":
            parts += encode_numbers(inputs[kind], known)
        else:
            parts.append(look_up_together(inputs[kind], known))
    return keras.Model(inputs, _join(parts), name=name)


def encode_numbers(
    values: keras.KerasTensor, columns: Sequence[Column]
) -> Iterator[keras.KerasTensor]:
    """Yield the standardised numeric columns, and their indicators of missing values if any."""
    from keras import ops

    fill, mean, scale = (
        np.array([column[key] for column in columns], "float64")
        for key in ("fill", "mean", "scale")
    )
    missing = ops.isnan(values)
    filled = ops.where(missing, fill, values)
    yield ops.cast(ops.divide(ops.subtract(filled, mean), scale), "float32")
    indicated = [index for index, column in enumerate(columns) if column["indicator"]]
    if indicated:
        yield ops.cast(ops.take(missing, indicated, axis=1), "float32")


def encode_categories(pairs: Sequence[Pair]) -> keras.KerasTensor:
    """Return the code of each categorical column: the category's number from 1, or 0 if unknown.

    Raises:
        ValueError: if numpy's and Keras' strings cannot hold a category.
    """
    from keras import layers, ops

    _check_categories(column for _, column in pairs)
    codes = [
        layers.StringLookup(
            # Even a column without categories needs a table; the minimum below undoes its code.
            vocabulary=list(column["categories"]) or ["-"],
            mask_token=None,
            oov_token="",
        )(tensor)
        for tensor, column in pairs
    ]
    highest = np.array([len(column["categories"]) for _, column in pairs])
    return ops.cast(ops.minimum(_join(codes), highest), "float32")


def look_up_together(texts: keras.KerasTensor, columns: Sequence[Column]) -> keras.KerasTensor:
    """Return the codes of many categorical columns, as :func:`encode_categories` does of a few.

    One table numbers the texts of all columns. A pair of column and text is a key, and the code is
    found beside the key among those that are known, in their order.

    Raises:
        ValueError: if numpy's and Keras' strings cannot hold a category.
    """
    from keras import layers, ops

    _check_categories(columns)
    vocabulary = sorted({text for column in columns for text in column["categories"]})
    keys, codes = _list_keys(columns, vocabulary)
    if not len(keys):
        return ops.zeros_like(ops.equal(texts, ""), dtype="float32")
    lookup = layers.StringLookup(vocabulary=vocabulary, mask_token=None, oov_token="")
    own = np.arange(len(columns), dtype="int64") * (len(vocabulary) + 1)
    wanted = ops.reshape(ops.add(ops.cast(lookup(texts), "int64"), own), (-1,))
    places = ops.minimum(ops.searchsorted(keys, wanted), len(keys) - 1)
    is_known = ops.equal(ops.take(keys, places, axis=0), wanted)
    found = ops.where(is_known, ops.take(codes, places, axis=0), np.float32(0))
    return ops.cast(ops.reshape(found, (-1, len(columns))), "float32")


def _list_keys(
    columns: Sequence[Column], vocabulary: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the known pairs of column and text as numbers in order, and the code of each."""
    places = {text: place for place, text in enumerate(vocabulary, start=1)}
    pairs = [
        (number * (len(vocabulary) + 1) + places[text], code)
        for number, column in enumerate(columns)
        for code, text in enumerate(column["categories"], start=1)
    ]
    pairs.sort()
    keys = np.array([key for key, _ in pairs], "int64")
    return keys, np.array([code for _, code in pairs], "float32")


def split_columns(columns: Sequence[Column]) -> dict[str, list[Column]]:
    """Return the columns by the input that joins them; no input joins none."""
    found: dict[str, list[Column]] = {}
    for kind in DTYPES:
        is_text = kind == "texts"
        own = [each for each in columns if (each["kind"] == "categorical") == is_text]
        found |= {kind: own} if own else {}
    return found


def _make_input(column: Column, name: str) -> keras.KerasTensor:
    import keras

    dtype = "string" if column["kind"] == "categorical" else "float64"
    return keras.Input((1,), name=name, dtype=dtype)


def _check_categories(columns: Iterable[Column]) -> None:
    for column in columns:
        for category in column["categories"]:
            if category == "" or category.endswith("\0"):
                raise ValueError(
                    f"column '{column['name']}': category {category!r} is empty or ends in a null "
                    "character, which numpy's and Keras' strings cannot hold"
                )


def _join(tensors: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    from keras import ops

    return ops.concatenate(tensors, axis=1) if len(tensors) > 1 else tensors[0]


def _name_inputs(names: Sequence[str]) -> list[str]:
    taken = set(names)
    return [
        name
        if name and name.isprintable() and "/" not in name
        else _find_free_name(f"column_{index}", taken)
        for index, name in enumerate(names)
    ]


def _find_free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


@contextmanager
def odd_names_allowed() -> Iterator[None]:
    """Let a column have a name that no input of Keras can have; the dict's key is what counts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="When providing `inputs` as a dict")
        yield
