"""A trained model as one ``.keras`` file that takes raw columns, and predictions from that file.

The file holds the preprocessing as Keras' own operations, so plain Keras loads it in safe mode.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting import Config
from trainables.fitting.checkpoints import load_weights
from trainables.fitting.devices import prepare_gpus
from trainables.fitting.ends import ModelError
from trainables.fitting.outputs import check_model, outputs_of, read_outputs
from trainables.model_file import MAIN, Registered, check_config, check_model_file
from trainables.preprocessing import Column, add_preprocessing, list_joined, odd_names_allowed

if TYPE_CHECKING:
    import keras

Inputs = Mapping[str, np.ndarray] | np.ndarray
Joined = Mapping[str, Sequence[str]]  # by input, the columns that it joins

ROWS_PER_BATCH = 1024
CELLS_PER_BATCH = 2**24
MOST_NAMED = 50  # columns in a message

# The file inside a model file that names the columns which its inputs join.
JOINED = "columns.json"

__all__ = [
    "check_model",
    "check_savable",
    "export",
    "load",
    "predict",
    "read_outputs",
]


def export(
    build: Callable[[Config], keras.Model],
    config: Config | Sequence[Config],
    checkpoint: str | Path | None,
    preprocessing: Mapping[str, Any] | None,
    path: str | Path,
) -> None:
    """Write the model of a config, with its preprocessing, as one file at ``path``.

    The exported model of a table takes a dict with a (rows, 1) array per raw column: float64 with
    NaN for missing values, or strings with "" for missing values. Of many columns it takes two
    matrices instead, ``numbers`` and ``texts``. That of images takes the images.
    Its outputs are probabilities, even if the models' are logits, or numbers in the target's unit.

    Args:
        build: returns the model of a config.
        config: the model's config; or several, of models whose outputs are averaged.
        checkpoint: the folder of the weights; None for the weights that ``build`` sets.
        preprocessing: the preprocessing of the columns and the target, as JSON; None for data that
            the trainable prepares itself, whose model is saved as it is.
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
    joined: Joined = {}
    if preprocessing is None:
        model = _without_optimizer(model)
    elif preprocessing["columns"] is None:
        model = add_units(model, preprocessing["target"])
    else:
        columns = preprocessing["columns"]
        model = add_preprocessing(partial(add_units, model, preprocessing["target"]), columns)
        joined = list_joined(columns)
    _save(model, Path(path), joined)


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
            raise ValueError(f"{name} needs {each.name!r}, which {_how_to_get(each)}")
    prepare_gpus()
    try:
        with odd_names_allowed():
            model = keras.saving.load_model(Path(path), safe_mode=True)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{name} cannot be loaded: {lines[0]}") from error
    object.__setattr__(model, "joined_columns", _read_joined(Path(path)))
    return model


def _how_to_get(needed: Registered) -> str:
    """Say where something that a model file needs comes from, and what to do."""
    if needed.module == MAIN:
        return (
            "a script or a notebook defines and registers; run its definition first (tune-jobs: "
            "--trust FILE, a file that has it)"
        )
    return (
        f"module {needed.module!r} registers; import that first (tune-jobs: --trust JOB, a job "
        "that imports it)"
    )


def check_savable(model: keras.Model) -> None:
    """Refuse a model that could not be read back from its file; nothing is written.

    Raises:
        ModelError: naming the layer.
    """
    import keras

    try:
        config = json.loads(_without_optimizer(model).to_json())
    except Exception:  # noqa: BLE001  # not known before it is saved
        return
    try:
        found = check_config(config, "the model")
    except ValueError as error:
        raise ModelError(str(error)) from None
    for each in found:
        if keras.saving.get_registered_object(each.name) is None:
            raise ModelError(
                f"the model could not be read from its file: {each.name!r} of module "
                f"{each.module!r} is not registered; decorate it with "
                "@keras.saving.register_keras_serializable()"
            )


def predict(model: keras.Model, inputs: Inputs) -> np.ndarray:
    """Return an exported model's outputs, of shape (rows, outputs), for raw columns or images.

    Columns are arrays of shape (rows,) or (rows, 1), strings of any numpy kind; columns that the
    model does not use are ignored. One batch of rows at a time is copied. ``model.predict`` would
    convert every float to float32; this keeps the float64 of large numbers such as timestamps.

    Raises:
        ValueError: if a column is missing.
    """
    joined: Joined = getattr(model, "joined_columns", None) or {}
    arrays = _select_columns(model, joined, inputs) if isinstance(inputs, Mapping) else inputs
    rows = len(next(iter(arrays.values())) if isinstance(arrays, dict) else arrays)
    columns = len(arrays) if isinstance(arrays, dict) else 1
    size = min(ROWS_PER_BATCH, max(1, CELLS_PER_BATCH // columns))
    parts = [
        model.predict_on_batch(_cut_batch(model, joined, arrays, slice(start, start + size)))
        for start in range(0, rows, size)
    ]
    return np.concatenate([np.empty((0, *model.output_shape[1:]), "float32"), *parts])


def add_units(model: keras.Model, target: Column, name: str = "model") -> keras.Model:
    """Return a model whose output is in the units of the target, without its optimizer."""
    import keras

    outputs = model.outputs[0]
    if target["task"] == "regression":
        scale, mean = target["scale"], target["mean"]
        outputs = keras.layers.Rescaling(scale, offset=mean, dtype="float64")(outputs)
    return keras.Model(model.inputs, outputs, name=name)


def _without_optimizer(model: keras.Model) -> keras.Model:
    """Return a model without its optimizer and its loss; one with its own ``call`` as it is."""
    import keras

    if isinstance(model, keras.Sequential) and model.inputs:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    try:
        return keras.Model(model.input, model.output, name=model.name)
    except AttributeError:  # it has no inputs of its own
        return model


def _save(model: keras.Model, path: Path, joined: Joined) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.keras")
    try:
        with odd_names_allowed():
            model.save(temporary)
        if joined:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(JOINED, json.dumps(joined))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_joined(path: Path) -> Joined:
    with zipfile.ZipFile(path) as archive:
        if JOINED not in archive.namelist():
            return {}
        found: Joined = json.loads(archive.read(JOINED))
        return found


def _select_columns(
    model: keras.Model, joined: Joined, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    names = [name for names in joined.values() for name in names] or list(model.input)
    if missing := [name for name in names if name not in inputs]:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        raise ValueError(
            f"column {missing[0]!r} is missing; the model needs: "
            f"{', '.join(names[:MOST_NAMED])}{more}"
        )
    return {name: np.asarray(inputs[name]) for name in names}


def _cut_batch(model: keras.Model, joined: Joined, arrays: Inputs, rows: slice) -> Any:
    from keras import ops

    if not isinstance(arrays, Mapping):
        return ops.convert_to_tensor(arrays[rows], dtype=model.inputs[0].dtype)
    cut = {name: array[rows].reshape(-1, 1) for name, array in arrays.items()}
    if joined:
        cut = {
            name: np.concatenate([cut[column] for column in columns], axis=1)
            for name, columns in joined.items()
        }
    return {
        name: ops.convert_to_tensor(cut[name], dtype=tensor.dtype)
        for name, tensor in model.input.items()
    }
