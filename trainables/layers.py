"""The two ends of every model: features of its encoded inputs, and the output of its task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

    from trainables.fitting import Config

# A categorical column with more codes than this is embedded; with fewer it is one-hot.
MOST_ONE_HOT_CODES = 32

# More columns than this are embedded together.
MOST_EMBEDDINGS = 50

OUTPUT_ACTIVATIONS = {"binary": "sigmoid", "multiclass": "softmax", "regression": "linear"}


def make_inputs(config: Config) -> keras.KerasTensor:
    """Return the model's input: encoded table rows or images."""
    import keras

    return keras.Input(shape=tuple(config["input_shape"]), name="inputs")


def features(inputs: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Return a table's numbers with its codes one-hot or embedded, or images scaled to [0, 1]."""
    import keras

    if len(config["input_shape"]) > 1:
        return keras.layers.Rescaling(1 / (config.get("maximum") or 1))(inputs)
    categories = list(config.get("categories", ()))
    if not categories:
        return inputs
    first_code = config["input_shape"][0] - len(categories)
    codes = dict(enumerate(categories, start=first_code))
    small = {column: count for column, count in codes.items() if count <= MOST_ONE_HOT_CODES}
    parts = [inputs[:, :first_code]] if first_code else []
    parts += [one_hot(inputs, small)] if small else []
    large = {column: count for column, count in codes.items() if column not in small}
    if len(large) > MOST_EMBEDDINGS:
        parts += embed_together(inputs, large, config.get("embedding_units"))
    else:
        units = config.get("embedding_units")
        parts += [embed(inputs, column, count, units) for column, count in large.items()]
    return keras.ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def one_hot(inputs: keras.KerasTensor, counts: dict[int, int]) -> keras.KerasTensor:
    """Return the one-hot form of columns, given the number of codes of each, in one comparison."""
    from keras import ops

    columns = [column for column, count in counts.items() for _ in range(count)]
    codes = np.concatenate([np.arange(count, dtype="float32") for count in counts.values()])
    return ops.cast(ops.equal(ops.take(inputs, columns, axis=1), codes), "float32")


def embed(
    inputs: keras.KerasTensor, column: int, count: int, units: int | None = None
) -> keras.KerasTensor:
    """Return a learned vector for each code of a column, of the width that fastai uses or given."""
    import keras

    return keras.layers.Embedding(count, units or width_of(count))(inputs[:, column])


def embed_together(
    inputs: keras.KerasTensor, counts: dict[int, int], units: int | None = None
) -> Iterator[keras.KerasTensor]:
    """Yield the vectors of many columns, with one table for all columns of a width.

    Keras takes time for each layer, and the more the more there are.
    """
    from keras import layers, ops

    widths: dict[int, list[int]] = {}
    for column, count in counts.items():
        widths.setdefault(units or width_of(count), []).append(column)
    for width, columns in widths.items():
        sizes = [counts[column] for column in columns]
        first = np.cumsum([0, *sizes[:-1]]).astype("float32")
        rows = ops.add(ops.take(inputs, columns, axis=1), first)
        vectors = layers.Embedding(sum(sizes), width)(rows)
        yield layers.Reshape((len(columns) * width,))(vectors)


def width_of(count: int) -> int:
    """Return the width of the vectors of so many codes."""
    return int(min(50, round(1.6 * count**0.56)))


def output(tensor: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Return the task's output: sigmoid, softmax or linear unless the config says otherwise.

    With the loss ``poisson`` it is exponential, so that a count is never negative. There is an
    output for each of the config's ``quantiles``.
    """
    import keras

    usual = "exponential" if config.get("loss") == "poisson" else OUTPUT_ACTIVATIONS[config["task"]]
    activation = config.get("output_activation", usual)
    count = len(config.get("quantiles") or ()) or config["outputs"]
    return keras.layers.Dense(count, activation=activation, name="outputs")(tensor)
