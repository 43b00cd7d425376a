from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from trainables import image_cnn

DIGITS = {
    "task": "multiclass",
    "input_shape": [8, 8, 1],
    "outputs": 10,
    "rows": 1200,
    "maximum": 16.0,
    "blocks": [{"filters": 16, "kernel_size": 3}],
    "dense_units": 32,
    "batch_size": 64,
}


@pytest.mark.parametrize("shape", [[8, 8, 1], [28, 28, 1], [32, 32, 3], [1, 1, 1], [5, 40, 2]])
def test_three_blocks_suit_every_image_size(shape):
    blocks = [{"filters": 4, "kernel_size": 5}] * 3
    model = image_cnn.build(DIGITS | {"input_shape": shape, "blocks": blocks})

    assert model.predict(np.zeros((2, *shape), "uint8"), verbose=0).shape == (2, 10)


def test_build_has_the_parameters_of_its_config():
    config = DIGITS | {
        "blocks": [{"filters": 4, "kernel_size": 3}, {"filters": 6, "kernel_size": 5}]
    }

    # Two blocks pool 8 x 8 to 2 x 2.
    expected = (9 * 4 + 4) + (25 * 4 * 6 + 6) + (4 * 6 * 32 + 32) + (32 * 10 + 10)
    assert image_cnn.build(config).count_params() == expected
    assert image_cnn.build(config).count_params() == expected


def test_train_learns_real_digits():
    x, y = load_digits(return_X_y=True)
    x, y = x.reshape(-1, 8, 8, 1).astype("uint8"), y.astype("int32")
    data = SimpleNamespace(
        x_train=x[:1200], y_train=y[:1200], x_validation=x[1200:1500], y_validation=y[1200:1500]
    )
    config = DIGITS | {"batch_normalisation": True, "dropout": 0.2, "max_epochs": 4}
    config |= {"optimizer": {"name": "adam", "learning_rate": 0.005}}

    assert max(image_cnn.train(config, data).history.history["val_accuracy"]) > 0.9


def test_a_table_is_refused():
    with pytest.raises(ValueError, match=r"needs images .* got \(30,\); use tabular_mlp"):
        image_cnn.build(DIGITS | {"input_shape": [30]})
