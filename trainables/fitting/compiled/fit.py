"""Fits that run whole epochs inside one compiled program, which trials of one structure share."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from trainables.fitting.checkpoints import (
    KINDS,
    check_shapes,
    load_checkpoint,
    save_checkpoint,
    split_vector,
)
from trainables.fitting.compiled.arguments import (
    NEVER,
    Arrays,
    Layout,
    LearningRates,
    Plan,
    State,
)
from trainables.fitting.compiled.eligibility import (
    UncompilableError,
    can_be_stacked,
    is_elementwise,
)
from trainables.fitting.compiled.kept_programs import PROGRAMS
from trainables.fitting.compiled.keras_internals import (
    build_loss_and_metrics,
    call_model,
    give_value,
    make_stateless,
    value_of,
)
from trainables.fitting.compiled.number_inputs import give_seeds, list_places, read_places
from trainables.fitting.compiled.program import Program
from trainables.fitting.compiled.program_files import (
    delete_program,
    is_off,
    name_program,
    read_program,
    write_program,
)
from trainables.fitting.compiled.scoring import scored_by_each
from trainables.fitting.compiled.serialized import LoadedProgram
from trainables.fitting.compiled.sharing import (
    NotComparableError,
    describe_compilation,
    describe_model,
    describe_optimizer,
    is_of_any_width,
    is_of_process,
)
from trainables.fitting.compiled.tensors import to_tensor
from trainables.fitting.compiled.updates import choose, fill_slots, find_kind, make_vector
from trainables.fitting.curves import Curves
from trainables.fitting.models import Values, list_others, shape_of
from trainables.fitting.outputs import outputs_of
from trainables.fitting.session import MESSAGE_SECONDS, Session
from trainables.fitting.stopping import Stoppers
from trainables.fitting.task import Replica, Task
from trainables.fitting.units import task_of, unit_of

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from trainables.fitting.callbacks import Lists

# The most steps of a call before the speed of its program is known.
FIRST_STEPS = 200

# The most row numbers in one call: 80 MB of them.
MOST_ORDERED_ROWS = 20_000_000

AnyProgram = TypeVar("AnyProgram", Program, LoadedProgram)


class CompiledFit:
    """The states of a task's replicas, in groups that one call of a program trains together."""

    def __init__(
        self, task: Task, session: Session, model: keras.Model, values: list[Values]
    ) -> None:
        self.task = task = task_of(task, model)
        self.session = session
        self.model = model
        self.outputs = outputs_of(model, task.config)
        self.rates = LearningRates(model.optimizer, task.max_epochs)
        give_seeds(model)
        self.optimizer = make_stateless(model.optimizer)
        self.kind = find_kind(self.optimizer, task.config)
        self.places = list_places(model)
        self.others = list_others(model)
        self.curves = Curves(task)
        self.stoppers = Stoppers([], model)
        self.metrics: list[str] = []  # those of the program, then those of the scorers
        self.values = values
        self._lay_out(stacked=can_be_stacked(model))
        self.seconds_per_epoch = math.nan

    def _lay_out(self, *, stacked: bool) -> None:
        """Group the replicas, and give each group the state before the first epoch."""
        flat = is_elementwise(self.model)
        self.groups = group_replicas(self.task, stacked=stacked)
        self.layout = Layout(
            flat=flat,
            any_width=flat and is_of_any_width(self.model),
            stacked=max(map(len, self.groups)) > 1,
            common=flat and self.kind is not None,
            scores=len(self.task.scorers),
        )
        self.states = [self._start(group, self.values) for group in self.groups]

    @cached_property
    def arrays(self) -> Arrays:
        """The data as tensors, not copied if possible."""
        data = self.task.data
        return Arrays(
            to_tensor(data.x_train),
            to_tensor(data.y_train),
            [to_tensor(w) for w in [self.task.weights] if w is not None],
            to_tensor(data.x_validation),
            to_tensor(data.y_validation),
            [to_tensor(w) for w in [self.task.weights_validation] if w is not None],
        )

    def compile(self) -> None:
        """Find the program for this model, or compile it.

        Replicas whose steps cannot be traced together are trained one after the other.

        Raises:
            UncompilableError: if TensorFlow cannot trace the model, with the reason.
        """
        program = self._find_program()
        if program is None:
            self._lay_out(stacked=False)
            program = self._find_program()
        assert program is not None  # one for single replicas is traced, or raises
        self.program = program
        self.metrics = [*program.metrics, *self.task.scores]

    def _find_program(self) -> Program | LoadedProgram | None:
        """Return the program; None if it would be one for replicas in step and cannot be traced.

        Raises:
            UncompilableError: if a program for single replicas cannot be traced.
        """
        try:
            key = self._describe()
        except NotComparableError as reason:
            self.session.path = f"compiled, not shared: {reason}"
            return self._trace_if_possible()
        self.session.path = "compiled"
        return PROGRAMS.get(key, partial(self._load_or_trace, key))

    def _load_or_trace(self, key: str) -> Program | LoadedProgram | None:
        """Load the program from this machine's files, or trace it and write it there."""
        if is_of_process(key) or is_off():
            return self._trace_if_possible()
        name = name_program(key)
        if (content := read_program(name)) is not None:
            try:
                return self._optimise(LoadedProgram(content))
            except Exception:  # noqa: BLE001  # whatever TensorFlow says of it
                delete_program(name)
        program = self._trace_if_possible()
        with suppress(Exception):  # a file only saves time
            if program is not None:
                write_program(name, program.serialize(f"{name[:16]}_"))
        return program

    def _trace_if_possible(self) -> Program | None:
        """Trace the program; return None if it is one for replicas in step and cannot be traced."""
        try:
            return self._trace()
        except UncompilableError:
            if not self.layout.stacked:
                raise
            return None

    def stop_with(self, callbacks: Lists) -> None:
        """Let callbacks stop the replicas; they ask the metrics in which direction they improve."""
        if any(callbacks):
            arrays, model = self.arrays, self.model
            build_loss_and_metrics(
                model, arrays.y[:1], call_model(model, arrays.x[:1], training=False)
            )
        self.stoppers = Stoppers(callbacks, self.model)

    def train_on(self) -> None:
        """Train until a scheduler may decide, or for some seconds, and report."""
        count = self._count_epochs()
        active = [self.curves.is_active(index) for index in self._indices]
        logs: list[list[dict[str, float] | None]] = [[None] * len(active) for _ in range(count)]
        done, started = 1, time.perf_counter()
        for place, group in enumerate(self.groups):
            if not any(active[index] for index in group):
                continue
            plan = self._plan(place, epochs=count)
            self.states[place], rows = self._call(place, plan)
            done = max(done, len(rows))
            for epoch, row in enumerate(rows.astype(float)):
                for column, index in enumerate(group):
                    logs[epoch][index] = dict(zip(self.metrics, row[column].tolist(), strict=True))
        self.seconds_per_epoch = (time.perf_counter() - started) / done
        self._note(logs[:done], self.seconds_per_epoch)

    def _call(self, place: int, plan: Plan) -> tuple[State, np.ndarray]:
        """Run the program for a group; an exception of a scorer is raised after the call."""
        replicas = [self.task.replicas[index] for index in self.groups[place]]
        scorers = [partial(self.score, replica) for replica in replicas]
        with scored_by_each(id(self), scorers, len(self.task.scorers)):
            return self.program(self.states[place], self.arrays, plan)

    def score(self, replica: Replica, outputs: np.ndarray) -> np.ndarray:
        """Return the scores of a replica's outputs for its validation rows."""
        return self.task.score(replica, self.outputs.read(outputs))

    def load(self, folder: str) -> None:
        """Resume from the state of a fit in a folder."""
        found, progress = load_checkpoint(folder)
        check_shapes(found, self._arrays_of_states(), folder)
        self.curves = Curves(self.task, progress)
        self.states = [self._restore(group, found) for group in self.groups]

    def best_model(self) -> keras.Model:
        """Return the first replica's model with the weights that are kept."""
        state, trainable = self.states[0], self.model.trainable_variables
        weights = [np.asarray(tensor[0]) for tensor in state.best_weights]
        if self.layout.flat:
            weights = split_vector(weights[0], trainable)
        others = [np.asarray(tensor[0]) for tensor in state.best_others]
        for variable, value in zip([*trainable, *self.others], [*weights, *others], strict=True):
            give_value(variable, value)
        _give_history(self.model, self.curves.history)
        return self.model

    @property
    def trained(self) -> int:
        """The number of epochs that the states have been trained."""
        return self.curves.epoch

    @property
    def _indices(self) -> range:
        return range(len(self.task.replicas))

    def _note(self, logs: list[list[dict[str, float] | None]], seconds: float) -> None:
        """Add the epochs of a call, and report if it is time to.

        A replica that stopped in it has no rows after that.
        """
        for row in logs:
            if self.curves.ended:
                break
            kept = [row[index] if self.curves.is_active(index) else None for index in self._indices]
            self.session.note(self.curves.add(kept, seconds))
            if self.stoppers:
                self._stop(kept)
        if self.session.is_due(self.curves.epoch, ended=self.curves.ended):
            self.session.send(self.curves.score, self._save)

    def _stop(self, logs: list[dict[str, float] | None]) -> None:
        """Stop the replicas whose callbacks say so after the epoch that was just added."""
        for index, values in enumerate(logs):
            if values is not None and self.stoppers.are_done(index, self.curves.epoch, values):
                self.curves.stopped.add(index)
                self._deactivate(index)

    def _deactivate(self, index: int) -> None:
        """Let the program leave out a replica, whose weights stay as they are."""
        import tensorflow as tf

        place = next(place for place, group in enumerate(self.groups) if index in group)
        active = [self.curves.is_active(each) for each in self.groups[place]]
        self.states[place] = self.states[place]._replace(active=tf.constant(active))

    def _count_epochs(self) -> int:
        if self.stoppers:
            return 1  # the best weights must not be those of an epoch after a stop
        epoch = self.curves.epoch
        left = self.session.next_stop(epoch, self.task.epochs) - epoch
        rows = max(len(self.task.rows(each)) for each in self.task.replicas)
        bounds = [left, MOST_ORDERED_ROWS // (rows * len(self.task.replicas))]
        if self.session.in_tune:
            steps = math.ceil(rows / self.task.batch_size)
            known = not math.isnan(self.seconds_per_epoch)
            per_epoch = max(self.seconds_per_epoch, 1e-9)
            bounds.append(int(MESSAGE_SECONDS / per_epoch) if known else FIRST_STEPS // steps)
        return max(1, min(bounds))

    def _describe(self) -> str:
        """Return the key of the program.

        Raises:
            NotComparableError: if it cannot be shared.
        """
        described = [
            describe_model(self.model, any_width=self.layout.any_width),
            describe_compilation(self.model),
            "" if self.layout.common else describe_optimizer(self.optimizer),
        ]
        owners = [id(owner) for owner, _ in self.places]
        shared = [owners.index(owner) for owner in owners]
        arrays = [
            [str(tensor.dtype), list(tensor.shape[1:])]
            for part in self.arrays
            for tensor in (part if isinstance(part, list) else [part])
        ]
        weighted = [bool(self.arrays.weights), bool(self.arrays.weights_validation)]
        unit = repr(unit_of(self.task.config))  # metrics and losses may have it in them
        return json.dumps([*described, shared, arrays, weighted, unit, repr(self.layout)])

    def _trace(self) -> Program:
        plan = self._plan(0, epochs=0)
        try:
            return self._optimise(self._make_program(plan))
        except UncompilableError:
            raise
        except Exception as error:
            raise UncompilableError(describe_error(error)) from error

    def _make_program(self, plan: Plan) -> Program:
        return Program(self.model, self.layout, self.states[0], self.arrays, plan)

    def _optimise(self, program: AnyProgram) -> AnyProgram:
        """Call a program for 0 epochs, in which TensorFlow optimises its graph."""
        program(self.states[0], self.arrays, self._plan(0, epochs=0))
        return program

    def _start(self, group: Sequence[int], values: list[Values]) -> State:
        """Return the state of a group of replicas before the first epoch."""
        import tensorflow as tf

        def stacked(variable: keras.Variable) -> np.ndarray:
            own = [values[index].get(id(variable)) for index in group]
            return np.stack([value_of(variable) if each is None else each for each in own])

        trainable = [stacked(variable) for variable in self.model.trainable_variables]
        others = [tf.constant(stacked(variable)) for variable in self.others]
        if self.layout.flat:
            trainable = [np.concatenate([w.reshape(len(group), -1) for w in trainable], axis=1)]
        weights = [tf.constant(array) for array in trainable]
        slots = self._slots_of([np.stack([slot] * len(group)) for slot in self.first_slots])
        nothing = tf.fill([len(group)], math.nan), tf.zeros([len(group)], "int32")
        active = tf.fill([len(group)], True)
        return State(weights, others, slots, weights, others, *nothing, active)

    def _slots_of(self, arrays: list[np.ndarray]) -> list[tf.Tensor]:
        """Return the optimizer's variables, given as arrays, as the program takes them."""
        import tensorflow as tf

        return [tf.constant(a) for a in (fill_slots(arrays) if self.layout.common else arrays)]

    @cached_property
    def first_slots(self) -> list[np.ndarray]:
        """The optimizer's variables before the first step, of one replica."""
        trainable = self.model.trainable_variables
        self.optimizer.build([make_vector(trainable)] if self.layout.flat else trainable)
        return [value_of(variable) for variable in self.optimizer.variables]

    def _plan(self, place: int, *, epochs: int) -> Plan:
        """Return what the replicas of a group do next."""
        import tensorflow as tf

        task, first = self.task, self.trained
        shapes = [tuple(variable.shape) for variable in self.model.trainable_variables]
        replicas = [task.replicas[index] for index in self.groups[place]]
        rows = len(task.rows(replicas[0]))
        orders = np.empty((epochs, len(replicas), rows), "int32")
        for epoch in range(epochs):
            for column, replica in enumerate(replicas):
                orders[epoch, column] = task.order(replica, first + epoch)
        validation = np.stack([task.validation_rows(each) for each in replicas])
        return Plan(
            orders=tf.constant(orders),
            validation=tf.constant(validation.astype("int32")),
            learning_rates=self.rates.of_epochs(first, epochs, math.ceil(rows / task.batch_size)),
            numbers=tf.constant(read_places(self.places)),
            choice=choose(self.optimizer, self.kind if self.layout.common else None),
            shapes=tf.constant([size for shape in shapes for size in shape], "int32"),
            sizes=tf.constant([math.prod(shape) for shape in shapes], "int32"),
            batch_size=tf.constant(task.batch_size),
            validation_batch_size=tf.constant(task.validation_batch_size),
            first_epoch=tf.constant(first),
            patience=tf.constant(NEVER if task.patience is None else task.patience),
            sign=tf.constant(float(task.sign)),
            keeps_last=tf.constant(task.keeps_last),
            # Of two with the same name the last one, which is a scorer's.
            metric=tf.constant(
                {name: i for i, name in enumerate(self.metrics)}.get(task.metric, -1)
            ),
            scoring=[tf.constant(id(self), "int64")] if task.scorers else [],
        )

    def _arrays_of_states(self) -> dict[str, list[np.ndarray]]:
        """Return the arrays of all replicas in their order, as a checkpoint holds them."""
        order = np.argsort([index for group in self.groups for index in group])
        arrays = {
            kind: [
                np.concatenate([np.asarray(part) for part in parts])[order]
                for parts in zip(*(getattr(state, kind) for state in self.states), strict=True)
            ]
            for kind in KINDS
        }
        return arrays | {"slots": arrays["slots"][: len(self.first_slots)]}

    def _save(self, folder: str) -> None:
        arrays = self._arrays_of_states()
        save_checkpoint(arrays, self.curves.progress, folder, shape_of(self.model))

    def _restore(self, group: Sequence[int], found: dict[str, list[np.ndarray]]) -> State:
        import tensorflow as tf

        progress = [self.curves.progress[index] for index in group]
        own = {kind: [array[list(group)] for array in found[kind]] for kind in KINDS}
        tensors = {kind: [tf.constant(array) for array in own[kind]] for kind in KINDS}
        return State(
            **(tensors | {"slots": self._slots_of(own["slots"])}),
            best=tf.constant([math.nan if p.best is None else p.best for p in progress]),
            best_epoch=tf.constant([p.best_epoch for p in progress]),
            active=tf.constant([self.curves.is_active(index) for index in group]),
        )


def group_replicas(task: Task, *, stacked: bool) -> list[list[int]]:
    """Group the replicas that train in step: those with as many rows; or put each by itself."""
    groups: dict[tuple[int, int] | int, list[int]] = {}
    for index, replica in enumerate(task.replicas):
        sizes = len(task.rows(replica)), len(task.validation_rows(replica))
        groups.setdefault(sizes if stacked else index, []).append(index)
    return list(groups.values())


def describe_error(error: Exception) -> str:
    """Return an error in one line, without bold; Keras names the layer on a line before it."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    is_of_layer = lines[0].startswith("Exception encountered when calling")
    return f"{type(error).__name__}: {' '.join(lines[: 2 if is_of_layer else 1])}"


def _give_history(model: keras.Model, history: dict[str, list[float]]) -> None:
    import keras

    model.history = keras.callbacks.History()
    model.history.history = history
