"""What outputs mean: probabilities in every way of writing them, or a line that says why not."""

from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from trainables.export import export, load, predict
from trainables.fitting import fit
from trainables.fitting.outputs import ModelError, check_model, outputs_of

BINARY = {"task": "binary", "outputs": 1}
CLASSES = {"task": "multiclass", "outputs": 3}
LABELS = {"task": "binary", "outputs": 3}
NUMBER = {"task": "regression", "outputs": 1}


def make(units, activation=None, loss="mean_squared_error", after=()):
    inputs = keras.Input((2,))
    tensor = keras.layers.Dense(units, activation=activation)(inputs)
    for layer in after:
        tensor = layer(tensor)
    model = keras.Model(inputs, tensor)
    model.compile(keras.optimizers.Adam(0.05), loss=loss)
    return model


def of_logits(name):
    return getattr(keras.losses, name)(from_logits=True)


def own(truth, outputs):
    return keras.losses.binary_crossentropy(truth, outputs, from_logits=True)


@pytest.mark.parametrize(
    ("config", "model", "activation"),
    [
        (BINARY, lambda: make(1, "sigmoid", "binary_crossentropy"), None),
        (BINARY, lambda: make(1, "sigmoid", own), None),
        (BINARY, lambda: make(1, "hard_sigmoid"), None),
        (BINARY, lambda: make(2, "softmax", "sparse_categorical_crossentropy"), None),
        (BINARY, lambda: make(1, None, of_logits("BinaryCrossentropy")), "sigmoid"),
        (BINARY, lambda: make(1, None, of_logits("BinaryFocalCrossentropy")), "sigmoid"),
        (BINARY, lambda: make(1, None, [of_logits("BinaryCrossentropy")]), "sigmoid"),
        (BINARY, lambda: make(2, None, of_logits("SparseCategoricalCrossentropy")), "softmax"),
        (
            BINARY,
            lambda: make(1, None, partial(keras.losses.binary_crossentropy, from_logits=True)),
            "sigmoid",
        ),
        # Keras itself takes the logits of a sigmoid, whatever the loss says.
        (BINARY, lambda: make(1, "sigmoid", of_logits("BinaryCrossentropy")), None),
        (CLASSES, lambda: make(3, "softmax", "sparse_categorical_crossentropy"), None),
        (CLASSES, lambda: make(3, None, of_logits("SparseCategoricalCrossentropy")), "softmax"),
        (CLASSES, lambda: make(3, after=[keras.layers.Softmax()]), None),
        (CLASSES, lambda: make(3, after=[keras.ops.softmax]), None),
        (CLASSES, lambda: make(3, "softmax", after=[keras.layers.Reshape((3,))]), None),
        (LABELS, lambda: make(3, "sigmoid", "binary_crossentropy"), None),
        (LABELS, lambda: make(3, None, of_logits("BinaryCrossentropy")), "sigmoid"),
        (BINARY, lambda: make(1, "sigmoid", after=[keras.layers.Activation("linear")]), None),
        (BINARY, lambda: make(1, lambda x: keras.ops.sigmoid(x), "binary_crossentropy"), None),
        (NUMBER, lambda: make(1), None),
        (NUMBER, lambda: make(3), None),
        ({}, lambda: make(1), None),
    ],
)
def test_the_missing_activation_follows_from_the_loss(config, model, activation) -> None:
    assert outputs_of(model(), config).activation == activation


@pytest.mark.parametrize(
    ("config", "model", "said"),
    [
        (CLASSES, lambda: make(1, "sigmoid"), "1 output, but the target has 3 classes: 3 outputs"),
        (CLASSES, lambda: make(4, "softmax"), "4 outputs, but the target has 3 classes"),
        (BINARY, lambda: make(3, "softmax"), "3 outputs, but the target has 2 classes: 1 or 2 out"),
        (LABELS, lambda: make(1, "sigmoid"), "1 output, but the target has 3 labels: 3 outputs"),
        (BINARY, lambda: make(1, "softmax"), "softmax of one output, which is always 1"),
        (BINARY, lambda: make(1, None, "binary_crossentropy"), "'linear' and its loss takes prob"),
        (BINARY, lambda: make(1, "tanh", "hinge"), "ends in 'tanh' with hinge"),
        (BINARY, lambda: make(1, None, own), "'linear' with own, so its outputs are no probab"),
        (CLASSES, lambda: make(3, "relu", "mse"), "end it in 'softmax', or give a cross-entropy"),
    ],
)
def test_outputs_that_cannot_be_read_are_refused(config, model, said) -> None:
    with pytest.raises(ModelError, match=said):
        outputs_of(model(), config)


