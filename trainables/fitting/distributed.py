"""Fits of one model on several devices, under a strategy of TensorFlow's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.plain import fit_plainly, make_batches
from trainables.fitting.session import Session
from trainables.fitting.task import Task

if TYPE_CHECKING:
    import keras


def fit_distributed(
    task: Task, session: Session, callbacks: Sequence[Any], strategy: Any
) -> keras.Model:
    """Fit a task with ``model.fit``, each batch divided among a strategy's devices.

    Raises:
        ValueError: for a batch that cannot be divided evenly, or accumulated gradients.
    """
    devices = int(strategy.num_replicas_in_sync)
    if isinstance(task.data.x_train, np.ndarray) and task.batch_size % devices:
        raise ValueError(
            f"batch_size is {task.batch_size}, but must be a multiple of {devices}, the devices "
            "that each batch is divided among"
        )
    with strategy.scope():
        whole = replace(task, devices=devices)
        return fit_plainly(replace(whole, build=lambda: _build(whole)), session, callbacks)


def _build(task: Task) -> keras.Model:
    """Return a task's model as Keras 3.15 can train it under a strategy.

    TensorFlow cannot update mirrored variables inside a condition, which several steps in a call
    and accumulated gradients are. Before it trains and before it scores, Keras makes what variables
    are missing from the mean of a first batch over the devices, which fails where that has unequal
    parts, as validation data may have; so they are made here, and that moment serves to average
    what the devices have come to differ in.

    Raises:
        ValueError: for accumulated gradients.
    """
    model = task.build()
    if getattr(model, "optimizer", None) is None:
        return model  # refused with its own message
    if model.optimizer.gradient_accumulation_steps:
        raise ValueError("accumulated gradients do not work on several devices; enlarge batch_size")
    model.steps_per_execution = 1
    model._symbolic_build(data_batch=_first_batch(task))
    model._maybe_symbolic_build = lambda **_: _average_statistics(model)
    return model


def _average_statistics(model: keras.Model) -> None:
    """Give all devices the mean of the moving statistics, of which each keeps its own.

    A model's values are read from the first device alone, but every device scores its part.
    """
    for variable in model.non_trainable_weights:
        values = getattr(variable.value, "values", ())
        if len(values) > 1 and variable.dtype.startswith("float"):
            variable.assign(np.mean([value.numpy() for value in values], axis=0))


def _first_batch(task: Task) -> Any:
    data = task.data.x_train
    if isinstance(data, np.ndarray):
        return make_batches(task, task.replicas[0])[0]
    return next(iter(data))
