"""Fits that run whole epochs inside one compiled program, which trials of one structure share."""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.checkpoints import (
    KINDS,
    check_shapes,
    load_checkpoint,
    save_checkpoint,
    split_vector,
)
from trainables.fitting.compiled import sharing as lifting
from trainables.fitting.compiled.eligibility import can_be_stacked, check_model, is_elementwise
from trainables.fitting.compiled.program import (
    NEVER,
    Arrays,
    Layout,
    Plan,
    Program,
    State,
    UncompilableError,
    judging,
    list_others,
    make_vector,
)
from trainables.fitting.compiled.replica_seeds import Values, build_replicas
from trainables.fitting.compiled.tensors import to_tensor
from trainables.fitting.curves import Curves, check_metric
from trainables.fitting.session import MESSAGE_SECONDS, Session
from trainables.fitting.task import Task

if TYPE_CHECKING:
    import keras

# How many programs a worker keeps; each takes some megabytes.
MOST_PROGRAMS = 64

# Before the speed of a program is known, a call does at most so many steps.
FIRST_STEPS = 200

# Learning rates that a schedule computes at once.
RATES_AT_ONCE = 1_000_000

# Row numbers in one call: 80 MB of them.
MOST_ORDERED_ROWS = 20_000_000

PROGRAMS: OrderedDict[str, Program] = OrderedDict()


def fit_compiled(task: Task, session: Session) -> keras.Model:
    """Fit a task's replicas in compiled epochs and return the first one's model.

    Raises:
        UncompilableError: with the reason for which ``model.fit`` has to run; nothing was done.
    """
    with session.clock("building"):
        model, values = build_replicas(task.build, [each.seed for each in task.replicas])
        check_model(model)
        session.parameters = int(model.count_params())
        fit = CompiledFit(task, session, model, values)
    with session.clock("compiling"):
        fit.compile()
    session.resume(fit.load)
    check_metric(task, fit.metrics, in_tune=session.in_tune)
    while not fit.curves.ended:
        fit.run_on()
    return fit.best_model()