@pytest.mark.parametrize("found", [None, 3, "model"])
def test_what_is_no_model_is_refused(found) -> None:
    with pytest.raises(ModelError, match=r"^build\(config\) returned .*must return a compiled mod"):
        check_model(found, BINARY)
    data = make_data(BINARY)
    with pytest.raises(ModelError, match=r"^build\(config\) returned .*must return a compiled mod"):
        fit(lambda _: found, {"max_epochs": 1}, data)


def make_data(config, rows=300, **more):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 2)).astype("float32")
    if config == CLASSES:
        y = np.where(x[:, 0] > 0.5, 0, np.where(x[:, 1] > 0, 1, 2)).astype("int32")
    elif config == LABELS:
        y = np.stack([x[:, 0] > 0, x[:, 1] > 0, x.sum(axis=1) > 0], axis=1).astype("float32")
    else:
        y = (x[:, 0] > 0).astype("float32")
    half = rows // 2
    parts = {"x_train": x[:half], "y_train": y[:half], "x_validation": x[half:]}
    return SimpleNamespace(**parts, y_validation=y[half:], **more)


@pytest.mark.parametrize("path", ["compiled", "model.fit"])
def test_values_that_nothing_says_to_be_probabilities_are_looked_at(path, monkeypatch) -> None:
    if path == "model.fit":
        monkeypatch.setattr("trainables.fitting.compiled.eligibility.why_not", lambda *_: "a test")
    data, config = make_data(BINARY), BINARY | {"max_epochs": 1}

    def odds(x):
        return 3 * x

    def probability(x):
        return keras.ops.sigmoid(x)

    fit(lambda _: make(1, probability), config, data)
    with pytest.raises(ModelError, match=r"outputs go from -.* but must be probabilities: end it"):
        fit(lambda _: make(1, odds), config, data)


WAYS = [
    (BINARY, lambda _: make(2, "softmax", "sparse_categorical_crossentropy"), [0, 1]),
    (BINARY, lambda _: make(1, None, of_logits("BinaryCrossentropy")), [0, 1]),
    (CLASSES, lambda _: make(3, None, of_logits("SparseCategoricalCrossentropy")), [0, 1, 2]),
    (LABELS, lambda _: make(3, None, of_logits("BinaryCrossentropy")), [0, 1]),
]


def share_right(truth, outputs):
    assert outputs.min() >= 0 and outputs.max() <= 1
    if truth.ndim == 2:
        return float(np.mean((outputs > 0.5) == truth))
    found = outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] > 0.5
    return float(np.mean(found == truth))


@pytest.mark.parametrize("path", ["compiled", "model.fit"])
@pytest.mark.parametrize(("about", "build", "classes"), WAYS)
def test_scorers_and_the_file_get_probabilities(
    about, build, classes, path, tmp_path, monkeypatch
) -> None:
    if path == "model.fit":
        monkeypatch.setattr("trainables.fitting.compiled.eligibility.why_not", lambda *_: "a test")
    data = make_data(about, scorers={"right": share_right})
    config = {**about, "max_epochs": 20, "metric": "val_right", "mode": "max", "seed": 1}
    model = fit(build, config, data)
    target = {"name": "y", "task": about["task"], "classes": classes}
    preprocessing = {"columns": None, "target": target}
    path = tmp_path / "best.keras"
    export(lambda _: model, config, None, preprocessing, path)
    outputs = predict(load(path), data.x_validation)
    right = share_right(data.y_validation, outputs)

    assert right > 0.9
    assert right == pytest.approx(max(model.history.history["val_right"]))


def export_both(models, folder):
    """The model that is the mean of two, read back from its file."""
    ready, path = iter(models), folder / "both.keras"
    target = {"name": "y", "task": "binary", "classes": [0, 1]}
    preprocessing = {"columns": None, "target": target}
    export(lambda _: next(ready), [BINARY, BINARY], None, preprocessing, path)
    return load(path)


def test_the_mean_of_models_is_that_of_their_probabilities(tmp_path) -> None:
    models = [make(1, None, of_logits("BinaryCrossentropy")), make(1, "sigmoid")]
    x = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")
    odds, probability = (np.asarray(model.predict(x, verbose=0)) for model in models)
    both_in_one = export_both(models, tmp_path)

    expected = (1 / (1 + np.exp(-odds)) + probability) / 2
    np.testing.assert_allclose(predict(both_in_one, x), expected, rtol=1e-5)


def test_the_mean_of_one_and_of_two_outputs_is_that_of_the_second_class(tmp_path) -> None:
    models = [make(2, "softmax", "sparse_categorical_crossentropy"), make(1, "sigmoid")]
    x = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")
    both, second = (np.asarray(model.predict(x, verbose=0)) for model in models)
    both_in_one = export_both(models, tmp_path)

    expected = (both[:, 1:] + second) / 2
    np.testing.assert_allclose(predict(both_in_one, x), expected, rtol=1e-5)
