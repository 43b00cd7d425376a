"""A trained model as one ``.keras`` file that takes raw columns, and predictions from that file.

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

from trainables.fitting import Config
from trainables.fitting.checkpoints import load_weights
from trainables.fitting.devices import prepare_gpus
from trainables.fitting.outputs import check_model, outputs_of, read_outputs
from trainables.model_file import check_model_file

if TYPE_CHECKING:
    import keras

Inputs = Mapping[str, np.ndarray] | np.ndarray
Column = Mapping[str, Any]  # the preprocessing of a column, as JSON
Pair = tuple["keras.KerasTensor", Column]

ROWS_PER_BATCH = 1024

__all__ = ["check_model", "export", "load", "predict", "read_outputs"]


def export(
    build: Callable[[Config], keras.Model],
    config: Config | Sequence[Config],
    checkpoint: str | Path | None,
    preprocessing: Mapping[str, Any],
    path: str | Path,
) -> None:
    """Write the model of a config, with its preprocessing, as one file at ``path``.

    The exported model of a table takes a dict with a (rows, 1) array per raw column: float64 with
    NaN for missing values, or strings with "" for missing values. That of images takes the images.
    Its outputs are probabilities, even if the models' are logits, or numbers in the target's unit.

    Args:
        build: returns the model of a config.
        config: the model's config; or several, of models whose outputs are averaged.
        checkpoint: the folder of the weights; None for the weights that ``build`` sets.
        preprocessing: the preprocessing of the columns and the target, as JSON.
        path: the file to write.
    """
    prepare_gpus()
    configs = [config] if isinstance(config, Mapping) else config
    models = [build(each) for each in configs]
    if checkpoint is not None:
        load_weights(models[0], checkpoint)
    pairs = zip(models, configs, strict=True)
    models = [outputs_of(model, each).add_to(model) for model, each in pairs]
    model = models[0] if len(models) == 1 else average(models)
    if preprocessing["columns"] is None:
        model = add_units(model, preprocessing["target"])
    else:
        model = add_preprocessing(model, preprocessing)
    _save(model, Path(path))


def average(models: Sequence[keras.Model]) -> keras.Model:
    """Return a model of the same inputs whose output is the mean of these models' outputs.

    If some have one output and others two, the mean is that of the probability of the second class.
    """
    import keras

    if len({model.output_shape for model in models}) > 1:
        models = [keras.Model(model.inputs, model.outputs[0][:, -1:]) for model in models]
    inputs = keras.Input(models[0].input_shape[1:], dtype=models[0].inputs[0].dtype)
    outputs = [
        # Without its optimizer, which would be saved in the file too.
        keras.Model(model.inputs, model.outputs[0], name=f"member_{number}")(inputs)
        for number, model in enumerate(models)
    ]
    return keras.Model(inputs, keras.layers.Average(dtype="float32")(outputs))


def load(path: str | Path) -> keras.Model:
    """Load an exported model, in safe mode: no code that the file might contain is executed.

    Raises:
        ValueError: in one line, if the file is damaged, holds code, or needs a layer or loss that
            nobody has registered in this process.
    """
    import keras

    name = Path(path).name
    for each in check_model_file(Path(path).read_bytes(), name):
        if keras.saving.get_registered_object(each.name) is None:
            raise ValueError(
                f"{name} needs {each.name!r}, which module {each.module!r} registers; import that "
                "first (tune-jobs: --trust JOB, a job that imports it)"
            )
    prepare_gpus()
    try:
        with _odd_names_allowed():
            return keras.saving.load_model(Path(path), safe_mode=True)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{name} cannot be loaded: {lines[0]}") from error


def predict(model: keras.Model, inputs: Inputs) -> np.ndarray:
    """Return an exported model's outputs, of shape (rows, outputs), for raw columns or images.

    Columns are arrays of shape (rows,) or (rows, 1), strings of any numpy kind; columns that the
    model does not use are ignored. One batch of rows at a time is copied. ``model.predict`` would
    convert every float to float32; this keeps the float64 of large numbers such as timestamps.

    Raises:
        ValueError: if a column is missing.
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
    # With names that no column has, since all names in a Keras model must differ.
    taken = set(names)
    encoder = make_encoder(columns, _find_free_name("preprocessing", taken))
    inner = add_units(model, preprocessing["target"], name=_find_free_name("model", taken))
    with _odd_names_allowed():
        return keras.Model(inputs, inner(encoder(list(inputs.values()))))


def add_units(model: keras.Model, target: Column, name: str = "model") -> keras.Model:
    """Return a model whose output is in the units of the target, without its optimizer."""
    import keras

    outputs = model.outputs[0]
    if target["task"] == "regression":
        scale, mean = target["scale"], target["mean"]
        outputs = keras.layers.Rescaling(scale, offset=mean, dtype="float64")(outputs)
    return keras.Model(model.inputs, outputs, name=name)


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
    parts = [*encode_numbers(numeric)] if numeric else []
    parts += [encode_categories(categorical)] if categorical else []
    return keras.Model(inputs, _join(parts), name=name)


def encode_numbers(pairs: Sequence[Pair]) -> Iterator[keras.KerasTensor]:
    """Yield the standardised numeric columns, and their indicators of missing values if any."""
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
def _odd_names_allowed() -> Iterator[None]:
    # Keras warns if a column's name cannot be an input's name; the dict's key is what counts.
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
