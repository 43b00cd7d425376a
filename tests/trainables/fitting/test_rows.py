"""Data as ``model.fit`` takes it: dicts, lists and tables, several inputs and outputs."""

from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest

from trainables.export import export, load
from trainables.fitting import fit
from trainables.fitting.task import Replica

CONFIG = {"max_epochs": 2, "seed": 1, "batch_size": 20}
DRAW = np.random.default_rng(0)
X, V = DRAW.normal(size=(200, 6)).astype("float32"), DRAW.normal(size=(80, 6)).astype("float32")
Y, W = (X[:, 0] > 0).astype("float32"), (V[:, 0] > 0).astype("float32")


def compiled(model, **how):
    model.compile("adam", **{"loss": "binary_crossentropy"} | how)
    return model


def small(**how):
    layers = [keras.Input((6,)), keras.layers.Dense(1, activation="sigmoid")]
    return compiled(keras.Sequential(layers), **how)


def two_inputs(kind):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    output = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Concatenate()([a, b]))
    return compiled(keras.Model({"a": a, "b": b} if kind is dict else [a, b], output))


def two_outputs():
    inputs = keras.Input((6,))
    p = keras.layers.Dense(1, activation="sigmoid")(inputs)
    outputs = {"p": p, "q": keras.layers.Dense(1)(inputs)}
    return compiled(keras.Model(inputs, outputs), loss={"p": "binary_crossentropy", "q": "mse"})


def of_fixed_batches():
    layers = [
        keras.Input(batch_shape=(20, 2, 3)),
        keras.layers.LSTM(4),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    return compiled(keras.Sequential(layers))


def with_f1():
    return small(metrics=[keras.metrics.F1Score(threshold=0.5)])


FORMS = {
    "a dict": (
        lambda: two_inputs(dict),
        ({"a": X[:, :3], "b": X[:, 3:]}, Y, {"a": V[:, :3], "b": V[:, 3:]}, W),
    ),
    "a list": (lambda: two_inputs(list), ([X[:, :3], X[:, 3:]], Y, [V[:, :3], V[:, 3:]], W)),
    "a dict of targets": (two_outputs, (X, {"p": Y, "q": X[:, 0]}, V, {"p": W, "q": V[:, 0]})),
    "a DataFrame": (small, (pd.DataFrame(X), pd.Series(Y), pd.DataFrame(V), pd.Series(W))),
    "tensors": (small, tuple(map(keras.ops.convert_to_tensor, (X, Y, V, W)))),
    "a vector of metrics": (with_f1, (X, Y[:, None], V, W[:, None])),
    "fixed batches": (of_fixed_batches, (X.reshape(-1, 2, 3), Y, V.reshape(-1, 2, 3), W)),
}


def make_data(x_train, y_train, x_validation, y_validation, **more):
    return SimpleNamespace(
        x_train=x_train,
        y_train=y_train,
        x_validation=x_validation,
        y_validation=y_validation,
        **more,
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_fit_takes_what_keras_takes(form, tmp_path):
    build, sets = FORMS[form]
    model = fit(lambda _: build(), CONFIG, make_data(*sets))

    history = model.history.history
    assert len(history["val_loss"]) == 2
    again = model.evaluate(sets[2], sets[3], batch_size=20, verbose=0, return_dict=True)
    best = int(np.argmin(history["val_loss"]))
    for name, value in again.items():
        assert history[f"val_{name}"][best] == pytest.approx(value, abs=1e-5)
    export(lambda _: model, CONFIG, None, None, tmp_path / "best.keras")
    few = keras.tree.map_structure(lambda part: np.asarray(part)[:20], sets[2])
    expected, found = model.predict(few, verbose=0), load(tmp_path / "best.keras").predict(few)
    keras.tree.map_structure(np.testing.assert_allclose, expected, found)


def test_replicas_have_rows_of_dicts_and_lists():
    build, (x, y, _, _) = FORMS["a dict"]
    rows = [(np.arange(0, 100), np.arange(100, 200)), (np.arange(100, 200), np.arange(0, 100))]
    folds = tuple(Replica(seed, *each) for seed, each in enumerate(rows))
    model = fit(lambda _: build(), CONFIG, make_data(x, y, x, y, replicas=folds))

    alone = make_data(
        *(
            {name: part[kept] for name, part in x.items()} if part is x else part[kept]
            for kept in rows[0]
            for part in (x, y)
        )
    )
    other = fit(lambda _: build(), CONFIG | {"seed": 0}, alone)
    assert all(map(np.array_equal, model.get_weights(), other.get_weights()))


def test_a_vector_is_a_metric_for_each_of_its_places():
    def build(_):
        layers = [keras.Input((6,)), keras.layers.Dense(2, activation="softmax")]
        return compiled(
            keras.Sequential(layers),
            loss="categorical_crossentropy",
            metrics=[keras.metrics.F1Score()],
        )

    config = CONFIG | {"metric": "val_f1_score_1", "mode": "max"}
    both = [np.stack([1 - each, each], axis=1) for each in (Y, W)]
    model = fit(build, config, make_data(X, both[0], V, both[1]))

    assert model.evaluate(V, both[1], verbose=0, return_dict=True)["f1_score"].shape == (2,)


def test_a_fit_needs_no_validation_set():
    model = fit(lambda _: small(), CONFIG | {"metric": "loss"}, make_data(X, Y, None, None))

    assert list(model.history.history) == ["loss"]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (([[1.0, 2.0]], Y, V, W), r"x_train is a list, \[\[1.0, 2.0\]\], but must be an array, a"),
        ((X, {"p": "text"}, V, W), "y_train is a dict, {'p': 'text'}, but must be an array, a Dat"),
        ((X, Y[:5], V, W), "x_train has 200 rows, but y_train has 5"),
        (({"a": X, "b": V}, Y, V, W), r"the arrays of x_train differ in rows: \[80, 200\]"),
        ((None, Y, V, W), "data is a SimpleNamespace without x_train"),
        (("data.csv", Y, V, W), "x_train is a str, 'data.csv', but must be an array"),
    ],
)
def test_what_is_no_set_of_rows_is_named(sets, message):
    with pytest.raises(ValueError, match=message):
        fit(lambda _: small(), CONFIG, make_data(*sets))


def test_data_that_are_not_given_are_named():
    with pytest.raises(ValueError, match="data is None, but must have x_train, y_train"):
        fit(lambda _: small(), CONFIG, None)
