"""A trained model as one ``.keras`` file that takes raw columns, and its predictions.

The file holds the preprocessing as Keras' own operations, so plain Keras loads it in safe mode.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.checkpoints import load_weights
from trainables.fitting.devices import prepare_gpus
from trainables.fitting.session import Config

if TYPE_CHECKING:
    import keras

Inputs = Mapping[str, np.ndarray] | np.ndarray
Column = Mapping[str, Any]

ROWS_PER_BATCH = 1024


def export(
    build: Callable[[Config], keras.Model],
    config: Config | Sequence[Config],
    checkpoint: str | Path | None,
    preprocessing: Mapping[str, Any],
    path: str | Path,
) -> None:
    """Write the model of a config, with its preprocessing, as one file at ``path``.

    For a table it takes a dict of one (rows, 1) array for each raw column: float64 with NaN for
    missing, or strings with "" for missing. For images it takes the images.

    Args:
        build: returns the model of a config.
        config: its config; or several, of models whose outputs are averaged.
        checkpoint: the folder of its weights; without one, those that ``build`` gives it.
        preprocessing: of the columns and the target, as JSON.
        path: of the file.
    """
    prepare_gpus()
    models = [build(each) for each in ([config] if isinstance(config, Mapping) else config)]
    if checkpoint is not None:
        load_weights(models[0], checkpoint)
    model = models[0] if len(models) == 1 else average(models)
    if preprocessing["columns"] is None:
        model = add_units(model, preprocessing["target"])
    else:
        model = add_preprocessing(model, preprocessing)
    _save(model, Path(path))


def average(models: Sequence[keras.Model]) -> keras.Model:
    """Return one model of the same inputs whose outputs are the means of these models' outputs."""
    import keras

    inputs = keras.Input(models[0].input_shape[1:], dtype=models[0].inputs[0].dtype)
    outputs = [
        # As a layer, a model with an optimizer would bring that into the file.
        keras.Model(model.inputs, model.outputs[0], name=f"member_{number}")(inputs)
        for number, model in enumerate(models)
    ]
    return keras.Model(inputs, keras.layers.Average(dtype="float32")(outputs))


def load(path: str | Path) -> keras.Model:
    """Return an exported model; safe mode executes nothing that the file might contain."""
    import keras

    prepare_gpus()
    with _odd_names_allowed():
        return keras.saving.load_model(Path(path), safe_mode=True)


def predict(model: keras.Model, inputs: Inputs) -> np.ndarray:
    """Return an exported model's outputs, shape (rows, outputs), for raw columns or images.

    Columns are arrays of shape (rows,) or (rows, 1), strings of any numpy kind; further columns
    are ignored. One batch of rows at a time is copied. Unlike ``model.predict``, which makes every
    float a float32 first, it keeps the float64 of large numbers such as timestamps.
    """
    arrays = _select_columns(model, inputs) if isinstance(inputs, Mapping) else inputs
    rows = len(next(iter(arrays.values())) if isinstance(arrays, dict) else arrays)
    parts = [
        model.predict_on_batch(_cut_batch(model, arrays, start))
        for start in range(0, rows, ROWS_PER_BATCH)
    ]
    return np.concatenate([np.empty((0, *model.output_shape[1:]), "float32"), *parts])


def add_preprocessing(model: keras.Model, preprocessing: Mapping[str, Any]) -> keras.Model:
    """Return a model of the raw columns around a model of the encoded matrix."""
    import keras

    columns = preprocessing["columns"]
    names = _name_inputs([column["name"] for column in columns])
    inputs = {
        column["name"]: _make_input(column, name)
        for column, name in zip(columns, names, strict=True)
    }
    # Named apart from the columns, since Keras wants every name of a model to be different.
    taken = set(names)
    encoder = make_encoder(columns, _find_free_name("preprocessing", taken))
    inner = add_units(model, preprocessing["target"], name=_find_free_name("model", taken))
    with _odd_names_allowed():
        return keras.Model(inputs, inner(encoder(list(inputs.values()))))


