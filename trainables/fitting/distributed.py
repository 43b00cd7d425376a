"""Fits of one model on several devices, under a strategy of TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.callbacks import Lists
from trainables.fitting.compiled.keras_internals import (
    build_variables,
    check_internals,
    replace_late_build,
)
from trainables.fitting.models import Build
from trainables.fitting.plain import fit_plainly, make_batches
from trainables.fitting.rows import are_rows
from trainables.fitting.session import Session
from trainables.fitting.task import Task

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def fit_distributed(
    build: Build,
    task: Task,
    session: Session,
    callbacks: Lists,
    strategy: tf.distribute.Strategy,
) -> keras.Model:
    """Fit a model with ``model.fit``, each batch divided among a strategy's devices.

    Raises:
        ValueError: if a batch cannot be divided evenly, or the optimizer accumulates gradients.
        UnsupportedVersionError: if the installed Keras lacks what this needs.
    """
    check_internals("fit on several devices")
    devices = int(strategy.num_replicas_in_sync)
    if are_rows(task.data.x_train) and task.batch_size % devices:
        raise ValueError(
            f"batch_size is {task.batch_size}, but must be a multiple of {devices}, the devices "
            "that each batch is divided among"
        )
    with strategy.scope():
        whole = replace(task, devices=devices)
        return fit_plainly(lambda: _build(build, whole), whole, session, callbacks)


def _build(build: Build, task: Task) -> keras.Model:
    """Build a model so that Keras 3.15 can train it under a strategy.

    TensorFlow cannot update mirrored variables inside a condition, which several steps per call and
    accumulated gradients need. Before it trains and before it scores, Keras creates the variables
    that are missing, from the mean of a first batch over the devices. That fails if the batch has
    unequal parts, as validation data may have. So they are created here, and instead the statistics
    that differ between the devices are averaged at that point.

    Raises:
        ValueError: if the optimizer accumulates gradients.
    """
    model = build()
    if getattr(model, "optimizer", None) is None:
        return model  # refused with its own message
    if model.optimizer.gradient_accumulation_steps:
        raise ValueError("accumulated gradients do not work on several devices; enlarge batch_size")
    model.steps_per_execution = 1
    build_variables(model, _first_batch(task))
    replace_late_build(model, lambda: _average_statistics(model))
    return model


def _average_statistics(model: keras.Model) -> None:
    """Set the moving statistics, which each device keeps for itself, to their mean.

    A model's values are read from the first device alone, but every device scores a share of rows.
    """
    for variable in model.non_trainable_weights:
        values = getattr(variable.value, "values", ())
        if len(values) > 1 and variable.dtype.startswith("float"):
            variable.assign(np.mean([value.numpy() for value in values], axis=0))


def _first_batch(task: Task) -> Any:
    data = task.data.x_train
    if are_rows(data):
        return make_batches(task, task.replicas[0])[0]
    return next(iter(data))
