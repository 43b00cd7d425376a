"""Search with scikit-learn's RandomizedSearchCV over Keras' own wrapper.

The wrapper one-hot encodes classes and refuses images, so the same loss has another form and there
is a reshaping layer. A clone of it loses ``fit_kwargs``, so they are passed to the search.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import family
from benchmarks.task import Task


def search(task: Task) -> dict[str, Any]:
    """Train all listed configs in one process."""
    return _search(task, n_jobs=1)


def search_in_two(task: Task) -> dict[str, Any]:
    """Train all listed configs in two processes."""
    return _search(task, n_jobs=2)


def build(X: Any, y: Any, config: dict[str, Any]) -> Any:  # noqa: N803 - called by Keras
    """Build the model of a config for flat rows."""
    import keras

    model = family.build_anew({**config, "loss": "categorical_crossentropy"})
    if len(config["input_shape"]) == 1:
        return model
    shaped = keras.Sequential(
        [keras.Input((X.shape[1],)), keras.layers.Reshape(config["input_shape"]), *model.layers]
    )
    optimizer = keras.optimizers.Adam(config["learning_rate"])
    shaped.compile(optimizer=optimizer, loss="categorical_crossentropy")
    return shaped


def last_loss(estimator: Any, *_: Any) -> float:
    """Return the negated validation loss of the last epoch, which the fit has already computed."""
    return -estimator.history_.history["val_loss"][-1]


def _search(task: Task, n_jobs: int) -> dict[str, Any]:
    from keras.wrappers import SKLearnClassifier
    from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV

    data = task.data()
    x_train, x_validation = (x.reshape(len(x), -1) for x in (data.x_train, data.x_validation))
    parts = np.repeat([-1, 0], [len(x_train), len(x_validation)])
    found = RandomizedSearchCV(
        SKLearnClassifier(build),
        {"model_kwargs": [{"config": {**config, **task.fixed}} for config in task.configs]},
        n_iter=task.trials,
        scoring=last_loss,
        n_jobs=n_jobs,
        refit=False,
        cv=PredefinedSplit(parts),
        random_state=task.seed,
        error_score="raise",
    ).fit(
        np.concatenate([x_train, x_validation]),
        np.concatenate([data.y_train, data.y_validation]),
        batch_size=family.BATCH_SIZE,
        epochs=task.epochs,
        validation_data=(x_validation, np.eye(task.fixed["outputs"])[data.y_validation]),
        verbose=0,
    )
    losses = (-found.cv_results_["mean_test_score"]).tolist()
    return {"losses": losses, "epochs": len(losses) * task.epochs}
