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

# Encodings, in the order of their features.
KINDS = ("number", "date", "words", "categorical")

TEXTS = ("categorical", "words")  # kinds of columns whose raw values are texts


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

    Numbers come first, computed in float64, then indicators of missing values, then the parts of
    dates, words and codes.
    The kinds of columns are those of the engine's ``data/column_kinds.py``: a new kind needs its
    operations here.
    """
    import keras

    inputs = [_make_input(column, f"column_{index}") for index, column in enumerate(columns)]
    pairs = list(zip(inputs, columns, strict=True))
    of_kind = {kind: [pair for pair in pairs if kind_of(pair[1]) == kind] for kind in KINDS}
    parts: list[keras.KerasTensor] = []
    if of_kind["number"]:
        tensors, known = zip(*of_kind["number"], strict=True)
        parts += encode_numbers(_join(tensors), known)
    for tensor, column in of_kind["date"]:
        parts += encode_dates(tensor, column)
    parts += [encode_words(tensor, column) for tensor, column in of_kind["words"]]
    if of_kind["categorical"]:
        parts.append(encode_categories(of_kind["categorical"]))
    return keras.Model(inputs, _join(parts), name=name)


def kind_of(column: Column) -> str:
    """Return which of the encodings here a column has."""
    return str(column["kind"]) if column["kind"] in KINDS else "number"


def make_wide_encoder(columns: Sequence[Column], name: str) -> keras.Model:
    """Return a model from the joined numbers and the joined texts to the same encoded matrix.

    Its size and the time it takes grow with the columns: it has no layer of any one column.
    """
    import keras

    inputs: dict[str, keras.KerasTensor] = {}
    parts: dict[str, list[keras.KerasTensor]] = {kind: [] for kind in KINDS}
    for kind, known in split_columns(columns).items():
        tensor = inputs[kind] = keras.Input((len(known),), name=kind, dtype=DTYPES[kind])
        places = {own: [n for n, c in enumerate(known) if kind_of(c) == own] for own in KINDS}
        for place in places["date"]:
            parts["date"] += encode_dates(_pick(tensor, [place]), known[place])
        for place in places["words"]:
            parts["words"].append(encode_words(_pick(tensor, [place]), known[place]))
        for own, encode in (("number", encode_numbers), ("categorical", _look_up)):
            if places[own]:
                picked = tensor if len(places[own]) == len(known) else _pick(tensor, places[own])
                parts[own] += encode(picked, [known[place] for place in places[own]])
    return keras.Model(inputs, _join([part for kind in KINDS for part in parts[kind]]), name=name)


def _look_up(texts: keras.KerasTensor, columns: Sequence[Column]) -> Iterator[keras.KerasTensor]:
    yield look_up_together(texts, columns)


def _pick(tensor: keras.KerasTensor, places: Sequence[int]) -> keras.KerasTensor:
    """Return some columns of a matrix; that of texts has no operation but slices."""
    from keras import ops

    if tensor.dtype != "string":
        return ops.take(tensor, places, axis=1)
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return _join([tensor[:, run[0] : run[-1] + 1] for run in runs])


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


def encode_dates(days: keras.KerasTensor, column: Column) -> Iterator[keras.KerasTensor]:
    """Yield the standardised parts of a date, days since 1970, and its indicator if it has one.

    The arithmetic is that of the engine's ``data/kinds/dates.py``, number by number.
    """
    from keras import ops

    missing = ops.isnan(days)
    filled = ops.where(missing, np.float64(column["fill"]), days)
    parts = zip(column["parts"], column["means"], column["scales"], strict=True)
    for part, mean, scale in parts:
        value = DATE_PARTS[part](filled, column["first"])
        yield ops.cast(ops.divide(ops.subtract(value, mean), scale), "float32")
    if column["indicator"]:
        yield ops.cast(missing, "float32")


def encode_words(texts: keras.KerasTensor, column: Column) -> keras.KerasTensor:
    """Return for each word of a column whether a text has it."""
    from keras import layers, ops

    found = layers.TextVectorization(
        standardize="lower_and_strip_punctuation",
        split="whitespace",
        output_mode="multi_hot",
        vocabulary=list(column["words"]),
    )(texts)
    # Keras says that it has another shape than it has. The first is of all other words.
    flat = ops.reshape(found, (-1, len(column["words"]) + 1))
    return ops.cast(flat[:, 1:], "float32")


def _floor(value: Any) -> Any:
    from keras import ops

    return ops.floor(value)


def _civil(days: Any) -> tuple[Any, Any]:
    """Return year and month of days since 1970 (Howard Hinnant, ``civil_from_days``)."""
    from keras import ops

    shifted = _floor(days) + 719_468.0
    era = _floor(shifted / 146_097.0)
    day = shifted - era * 146_097.0
    leaps = _floor(day / 1460.0) - _floor(day / 36_524.0) + _floor(day / 146_096.0)
    year = _floor((day - leaps) / 365.0)
    rest = day - (365.0 * year + _floor(year / 4.0) - _floor(year / 100.0))
    march = _floor((5.0 * rest + 2.0) / 153.0)
    month = ops.where(march < 10.0, march + 3.0, march - 9.0)
    return year + era * 400.0 + ops.cast(month <= 2.0, "float64"), month


def _weekday(days: Any) -> Any:
    shifted = _floor(days) + 3.0
    return shifted - 7.0 * _floor(shifted / 7.0)


DATE_PARTS: dict[str, Callable[[Any, float], Any]] = {
    "days": lambda days, first: days - first,
    "year": lambda days, _: _civil(days)[0],
    "month": lambda days, _: _civil(days)[1],
    "weekday": lambda days, _: _weekday(days),
    "hour": lambda days, _: _floor((days - _floor(days)) * 24.0 + 1e-6),
}


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
        own = [each for each in columns if (each["kind"] in TEXTS) == is_text]
        found |= {kind: own} if own else {}
    return found


def _make_input(column: Column, name: str) -> keras.KerasTensor:
    import keras

    dtype = "string" if column["kind"] in TEXTS else "float64"
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
