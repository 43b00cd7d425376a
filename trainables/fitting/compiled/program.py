"""Whole epochs as one compiled TensorFlow function, shared by all configs of one program.

Weights, optimizer state, learning rates and every lifted number are arguments, and so are the
number of rows, the batch size and, where the layers allow it, their widths. So a search compiles
once for each structure of the model, not once for each trial.

Every array of the state has the replicas of the fit first; a program for several replicas does
each step for all of them at once (``tf.vectorized_map``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trainables.fitting.compiled.sharing import lifted, list_places, make_stateless, register_lifted

if TYPE_CHECKING:
    import keras

# An epoch count, or a patience, that is never reached.
NEVER = 2**30

# Operations with a random state of their own, which no checkpoint holds.
DRAWING = frozenset(
    ["RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal"]
    + ["RandomShuffle", "RandomGamma", "RandomPoissonV2", "Multinomial"]
)


# Given outputs of shape (replicas, rows, outputs), and which replicas are active, a judge returns
# float32 scores of shape (replicas, scores). A program calls the one whose key its plan has.
Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]
JUDGES: dict[int, Judge] = {}


class UncompilableError(Exception):
    """Raised with the reason for which ``model.fit`` has to run."""


class State(NamedTuple):
    """Where a fit stands; every array has the replicas first."""

    weights: list[Any]  # trainable; one vector where the optimizer allows it
    others: list[Any]  # the other variables: moving statistics, random states
    slots: list[Any]  # the optimizer's variables
    best_weights: list[Any]
    best_others: list[Any]
    best: Any  # float32, NaN where there is none yet
    best_epoch: Any  # int32, 0 where there is none yet
    active: Any  # whether patience lasts


class Arrays(NamedTuple):
    """What is fitted and what is scored, one row a sample; the weights of rows may be left out."""

    x: Any
    y: Any
    weights: list[Any]  # of one array or none
    x_validation: Any
    y_validation: Any
    weights_validation: list[Any]


class Plan(NamedTuple):
    """What one call does: which rows in which order, at which rates, for how long."""

    orders: Any  # (epochs, replicas, rows) int32, into the arrays
    validation: Any  # (replicas, rows) int32, into the validation arrays
    learning_rates: Any  # (epochs, steps) float32
    numbers: Any  # (lifted numbers,) float64
    shapes: list[Any]  # of the trainable variables, int32
    batch_size: Any
    validation_batch_size: Any
    first_epoch: Any  # how many epochs were done before
    patience: Any
    sign: Any  # 1.0 for a metric to be minimised, -1.0 to be maximised
    keeps_last: Any  # whether each epoch takes the place of the best, whatever its value
    metric: Any  # its place among the program's metrics, -1 for none of them
    judge: list[Any]  # the key of one, int64, or nothing


@dataclass(frozen=True)
class Layout:
    """How a program takes its state: see ``lifting``."""

    flat: bool  # all trainable weights in one vector
    any_width: bool  # shapes known only at run time
    stacked: bool  # more than one replica
    scores: int  # how many a judge gives for the outputs of an epoch


class Program:
    """One compiled function of state, arrays and plan, traced through a model as its template."""

    def __init__(
        self, model: keras.Model, layout: Layout, state: State, arrays: Arrays, plan: Plan
    ) -> None:
        import tensorflow as tf

        register_lifted()
        self.model = model
        self.layout = layout
        self.trainable = list(model.trainable_variables)
        self.others = list_others(model)
        self.optimizer = make_stateless(model.optimizer)
        self.reference = [make_vector(self.trainable)] if layout.flat else self.trainable
        self.optimizer.build(self.reference)
        self.places = list_places(model, self.optimizer)
        self.metrics: list[str] = []
        self.judge: Judge | None = None
        _build_metrics(model, arrays)
        specs = tf.nest.map_structure(self._open_shape, (state, arrays, plan))
        self._traced = tf.function(self._run, autograph=False).get_concrete_function(*specs)
        check_stateless(self._traced)

    def __call__(self, state: State, arrays: Arrays, plan: Plan) -> tuple[State, Any]:
        """Run epochs until the plan ends or no replica is active.

        Returns:
            The state, and the metrics of shape (epochs, replicas, metrics), the judge's scores
            after the others.
        """
        state, epochs, rows = self._traced(state, arrays, plan)
        return State(*state), rows.numpy()[: int(epochs)]

    def _open_shape(self, tensor: Any) -> Any:
        import tensorflow as tf

        return tf.TensorSpec([None] * len(tensor.shape), tensor.dtype)

    def _run(self, state: State, arrays: Arrays, plan: Plan) -> tuple[Any, ...]:
        import tensorflow as tf

        self._fix_shapes(state, arrays)
        if not self.layout.stacked:
            state = tf.nest.map_structure(lambda tensor: tf.squeeze(tensor, 0), state)
            orders, validation = tf.squeeze(plan.orders, 1), tf.squeeze(plan.validation, 0)
            plan = plan._replace(orders=orders, validation=validation)
        with lifted(self.places, plan.numbers):
            epochs = tf.shape(plan.orders)[0]
            names = self._name_metrics()
            columns = len(names) + self.layout.scores
            rows = tf.zeros(tf.concat([[epochs], tf.shape(state.best), [columns]], 0))
            state, epoch, rows = loop(
                lambda state, epoch, *_: (epoch < epochs) & tf.reduce_any(state.active),
                partial(self._epoch, arrays, plan),
                (state, tf.constant(0), rows),
            )
        self.metrics = names
        if not self.layout.stacked:
            state = tf.nest.map_structure(lambda tensor: tf.expand_dims(tensor, 0), state)
            rows = tf.expand_dims(rows, 1)
        return tuple(state), epoch, rows

    def _epoch(
        self, arrays: Arrays, plan: Plan, state: State, epoch: Any, rows: Any
    ) -> tuple[Any, ...]:
        import tensorflow as tf

        trained, logs = self._train(arrays, plan, state, epoch)
        scores, outputs = self._score(arrays, plan, trained)
        row = tf.concat([logs, scores, *self._judge(plan, outputs, state.active)], axis=-1)
        after = _keep_best(plan, trained, row, plan.first_epoch + epoch + 1)
        if self.layout.stacked:
            after = _freeze(state, after)
        return after, epoch + 1, tf.tensor_scatter_nd_update(rows, [[epoch]], [row])

    def _train(self, arrays: Arrays, plan: Plan, state: State, epoch: Any) -> tuple[State, Any]:
        """One epoch of steps; returns the metrics of shape (replicas, metrics) too."""
        import tensorflow as tf

        order, rates = plan.orders[epoch], plan.learning_rates[epoch]

        def step(index: Any, weights: Any, others: Any, slots: Any, totals: Any) -> tuple[Any, ...]:
            batch = cut(order, index, plan.batch_size)
            after = self._map(
                partial(self._step, plan.shapes, rates[index]),
                (weights, others, slots, totals, *take(tuple(arrays[:3]), batch)),
            )
            return index + 1, *after

        steps = count_batches(tf.shape(order)[-1], plan.batch_size)
        totals = self._start_metrics(tf.shape(order)[0])
        _, weights, others, slots, totals = loop(
            lambda index, *_: index < steps,
            step,
            (tf.constant(0), state.weights, state.others, state.slots, totals),
        )
        state = state._replace(weights=weights, others=others, slots=slots)
        return state, self._read_metrics(totals)

    def _score(self, arrays: Arrays, plan: Plan, state: State) -> tuple[Any, list[Any]]:
        """The metrics of the validation rows, and their outputs where a judge wants them."""
        import tensorflow as tf

        def step(index: Any, totals: Any, outputs: Any) -> tuple[Any, ...]:
            batch = cut(plan.validation, index, plan.validation_batch_size)
            totals, new = self._map(
                partial(self._score_batch, plan.shapes),
                (state.weights, state.others, totals, *take(tuple(arrays[3:]), batch)),
            )
            return index + 1, totals, self._put(outputs, new, index * plan.validation_batch_size)

        steps = count_batches(tf.shape(plan.validation)[-1], plan.validation_batch_size)
        totals = self._start_metrics(tf.shape(plan.validation)[0])
        _, totals, outputs = loop(
            lambda index, *_: index < steps,
            step,
            (tf.constant(0), totals, self._start_outputs(plan.validation)),
        )
        return self._read_metrics(totals), outputs

    def _start_outputs(self, validation: Any) -> list[Any]:
        """Room for the outputs, of shape (rows, replicas, outputs), rows first to be written to."""
        import tensorflow as tf

        if not self.layout.scores:
            return []
        rows = tf.reverse(tf.shape(validation), [0])
        return [tf.zeros(tf.concat([rows, [self._count_outputs()]], 0))]

    def _put(self, outputs: list[Any], new: list[Any], first: Any) -> list[Any]:
        import tensorflow as tf

        def put(room: Any, batch: Any) -> Any:
            if self.layout.stacked:
                batch = tf.transpose(batch, [1, 0, 2])
            places = first + tf.range(tf.shape(batch)[0])
            return tf.tensor_scatter_nd_update(room, places[:, None], batch)

        return [put(room, batch) for room, batch in zip(outputs, new, strict=True)]

    def _judge(self, plan: Plan, outputs: list[Any], active: Any) -> list[Any]:
        """The judge's scores of the outputs, of shape (replicas, scores)."""
        import tensorflow as tf

        scores = [
            tf.numpy_function(call_judge, [key, found, active], "float32")
            for key, found in zip(plan.judge, outputs, strict=True)
        ]
        for each in scores:
            each.set_shape([*active.shape, self.layout.scores])
        return scores

    def _count_outputs(self) -> int:
        shape = self.model.output_shape[1:]
        if None in shape:
            raise UncompilableError(f"its output_shape is {shape}, but scorers need to know it")
        return math.prod(shape)

    def _step(
        self,
        shapes: Any,
        rate: Any,
        weights: Any,
        others: Any,
        slots: Any,
        totals: Any,
        *batch: Any,
    ) -> tuple[Any, ...]:
        """One training step of one replica, as Keras' own ``train_step`` does it."""
        import tensorflow as tf

        variables = self._split(weights, shapes)
        with tf.GradientTape() as tape:
            for tensor in variables:
                tape.watch(tensor)
            loss, others, totals, _ = self._forward(variables, others, totals, batch, training=True)
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        if self.layout.flat:
            gradients = [join(gradients)]
        known = [*zip(self.reference, weights, strict=True)]
        known += zip(self.optimizer.variables, slots, strict=True)
        rates = [(self.optimizer._learning_rate, rate)]
        with scope([*known, *rates]) as after:
            self.optimizer.apply(gradients)
        weights = [after.get_current_value(variable) for variable in self.reference]
        slots = [after.get_current_value(variable) for variable in self.optimizer.variables]
        return weights, others, slots, totals

    def _score_batch(
        self, shapes: Any, weights: Any, others: Any, totals: Any, *batch: Any
    ) -> tuple[list[Any], list[Any]]:
        """The metrics' variables after a batch, and its outputs where a judge wants them."""
        import tensorflow as tf

        variables = self._split(weights, shapes)
        _, _, totals, outputs = self._forward(variables, others, totals, batch, training=False)
        if not self.layout.scores:
            return list(totals), []
        flat = tf.reshape(outputs, [-1, self._count_outputs()])
        return list(totals), [tf.cast(flat, "float32")]

    def _forward(
        self, variables: Any, others: Any, totals: Any, batch: Any, *, training: bool
    ) -> tuple[Any, Any, Any, Any]:
        """Loss, other variables, metrics' variables and outputs after a batch."""
        import tensorflow as tf

        model, (x, y, weights) = self.model, batch
        known = [*zip(self.trainable, variables, strict=True)]
        known += zip(self.others, others, strict=True)
        known += zip(model.metrics_variables, totals, strict=True)
        with scope(known) as after:
            outputs = model(x, training=training) if model._call_has_training_arg else model(x)
            outputs.set_shape(model.output_shape)
            arguments = {"x": x, "y": y, "y_pred": outputs}
            arguments["sample_weight"] = weights[0] if weights else None
            loss = model._compute_loss(**arguments, training=training)
            model._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
            update_metrics(model, arguments)
        others = [after.get_current_value(variable) for variable in self.others]
        totals = [after.get_current_value(v) for v in model.metrics_variables]
        return loss, others, totals, outputs

    def _map(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Apply a function of one replica to all."""
        import tensorflow as tf

        if self.layout.stacked:
            return tf.vectorized_map(lambda inner: function(*inner), arguments)
        return function(*arguments)

    def _split(self, weights: list[Any], shapes: list[Any]) -> list[Any]:
        """The trainable variables' tensors, from one vector or as they are."""
        import tensorflow as tf

        if not self.layout.flat:
            return [tf.identity(tensor) for tensor in weights]
        if not self.layout.any_width:
            shapes = [tuple(variable.shape) for variable in self.trainable]
        sizes = tf.stack([tf.reduce_prod(shape) for shape in shapes])
        parts = tf.split(weights[0], sizes, num=len(shapes))
        tensors = [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]
        for tensor, variable in zip(tensors, self.trainable, strict=True):
            if self.layout.any_width:
                tensor.set_shape([None] * len(variable.shape))
        return tensors

    def _fix_shapes(self, state: State, arrays: Arrays) -> None:
        """Tell TensorFlow the shapes that are the same for every config of the program."""
        pairs = list(zip(state.others, self.others, strict=True))
        pairs += zip(state.best_others, self.others, strict=True)
        if not self.layout.flat:
            pairs += zip(state.weights, self.trainable, strict=True)
            pairs += zip(state.best_weights, self.trainable, strict=True)
            pairs += zip(state.slots, self.optimizer.variables, strict=True)
        for tensor, variable in pairs:
            if not self.layout.any_width:
                tensor.set_shape([None, *variable.shape])
        for array in (arrays.x, arrays.x_validation):
            array.set_shape([None, *self.model.input_shape[1:]])

    def _start_metrics(self, replicas: Any) -> list[Any]:
        import tensorflow as tf

        starts = self._first_totals()
        if not self.layout.stacked:
            return starts
        return [tf.repeat(start[None], replicas, axis=0) for start in starts]

    def _first_totals(self) -> list[Any]:
        """The metrics' variables before the first batch."""
        with scope([]) as after:
            for metric in self.model.metrics:
                metric.reset_state()
        return [after.get_current_value(v) for v in self.model.metrics_variables]

    def _read_metrics(self, totals: list[Any]) -> Any:
        """The metrics, of shape (replicas, metrics)."""
        return self._map(self._results, (totals,))

    def _results(self, totals: list[Any]) -> Any:
        import tensorflow as tf

        return tf.stack(list(self._name_results(totals).values()))

    def _name_results(self, totals: list[Any]) -> dict[str, Any]:
        import tensorflow as tf

        with scope(zip(self.model.metrics_variables, totals, strict=True)):
            results = self.model.get_metrics_result()
        for name, value in results.items():
            if len(value.shape):
                raise UncompilableError(f"metric {name!r} is not one number")
        return {name: tf.cast(value, "float32") for name, value in results.items()}

    def _name_metrics(self) -> list[str]:
        names = list(self._name_results(self._first_totals()))
        return names + [f"val_{name}" for name in names]


def check_stateless(traced: Any) -> None:
    """Refuse a program that keeps something from one trial for the next.

    Raises:
        UncompilableError: naming it.
    """
    import tensorflow as tf

    definition = traced.graph.as_graph_def()
    kinds = {node.op for node in definition.node}
    kinds |= {node.op for function in definition.library.function for node in function.node_def}
    if drawing := kinds & DRAWING:
        raise UncompilableError(f"it draws random numbers of TensorFlow's own: {min(drawing)}")
    if any(tensor.dtype == tf.resource for tensor in traced.captured_inputs):
        raise UncompilableError("it uses a variable or a table that Keras does not know of")


@contextmanager
def judging(key: int, judge: Judge) -> Iterator[None]:
    """Let programs call a judge by its key."""
    JUDGES[key] = judge
    try:
        yield
    finally:
        del JUDGES[key]


def call_judge(key: np.ndarray, outputs: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Call a judge with the outputs of a program, which have the rows first."""
    if active.ndim:
        return JUDGES[int(key)](outputs.swapaxes(0, 1), active)
    scores: np.ndarray = JUDGES[int(key)](outputs[np.newaxis], active[np.newaxis])[0]
    return scores


def _keep_best(plan: Plan, state: State, row: Any, epoch: Any) -> State:
    """Keep the weights of each replica's best epoch, and see whether its patience lasts."""
    import tensorflow as tf

    value = tf.gather(row, tf.maximum(plan.metric, 0), axis=-1)
    value = tf.where(plan.metric < 0, float("nan"), value)
    first = tf.math.is_nan(state.best)
    better = tf.math.is_finite(value) & (first | (plan.sign * value < plan.sign * state.best))
    better |= plan.keeps_last
    best_epoch = tf.where(better, epoch, state.best_epoch)
    return state._replace(
        best_weights=_choose(better, state.weights, state.best_weights),
        best_others=_choose(better, state.others, state.best_others),
        best=tf.where(better, value, state.best),
        best_epoch=best_epoch,
        active=state.active & (epoch - best_epoch < plan.patience),
    )


def _freeze(before: State, after: State) -> State:
    """Leave the replicas whose patience had ended as they were."""
    return State(
        *[
            _choose(before.active, new, old)
            if isinstance(new, list)
            else _choose(before.active, [new], [old])[0]
            for new, old in zip(after, before, strict=True)
        ]
    )


def _choose(chosen: Any, new: list[Any], old: list[Any]) -> list[Any]:
    """The new tensors for the chosen replicas, the old for the others."""
    import tensorflow as tf

    def choose(a: Any, b: Any) -> Any:
        missing = [1] * (len(a.shape) - len(chosen.shape))
        return tf.where(tf.reshape(chosen, tf.concat([tf.shape(chosen), missing], 0)), a, b)

    return [choose(a, b) for a, b in zip(new, old, strict=True)]


def loop(condition: Callable[..., Any], body: Callable[..., Any], start: Any) -> Any:
    """A while loop whose variables keep the static shapes that they start with."""
    import tensorflow as tf

    shapes = tf.nest.map_structure(lambda tensor: tensor.shape, start)

    def shaped(*arguments: Any) -> Any:
        after = body(*arguments)
        tf.nest.map_structure(lambda t, s: t.set_shape(s), after, shapes)
        return after

    return tf.while_loop(condition, shaped, start, shape_invariants=shapes, parallel_iterations=1)


def scope(known: Iterable[tuple[Any, Any]]) -> Any:
    """A Keras scope in which variables have given values, of whatever width."""
    import keras

    made = keras.StatelessScope(collect_losses=True)
    # Keras' own constructor refuses a tensor whose shape is known only at run time.
    made.state_mapping.update({id(variable): tensor for variable, tensor in known})
    return made


def cut(order: Any, index: Any, size: Any) -> Any:
    """A batch of an order of shape (replicas, rows); the last one may be short."""
    return order[..., index * size : (index + 1) * size]


def count_batches(rows: Any, size: Any) -> Any:
    """How many batches there are of a size, the last one short."""
    return (rows + size - 1) // size


def update_metrics(model: keras.Model, arguments: dict[str, Any]) -> None:
    """Update the metrics as ``compute_metrics`` does, which would compute them at each step."""
    import keras

    if type(model).compute_metrics is not keras.Model.compute_metrics:
        model.compute_metrics(**arguments)
    elif model._compile_metrics is not None:
        names = ("y", "y_pred", "sample_weight")
        model._compile_metrics.update_state(*(arguments[name] for name in names))


def take(arrays: Any, rows: Any) -> Any:
    """The chosen rows of each array, for each replica."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda array: tf.gather(array, rows), arrays)


def join(tensors: Sequence[Any]) -> Any:
    """All tensors in one vector."""
    import tensorflow as tf

    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)


def make_vector(variables: Sequence[Any]) -> Any:
    """A variable with as many elements as these have together."""
    import keras

    return keras.Variable(np.zeros(sum(int(np.prod(v.shape)) for v in variables), "float32"))


def list_others(model: keras.Model) -> list[Any]:
    """The variables that are not trained: those of the layers first, then random states."""
    own = model.non_trainable_weights
    known = {id(variable) for variable in own}
    return [*own, *(v for v in model.non_trainable_variables if id(v) not in known)]


def _build_metrics(model: keras.Model, arrays: Arrays) -> None:
    """Create the variables of loss and metrics, which Keras does at the first batch."""
    import tensorflow as tf

    targets = arrays.y[:1]
    outputs = tf.zeros([1, *model.output_shape[1:]], model.compute_dtype)
    for part in (model._compile_loss, model._compile_metrics):
        if part is not None and not part.built:
            part.build(targets, outputs)
