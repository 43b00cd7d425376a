"""Fits that run ``model.fit``, because a model, a callback or an input pipeline needs it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.callbacks import (
    Lists,
    files_uploaded,
    folder_for_files,
    trained_in_turns,
)
from trainables.fitting.checkpoints import check_shapes, load_checkpoint, save_models
from trainables.fitting.curves import Curves, check_metric
from trainables.fitting.models import (
    Build,
    assign,
    build_with_seed,
    prepare_model,
    stack,
    state_of,
)
from trainables.fitting.outputs import check_values, outputs_of
from trainables.fitting.rows import are_rows, count_rows, take
from trainables.fitting.session import Session
from trainables.fitting.task import Replica, Task
from trainables.fitting.units import task_of

if TYPE_CHECKING:
    import keras

# What Keras says of an epoch: a value per metric, as numbers of Python or of a backend.
Logs = Mapping[str, Any]


class PlainFit:
    """The models of a task's replicas, trained by Keras and reported together."""

    def __init__(self, build: Build, task: Task, session: Session) -> None:
        import keras

        self.session = session
        with session.clock("building"):
            keras.utils.set_random_seed(task.replicas[0].seed)
            self.models = [
                build_with_seed(lambda: _build_whole(build, task), each.seed)
                for each in task.replicas
            ]
            check_values(self.models[0], task.config, task.data.x_validation)
        self.task = task_of(task, self.models[0])
        session.parameters = int(self.models[0].count_params())
        self.best = [state_of(model) for model in self.models]
        self.curves = Curves(self.task)
        session.resume(self._load)

    def end_epoch(self, logs: Sequence[Logs | None], seconds: float) -> None:
        """Add an epoch of all replicas, keep the best weights and report what is due."""
        plain = [each and as_numbers(each) for each in logs]
        check_metric(self.task, list(next(filter(None, plain))), in_tune=self.session.in_tune)
        self.session.note(self.curves.add(plain, seconds))
        for index, progress in enumerate(self.curves.progress):
            if plain[index] and progress.best_epoch == progress.epoch:
                self.best[index] = state_of(self.models[index])
        self.report(ended=self.curves.ended)

    def report(self, *, ended: bool) -> None:
        """Send the epochs that are due; all the rest if the fit has ended."""
        if self.session.is_due(self.curves.epoch, ended=ended):
            self.session.send(self.curves.score, self._save)

    def best_model(self) -> keras.Model:
        """Return the first replica's model with the weights that are kept."""
        model = self.models[0]
        assign(model, self.best[0], slots=False)
        return model

    def _save(self, folder: str) -> None:
        save_models(self.models, self.best, self.curves.progress, folder)

    def _load(self, folder: str) -> None:
        found, progress = load_checkpoint(folder)
        check_shapes(found, stack([state_of(model, slots=True) for model in self.models]), folder)
        self.curves = Curves(self.task, progress)
        for index, model in enumerate(self.models):
            one = {kind: [array[index] for array in arrays] for kind, arrays in found.items()}
            assign(model, one, slots=True)
            self.best[index] = {k: one[f"best_{k}"] for k in ("weights", "others")}


def _build_whole(build: Build, task: Task) -> keras.Model:
    """Build a model with all its variables; without an input layer it needs a batch for that.

    Raises:
        ValueError: if the model is not compiled.
    """
    model, x = build(), task.data.x_train
    if getattr(model, "optimizer", None) is None:
        raise ValueError("build(config) returned a model that is not compiled; call model.compile")
    if not model.built:
        model(take(x, slice(1)) if are_rows(x) else next(iter(x))[0])
        prepare_model(model, task.config)
    model.optimizer.build(model.trainable_variables)
    return model


def fit_plainly(
    build: Build, task: Task, session: Session, callbacks: Lists | None = None
) -> keras.Model:
    """Fit the replicas of a model with ``model.fit`` and return the first one's model.

    Several replicas take turns, epoch by epoch; each has its own callbacks.
    """
    run = PlainFit(build, task, session)
    lists = callbacks or [[] for _ in task.replicas]
    with files_uploaded(lists):
        if len(task.replicas) == 1:
            with folder_for_files(lists[0], ""):
                _fit_one(run, lists[0])
        else:
            with trained_in_turns(lists):
                _fit_in_turn(run, lists)
    run.report(ended=True)
    model = run.best_model()
    if len(task.replicas) > 1:
        model.history.history = run.curves.history
    return model


