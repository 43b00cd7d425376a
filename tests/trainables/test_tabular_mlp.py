from types import SimpleNamespace

import numpy as np
import pytest
from ray import tune

from trainables import tabular_mlp

TABLE = {"task": "multiclass", "input_shape": [4], "outputs": 3, "rows": 60, "categories": [3]}
LAYERS = [{"units": 8, "dropout": 0.1}, {"units": 4}]


def test_build_has_one_dense_layer_for_each_layer_of_the_config():
    model = tabular_mlp.build(TABLE | {"layers": LAYERS})

    # Three numbers and three codes one-hot, then 8, 4 and 3 units with their biases.
    assert model.count_params() == (6 * 8 + 8) + (8 * 4 + 4) + (4 * 3 + 3)


def test_build_is_pure():
    config = TABLE | {"layers": LAYERS, "batch_normalisation": True}
    first, second = tabular_mlp.build(config), tabular_mlp.build(config)

    assert first.count_params() == second.count_params()
    assert config == TABLE | {"layers": LAYERS, "batch_normalisation": True}


def test_build_follows_the_hidden_hyperparameters():
    config = TABLE | {"layers": LAYERS, "kernel_initializer": "he_normal", "activation": "tanh"}
    kinds = [type(layer).__name__ for layer in tabular_mlp.build(config).layers]
    dense = tabular_mlp.build(config).get_layer(index=kinds.index("Dense"))

    assert kinds.count("Dropout") == 2
    assert "BatchNormalization" not in kinds
    assert type(dense.kernel_initializer).__name__ == "HeNormal"


def test_images_are_flattened():
    config = {"task": "multiclass", "input_shape": [28, 28, 1], "outputs": 10, "maximum": 255.0}
    model = tabular_mlp.build(config | {"layers": [{"units": 32}]})

    assert model.count_params() == (784 * 32 + 32) + (32 * 10 + 10)
    assert model.predict(np.zeros((2, 28, 28, 1), "uint8"), verbose=0).shape == (2, 10)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_train_learns_the_task(task):
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 4)).astype("float32")
    y = {
        "binary": (x[:, 0] > 0).astype("float32"),
        "multiclass": np.digitize(x[:, 0], [-0.5, 0.5]).astype("int32"),
        "regression": x[:, 0],
    }[task]
    data = SimpleNamespace(x_train=x, y_train=y, x_validation=x[:99], y_validation=y[:99])
    config = {
        "task": task,
        "input_shape": [4],
        "outputs": 3 if task == "multiclass" else 1,
        "rows": 300,
        "layers": [{"units": 32}],
        "optimizer": {"name": "adam", "learning_rate": 0.02},
    }

    losses = tabular_mlp.train(config, data).history.history["val_loss"]
    assert min(losses) < losses[0] / 2


def test_the_architecture_has_two_to_six_layers_of_plain_ray_domains():
    layers = tabular_mlp.ARCHITECTURE["layers"]

    assert isinstance(layers, tune.search.sample.Categorical)
    assert [len(choice) for choice in layers.categories] == [2, 3, 4, 5, 6]
