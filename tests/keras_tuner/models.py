"""Data and models that train in a moment."""

import keras
import numpy as np

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 4)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("float32")
X_HELD, Y_HELD = X[90:], Y[90:]
X_TRAIN, Y_TRAIN = X[:90], Y[:90]


def make_model(units=4, rate=0.01, **compiled):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    settings = {"loss": "binary_crossentropy", "metrics": ["accuracy"], **compiled}
    model.compile(keras.optimizers.Adam(rate), **settings)
    return model


def build(hp):
    return make_model(hp.Int("units", 2, 16, step=2), hp.Float("rate", 1e-3, 1e-1, sampling="log"))