def add_units(model: keras.Model, target: Column, name: str = "model") -> keras.Model:
    """Return a model without its optimizer, whose output is in the units of the target."""
    import keras

    outputs = model.outputs[0]
    if target["task"] == "regression":
        scale, mean = target["scale"], target["mean"]
        outputs = keras.layers.Rescaling(scale, offset=mean, dtype="float64")(outputs)
    return keras.Model(model.inputs, outputs, name=name)


def make_encoder(columns: Sequence[Column], name: str) -> keras.Model:
    """Return a model from the list of raw columns to the encoded float32 matrix.

    Numbers come first, computed in float64, then the missing indicators, then the codes.
    """
    import keras

    inputs = [_make_input(column, f"column_{index}") for index, column in enumerate(columns)]
    pairs = list(zip(inputs, columns, strict=True))
    numeric = [pair for pair in pairs if pair[1]["kind"] != "categorical"]
    categorical = [pair for pair in pairs if pair[1]["kind"] == "categorical"]
    parts = [*encode_numbers(numeric)] if numeric else []
    parts += [encode_categories(categorical)] if categorical else []
    return keras.Model(inputs, _join(parts), name=name)


def encode_numbers(pairs: Sequence[tuple[Any, Column]]) -> Iterator[Any]:
    """Yield the standardised numeric columns, and the indicators of missing values if any."""
    from keras import ops

    columns = [column for _, column in pairs]
    fill, mean, scale = (
        np.array([column[key] for column in columns], "float64")
        for key in ("fill", "mean", "scale")
    )
    values = _join([tensor for tensor, _ in pairs])
    missing = ops.isnan(values)
    filled = ops.where(missing, fill, values)
    yield ops.cast(ops.divide(ops.subtract(filled, mean), scale), "float32")
    indicated = [index for index, column in enumerate(columns) if column["indicator"]]
    if indicated:
        yield ops.cast(ops.take(missing, indicated, axis=1), "float32")


def encode_categories(pairs: Sequence[tuple[Any, Column]]) -> Any:
    """Return the code of each categorical column: its place from 1, or 0 if missing or unknown."""
    from keras import layers, ops

    _check_categories(column for _, column in pairs)
    codes = [
        layers.StringLookup(
            # A column without known categories still needs a table; the minimum undoes its code.
            vocabulary=list(column["categories"]) or ["-"],
            mask_token=None,
            oov_token="",
        )(tensor)
        for tensor, column in pairs
    ]
    highest = np.array([len(column["categories"]) for _, column in pairs])
    return ops.cast(ops.minimum(_join(codes), highest), "float32")


def _make_input(column: Column, name: str) -> Any:
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


def _join(tensors: Sequence[Any]) -> Any:
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
def _odd_names_allowed() -> Iterator[None]:
    # Keras warns where a column's name cannot be an input's name; the dict's key counts.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="When providing `inputs` as a dict")
        yield


def _save(model: keras.Model, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.keras")
    try:
        with _odd_names_allowed():
            model.save(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _select_columns(model: keras.Model, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if missing := [name for name in model.input if name not in inputs]:
        raise ValueError(
            f"column '{missing[0]}' is missing; the model needs: {', '.join(model.input)}"
        )
    return {name: np.asarray(inputs[name]) for name in model.input}


def _cut_batch(model: keras.Model, arrays: Inputs, start: int) -> Any:
    from keras import ops

    rows = slice(start, start + ROWS_PER_BATCH)
    if not isinstance(arrays, Mapping):
        return ops.convert_to_tensor(arrays[rows], dtype=model.inputs[0].dtype)
    return {
        name: ops.convert_to_tensor(arrays[name][rows].reshape(-1, 1), dtype=tensor.dtype)
        for name, tensor in model.input.items()
    }