class CompiledFit:
    """The states of a task's replicas, in groups that one call of a program trains together."""

    def __init__(
        self, task: Task, session: Session, model: keras.Model, values: list[Values]
    ) -> None:
        self.task = task
        self.session = session
        self.model = model
        lifting.give_seeds(model)
        self.optimizer = lifting.make_stateless(model.optimizer)
        self.places = lifting.list_places(model, self.optimizer)
        self.others = list_others(model)
        flat = is_elementwise(model)
        self.groups = group_replicas(task, stacked=can_be_stacked(model))
        self.layout = Layout(
            flat=flat,
            any_width=flat and lifting.is_of_any_width(model),
            stacked=max(map(len, self.groups)) > 1,
            scores=len(task.scorers),
        )
        self.curves = Curves(task)
        self.states = [self._start(group, values) for group in self.groups]
        self.metrics: list[str] = []  # which the program names, then those of the scorers
        self.seconds_per_epoch = math.nan
        self._rates: tuple[tuple[int, int], np.ndarray] | None = None

    @cached_property
    def arrays(self) -> Arrays:
        """The data as tensors, without a copy where that is possible."""
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

        Raises:
            UncompilableError: where TensorFlow cannot trace it.
        """
        try:
            key = self._describe()
        except lifting.NotComparableError as reason:
            self.session.path = f"compiled, not shared: {reason}"
            self.program = self._trace()
        else:
            self.session.path = "compiled"
            self.program = PROGRAMS.pop(key) if key in PROGRAMS else self._trace()
            PROGRAMS[key] = self.program
            while len(PROGRAMS) > MOST_PROGRAMS:
                PROGRAMS.popitem(last=False)
        self.metrics = [*self.program.metrics, *self.task.scores]

    def run_on(self) -> None:
        """Train to the next point where somebody may decide, or for some seconds; report."""
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
        self._note(logs[:done])
        if self.session.is_due(self.curves.epoch, ended=self.curves.ended):
            self.session.send(self.curves.score, self._save)

    def _call(self, place: int, plan: Plan) -> tuple[State, np.ndarray]:
        """Run the program for a group; what a scorer raises is raised after the call."""
        errors: list[Exception] = []
        group = self.groups[place]

        def judge(outputs: np.ndarray, active: np.ndarray) -> np.ndarray:
            scores = np.full((len(group), len(self.task.scorers)), np.nan, "float32")
            try:
                for column in np.flatnonzero(active):
                    replica = self.task.replicas[group[column]]
                    scores[column] = self.task.score(replica, outputs[column])
            except Exception as error:  # noqa: BLE001  # which TensorFlow would turn into its own
                errors.append(error)
            return scores

        with judging(id(self), judge):
            found = self.program(self.states[place], self.arrays, plan)
        if errors:
            raise errors[0]
        return found

    def load(self, folder: str) -> None:
        """Go on from the state of a fit in a folder."""
        found, progress = load_checkpoint(folder)
        check_shapes(found, self._arrays_of_states(), folder)
        self.curves = Curves(self.task, progress)
        self.states = [self._restore(group, found) for group in self.groups]

    def best_model(self) -> keras.Model:
        """Return the first replica's model at its best epoch, or its last where that is kept."""
        state, trainable = self.states[0], self.model.trainable_variables
        weights = [np.asarray(tensor[0]) for tensor in state.best_weights]
        if self.layout.flat:
            weights = split_vector(weights[0], trainable)
        others = [tensor[0] for tensor in state.best_others]
        for variable, value in zip([*trainable, *self.others], [*weights, *others], strict=True):
            variable.assign(value)
        _give_history(self.model, self.curves.history)
        return self.model

    @property
    def _indices(self) -> range:
        return range(len(self.task.replicas))

    def _note(self, logs: list[list[dict[str, float] | None]]) -> None:
        """Add the epochs that were run; a replica's end inside the call ends its rows."""
        for row in logs:
            if self.curves.ended:
                return
            kept = [row[index] if self.curves.is_active(index) else None for index in self._indices]
            self.session.note(self.curves.add(kept, self.seconds_per_epoch))

    def _count_epochs(self) -> int:
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
        """The key of the program.

        Raises:
            NotComparableError: where it cannot be shared.
        """
        described = [
            lifting.describe_model(self.model, any_width=self.layout.any_width),
            lifting.describe_compilation(self.model, self.optimizer),
        ]
        owners = [id(owner) for owner, _ in self.places]
        shared = [owners.index(owner) for owner in owners]
        arrays = [
            [str(tensor.dtype), list(tensor.shape[1:])]
            for part in self.arrays
            for tensor in (part if isinstance(part, list) else [part])
        ]
        weighted = [bool(self.arrays.weights), bool(self.arrays.weights_validation)]
        return json.dumps([*described, shared, arrays, weighted, repr(self.layout)])

    def _trace(self) -> Program:
        plan = self._plan(0, epochs=0)
        try:
            program = Program(self.model, self.layout, self.states[0], self.arrays, plan)
            # A call of no epoch, in which TensorFlow optimises the graph.
            program(self.states[0], self.arrays, plan)
        except UncompilableError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            raise UncompilableError(f"{type(error).__name__}: {lines[0]}") from error
        return program

    def _start(self, group: Sequence[int], values: list[Values]) -> State:
        """The state of a group of replicas before the first epoch."""
        import tensorflow as tf

        def stacked(variable: Any) -> np.ndarray:
            return np.stack([values[i].get(id(variable), np.asarray(variable)) for i in group])

        trainable = [stacked(variable) for variable in self.model.trainable_variables]
        others = [tf.constant(stacked(variable)) for variable in self.others]
        if self.layout.flat:
            trainable = [np.concatenate([w.reshape(len(group), -1) for w in trainable], axis=1)]
        weights = [tf.constant(array) for array in trainable]
        slots = [tf.repeat(slot[None], len(group), axis=0) for slot in self.first_slots]
        nothing = tf.fill([len(group)], math.nan), tf.zeros([len(group)], "int32")
        active = tf.fill([len(group)], True)
        return State(weights, others, slots, weights, others, *nothing, active)

    @cached_property
    def first_slots(self) -> list[Any]:
        """The optimizer's variables before the first step, of one replica."""
        trainable = self.model.trainable_variables
        self.optimizer.build([make_vector(trainable)] if self.layout.flat else trainable)
        return [variable.value for variable in self.optimizer.variables]

    def _plan(self, place: int, *, epochs: int) -> Plan:
        """What the replicas of a group do next."""
        import tensorflow as tf

        task, first = self.task, self.curves.epoch
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
            learning_rates=self._learning_rates(first, epochs, math.ceil(rows / task.batch_size)),
            numbers=tf.constant(lifting.read_places(self.places)),
            shapes=[tf.constant(v.shape, "int32") for v in self.model.trainable_variables],
            batch_size=tf.constant(task.batch_size),
            validation_batch_size=tf.constant(task.validation_batch_size),
            first_epoch=tf.constant(first),
            patience=tf.constant(NEVER if task.patience is None else task.patience),
            sign=tf.constant(float(task.sign)),
            keeps_last=tf.constant(task.keeps_last),
            # Of two of one name the last, which is a scorer's.
            metric=tf.constant(
                {name: i for i, name in enumerate(self.metrics)}.get(task.metric, -1)
            ),
            judge=[tf.constant(id(self), "int64")] if task.scorers else [],
        )

    def _learning_rates(self, first: int, epochs: int, steps: int) -> Any:
        """The rate of every step of the coming epochs, of shape (epochs, steps)."""
        import tensorflow as tf

        rate = self.model.optimizer._learning_rate
        if not callable(rate):
            return tf.fill([epochs, steps], float(np.asarray(rate)))
        # Always in pieces of the same length, since how long they are changes the last bits.
        piece = max(1, min(self.task.max_epochs, RATES_AT_ONCE // steps))
        wanted = range(first // piece, -(-(first + epochs) // piece))
        rates = [self._piece_of_rates(rate, number, piece * steps) for number in wanted]
        start = first - wanted.start * piece
        found = np.concatenate([*rates, []]).astype("float32").reshape(-1, steps)
        return tf.constant(found[start : start + epochs])

    def _piece_of_rates(self, schedule: Any, number: int, length: int) -> np.ndarray:
        """The rates of a piece of the whole fit; the last one is kept."""
        import tensorflow as tf

        if self._rates is None or self._rates[0] != (number, length):
            steps = tf.range(number * length, (number + 1) * length)
            self._rates = (number, length), np.asarray(compute_rates(schedule, steps))
        return self._rates[1]

    def _arrays_of_states(self) -> dict[str, list[np.ndarray]]:
        """The arrays of all replicas in their order, as a checkpoint holds them."""
        order = np.argsort([index for group in self.groups for index in group])
        return {
            kind: [
                np.concatenate([np.asarray(part) for part in parts])[order]
                for parts in zip(*(getattr(state, kind) for state in self.states), strict=True)
            ]
            for kind in KINDS
        }

    def _save(self, folder: str) -> None:
        save_checkpoint(self._arrays_of_states(), self.curves.progress, folder)

    def _restore(self, group: Sequence[int], found: dict[str, list[np.ndarray]]) -> State:
        import tensorflow as tf

        progress = [self.curves.progress[index] for index in group]
        return State(
            **{kind: [tf.constant(a[list(group)]) for a in found[kind]] for kind in KINDS},
            best=tf.constant([math.nan if p.best is None else p.best for p in progress]),
            best_epoch=tf.constant([p.best_epoch for p in progress]),
            active=tf.constant([self.curves.is_active(index) for index in group]),
        )


def group_replicas(task: Task, *, stacked: bool) -> list[list[int]]:
    """The replicas that train in step: those with as many rows; or each by itself."""
    groups: dict[Any, list[int]] = {}
    for index, replica in enumerate(task.replicas):
        sizes = len(task.rows(replica)), len(task.validation_rows(replica))
        groups.setdefault(sizes if stacked else index, []).append(index)
    return list(groups.values())


def compute_rates(schedule: Any, steps: Any) -> Any:
    """Return a learning-rate schedule's values at whole steps, all at once where it can do that."""
    import tensorflow as tf

    try:
        rates = tf.convert_to_tensor(schedule(steps))
    except (ValueError, TypeError, tf.errors.InvalidArgumentError):
        rates = None
    if rates is not None and rates.shape == steps.shape:
        return tf.cast(rates, "float32")
    return tf.cast(tf.map_fn(schedule, steps, fn_output_signature="float32"), "float32")


def _give_history(model: keras.Model, history: dict[str, list[float]]) -> None:
    import keras

    model.history = keras.callbacks.History()
    model.history.history = history