def _fit_one(run: PlainFit, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    import keras

    model, clock = run.models[0], [time.perf_counter()]

    def begin_epoch(epoch: int, logs: Logs) -> None:  # noqa: ARG001 - called by Keras
        clock[0] = time.perf_counter()

    def end_epoch(epoch: int, logs: Logs) -> None:  # noqa: ARG001 - called by Keras
        run.end_epoch([logs], time.perf_counter() - clock[0])
        if run.curves.ended:
            model.stop_training = True

    record = keras.callbacks.LambdaCallback(on_epoch_begin=begin_epoch, on_epoch_end=end_epoch)
    last = run.curves.epoch if run.curves.ended else run.task.epochs
    _call_fit(run, 0, last, [*callbacks, record])


def _fit_in_turn(run: PlainFit, callbacks: Lists) -> None:
    while not run.curves.ended and (active := _active(run)):
        before = time.perf_counter()
        logs: list[Logs | None] = [None] * len(run.models)
        for index in active:
            model = run.models[index]
            with folder_for_files(callbacks[index], f"replica-{index + 1}"):
                _call_fit(run, index, run.curves.epoch + 1, callbacks[index])
            logs[index] = {name: values[-1] for name, values in model.history.history.items()}
            if model.stop_training:
                run.curves.stopped.add(index)
        run.end_epoch(logs, time.perf_counter() - before)


def _active(run: PlainFit) -> list[int]:
    """Return which replicas train on: neither their patience nor a callback has ended them."""
    return [i for i in range(len(run.models)) if run.curves.is_active(i)]


def _call_fit(
    run: PlainFit, index: int, epochs: int, callbacks: Sequence[keras.callbacks.Callback]
) -> None:
    """Train one replica's model from the last epoch trained to another."""
    import keras

    task, replica = run.task, run.task.replicas[index]
    training, validation, sizes = _inputs(task, replica, run.models[index])
    first = run.curves.epoch
    order = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: getattr(training, "shuffle_rows", lambda _: None)(epoch)
    )
    if task.scorers:
        callbacks = [_make_scoring(task, replica, run.models[index]), *callbacks]
    run.models[index].fit(
        training,
        epochs=epochs,
        initial_epoch=first,
        validation_data=validation,
        callbacks=[order, *callbacks],
        shuffle=False,  # else Keras draws an order of the batches from the process' random state
        verbose=0,
        **sizes,
    )


def _make_scoring(task: Task, replica: Replica, model: keras.Model) -> keras.callbacks.Callback:
    """Return a callback that adds the scorers' values to an epoch's logs before others see them."""
    import keras

    x = take(task.data.x_validation, task.validation_rows(replica))
    meaning, size = outputs_of(model, task.config), _scored_at_once(task, model)

    def score(epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG001 - called by Keras
        outputs = model.predict(x, batch_size=size, verbose=0)
        outputs = meaning.read(np.asarray(outputs).reshape(count_rows(x), -1))
        scores = task.score(replica, outputs)
        logs.update(zip(task.scores, scores.tolist(), strict=True))

    return keras.callbacks.LambdaCallback(on_epoch_end=score)


def _as_tuples(value: Any) -> Any:
    """Return lists as tuples, which TensorFlow needs of a dataset."""
    if isinstance(value, list | tuple):
        return tuple(_as_tuples(part) for part in value)
    if isinstance(value, dict):
        return {name: _as_tuples(part) for name, part in value.items()}
    return value


def as_numbers(logs: Logs) -> dict[str, float]:
    """Return metrics as numbers; of an array of several each, with its place in the name."""
    found: dict[str, float] = {}
    for name, value in logs.items():
        flat = np.asarray(value).reshape(-1).tolist()
        names = [name] if len(flat) == 1 else [f"{name}_{place}" for place in range(len(flat))]
        found |= dict(zip(names, map(float, flat), strict=True))
    return found


def _scored_at_once(task: Task, model: keras.Model) -> int:
    """Return how many validation rows are scored at once: a batch if the model fixes its size."""
    shapes = [tensor.shape for tensor in getattr(model, "inputs", None) or ()]
    is_fixed = any(shape and shape[0] is not None for shape in shapes)
    return task.batch_size if is_fixed else task.validation_batch_size


def _inputs(task: Task, replica: Replica, model: keras.Model) -> tuple[Any, Any, dict[str, int]]:
    """Return training data, validation data and the size of its batches, for ``model.fit``."""
    data = task.data
    if not are_rows(data.x_train):
        return data.x_train, data.x_validation, {}
    if not are_rows(data.x_validation):  # none, or a dataset
        return make_batches(task, replica), data.x_validation, {}
    parts = [data.x_validation, data.y_validation]
    if task.weights_validation is not None:
        parts.append(task.weights_validation)
    if replica.validation is not None:
        parts = [take(part, replica.validation) for part in parts]
    sizes = {"validation_batch_size": _scored_at_once(task, model)}
    return make_batches(task, replica), tuple(parts), sizes


def make_batches(task: Task, replica: Replica) -> keras.utils.PyDataset:
    """Return a replica's training rows as a Keras dataset, in the task's order of each epoch.

    If the rows cannot be divided evenly among several devices, the last few are left out.
    """
    import keras

    rows = len(task.rows(replica)) // task.devices * task.devices
    size = task.batch_size
    arrays = [part for part in (task.data.x_train, task.data.y_train) if part is not None]
    if task.weights is not None:
        arrays.append(task.weights)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def shuffle_rows(self, epoch: int) -> None:
            self.order = task.order(replica, epoch)

        def __len__(self) -> int:
            return math.ceil(rows / size)

        def __getitem__(self, index: int) -> tuple[Any, ...]:
            batch = self.order[:rows][index * size : (index + 1) * size]
            return tuple(_as_tuples(take(array, batch)) for array in arrays)

    batches = Batches()
    batches.shuffle_rows(0)
    return batches
