"""Write a job for a user's data: the shipped job for such data, with another recipe."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tune_jobs.engine.data.sources import find_file
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.modules import PACKAGE
from tune_jobs.engine.names import nearest

IMPORTS = """from trainables.compilation import compile_model
from trainables.fitting import fit
from trainables.layers import features, make_inputs
"""

TRAIN = """

def train(config, data):
    \"\"\"Fit the model of a config to data, and return it at its best epoch.\"\"\"
    return fit(build, config, data)

"""

DENSE = '''
def build(config):
    """Return the compiled model of a config."""
    import keras

    inputs = make_inputs(config)
    tensor = features(inputs, config)
    for layer in config["layers"]:
        tensor = keras.layers.Dense(
            layer["units"], kernel_initializer=config["kernel_initializer"]
        )(tensor)
        if config["batch_normalisation"]:
            tensor = keras.layers.BatchNormalization()(tensor)
        tensor = keras.layers.Activation("relu")(tensor)
        tensor = keras.layers.Dropout(layer["dropout"])(tensor)
    return compile_model(inputs, tensor, config)
'''

CONVOLUTIONS = '''
def build(config):
    """Return the compiled model of a config."""
    import keras

    inputs = make_inputs(config)
    tensor = features(inputs, config)
    for block in config["blocks"]:
        tensor = keras.layers.Conv2D(block["filters"], block["kernel_size"], padding="same")(tensor)
        if config["batch_normalisation"]:
            tensor = keras.layers.BatchNormalization()(tensor)
        tensor = keras.layers.Activation("relu")(tensor)
        if min(tensor.shape[1:3]) >= 4:
            tensor = keras.layers.MaxPooling2D()(tensor)
    tensor = keras.layers.Flatten()(tensor)
    tensor = keras.layers.Dense(config["dense_units"], activation="relu")(tensor)
    tensor = keras.layers.Dropout(config["dropout"])(tensor)
    return compile_model(inputs, tensor, config)
'''


@dataclass(frozen=True)
class Kind:
    """What a trainable learns from.

    Attributes:
        job: the shipped job.
        recipe: its data, as its file says it.
        build: a model to edit.
        endings: of files of such data.
        has_target: whether a column is predicted.
    """

    job: str
    recipe: str
    build: str
    endings: Sequence[str]
    has_target: bool


KINDS = {
    "tabular_mlp": Kind("tabular", "table()", DENSE, (".parquet", ".csv", ".csv.gz", ".tsv"), True),
    "image_cnn": Kind("images", 'images("mine.npz")', CONVOLUTIONS, (".npz",), False),
}


def write_job(
    path: str,
    *,
    data: str,
    target: str | None = None,
    trainable: str | None = None,
    with_trainable: bool = False,
    force: bool = False,
) -> str:
    """Write a job to a Python file.

    Args:
        path: the file.
        data: what the job learns from.
        target: the column, or columns separated by commas, of a table.
        trainable: ``tabular_mlp`` or ``image_cnn``; None for the one that the data suggest.
        with_trainable: whether the file has the model too, to be edited.
        force: whether to overwrite the file.

    Returns:
        The name of the trainable.

    Raises:
        JobError: if the file exists or is no Python file, the data do not exist, or options do not
            go together.
    """
    if not path.endswith(".py"):
        raise JobError(f"the job's file must end in .py, got {path!r}")
    if Path(path).exists() and not force:
        raise JobError(f"{path} exists; add --force to overwrite it")
    name = trainable or ("image_cnn" if data.endswith(".npz") else "tabular_mlp")
    if name not in KINDS:
        raise JobError(f"no trainable {name!r}{nearest(name, KINDS)} Known: {', '.join(KINDS)}")
    _check_data(name, data, target)
    try:
        Path(path).write_bytes(_text(path, name, data, target, with_trainable).encode())
    except OSError as error:
        raise JobError(f"{path} cannot be written: {error.strerror}") from None
    except UnicodeError:  # of names that the file system has as other bytes
        raise JobError(f"{path} cannot be written: a name in it is not UTF-8") from None
    return name


def _check_data(name: str, data: str, target: str | None) -> None:
    kind, is_folder = KINDS[name], find_file(data).is_dir()
    if not data.endswith(tuple(kind.endings)) and not (is_folder and kind.has_target):
        raise JobError(f"--data {data}: {name} takes {', '.join(kind.endings)}")
    if kind.has_target and not target:
        raise JobError(f"--target is missing: the column of {data} to predict")
    if target and not kind.has_target:
        raise JobError("--target does not apply: an .npz file has its own, y_train and y_test")


def _text(path: str, name: str, data: str, target: str | None, with_trainable: bool) -> str:
    """Return the text of the shipped job with other data, and with the model if it is wanted."""
    kind = KINDS[name]
    source = (PACKAGE / f"{kind.job}.py").read_text(encoding="utf-8")
    first = ast.parse(source).body[0]
    body = "".join(source.splitlines(keepends=True)[first.end_lineno :])
    body = body.replace(f"data={kind.recipe}", f"data={_recipe(kind, data, target)}")
    if with_trainable:
        body = body.replace(f"from trainables import {name}\n", IMPORTS)
        body = body.replace(f"trainable={name}.train", "trainable=train")
        imports, space = _after_imports(body)
        body = f"{imports}\n{kind.build}{TRAIN}{space}"
    file = shlex.quote(path)
    said = f"Tune a model on {Path(data).name}.\n\ntune-jobs check {file}\ntune-jobs run {file}\n"
    said = said.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""{said}"""\n{body}'


def _after_imports(body: str) -> tuple[str, str]:
    """Return the imports of a job, and what follows."""
    ends = body.index("\n\n", body.index("from tune_jobs.engine import"))
    return body[: ends + 1], body[ends + 1 :]


def _recipe(kind: Kind, data: str, target: str | None) -> str:
    if not kind.has_target:
        return f"images({_literal(data)})"
    names = [name.strip() for name in (target or "").split(",")]
    wanted = names[0] if len(names) == 1 else names
    return f"table({_literal(data)}, target={_literal(wanted)})"


def _literal(value: str | list[str]) -> str:
    """Return a text or several as Python source, in the double quotes of the other texts."""
    return json.dumps(value, ensure_ascii=False)
