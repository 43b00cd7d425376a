"""Whole epochs as one compiled TensorFlow function, shared by all models of the same structure.

Weights, optimizer state, learning rates and the numbers of :mod:`~.number_inputs` are arguments,
and so are the number of rows, the batch size and, if the layers allow it, their widths. So a search
compiles once per structure of the model, not once per trial.

The first axis of every array of the state is the replicas of the fit; a program for several
replicas does each step for all of them at once (``tf.vectorized_map``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from trainables.fitting.compiled.arguments import (
    Arrays,
    Layout,
    Plan,
    State,
    freeze_ended,
    keep_best,
)
from trainables.fitting.compiled.eligibility import UncompilableError
from trainables.fitting.compiled.keras_internals import (
    build_loss_and_metrics,
    call_model,
    compute_loss,
    fused_operations,
    make_stateless,
    optimised_once,
    scope_of,
    update_metrics,
)
from trainables.fitting.compiled.loops import count_batches, cut, each_replica, loop, take
from trainables.fitting.compiled.number_inputs import (
    list_numbers,
    list_places,
    numbers_as_inputs,
    register_input_numbers,
)
from trainables.fitting.compiled.scoring import score_outputs
from trainables.fitting.compiled.serialized import serialize
from trainables.fitting.compiled.updates import NUMBERS, CommonUpdate, Update, make_vector
from trainables.fitting.models import list_others

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Operations whose random state no checkpoint holds.
DRAWING = frozenset(
    ["RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal"]
    + ["RandomShuffle", "RandomGamma", "RandomPoissonV2", "Multinomial"]
)

# MiB of memory per operation of a traced program: 13 to 16 KiB were measured, with one replica and
# with three (1 to 6 layers, with and without batch normalisation, TensorFlow 2.21).
PER_OPERATION = 16 / 1024


AnyUpdate = TypeVar("AnyUpdate", bound=Update)


class Program:
    """One compiled function of state, arrays and plan, traced through a model as its template.

    Attributes:
        memory: about how much it takes, in MiB.
    """

    def __init__(
        self, model: keras.Model, layout: Layout, state: State, arrays: Arrays, plan: Plan
    ) -> None:
        import tensorflow as tf

        register_input_numbers()
        self.model = model
        self.layout = layout
        self.trainable = list(model.trainable_variables)
        self.others = list_others(model)
        self.update = self._make_update()
        self.places = list_places(model)
        self.metrics: list[str] = []
        outputs = tf.zeros([1, *model.output_shape[1:]], model.compute_dtype)
        build_loss_and_metrics(model, arrays.y[:1], outputs)
        specs = tf.nest.map_structure(self._open_shape, (state, arrays, plan))
        self._traced = tf.function(self._run, autograph=False).get_concrete_function(*specs)
        kinds = list_operations(self._traced)
        self.memory = len(kinds) * PER_OPERATION
        check_stateless(self._traced, set(kinds))

    def __call__(self, state: State, arrays: Arrays, plan: Plan) -> tuple[State, np.ndarray]:
        """Run epochs until the plan ends or no replica is active.

        Returns:
            The state, and the metrics of shape (epochs, replicas, metrics), the scorers' last.
        """
        with optimised_once():
            state, epochs, rows = self._traced(state, arrays, plan)
        return State(*state), rows.numpy()[: int(epochs)]

    def serialize(self, prefix: str) -> bytes:
        """Return the program as bytes; a prefix makes the names of its functions unique.

        Raises:
            ValueError: if it depends on this process.
        """
        return serialize(self._traced, self.metrics, prefix)

    def _open_shape(self, tensor: tf.Tensor) -> tf.TensorSpec:
        import tensorflow as tf

        return tf.TensorSpec([None] * len(tensor.shape), tensor.dtype)

    def _run(self, state: State, arrays: Arrays, plan: Plan) -> tuple[Any, ...]:
        import tensorflow as tf

        self._fix_shapes(state, arrays, plan)
        if not self.layout.stacked:
            state = tf.nest.map_structure(lambda tensor: tf.squeeze(tensor, 0), state)
            orders, validation = tf.squeeze(plan.orders, 1), tf.squeeze(plan.validation, 0)
            plan = plan._replace(orders=orders, validation=validation)
        with fused_operations(), numbers_as_inputs(self.places, plan.numbers):
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
        self, arrays: Arrays, plan: Plan, state: State, epoch: tf.Tensor, rows: tf.Tensor
    ) -> tuple[State, tf.Tensor, tf.Tensor]:
        import tensorflow as tf

        trained, logs = self._train(arrays, plan, state, epoch)
        held, outputs = self._validate(arrays, plan, trained)
        row = tf.concat([logs, held, *self._score(plan, outputs, state.active)], axis=-1)
        after = keep_best(plan, trained, row, plan.first_epoch + epoch + 1)
        if self.layout.stacked:
            after = freeze_ended(state, after)
        return after, epoch + 1, tf.tensor_scatter_nd_update(rows, [[epoch]], [row])

    def _train(
        self, arrays: Arrays, plan: Plan, state: State, epoch: tf.Tensor
    ) -> tuple[State, tf.Tensor]:
        """Do an epoch of steps; return the state and metrics of shape (replicas, metrics)."""
        import tensorflow as tf

        order, rates = plan.orders[epoch], plan.learning_rates[epoch]

        def step(index: tf.Tensor, *variables: list[tf.Tensor]) -> tuple[Any, ...]:
            weights, others, slots, totals = variables
            batch = cut(order, index, plan.batch_size)
            gradients, others, totals = self._map(
                partial(self._differentiate, plan),
                (weights, others, totals, *take(tuple(arrays[:3]), batch)),
            )
            weights, slots = self.update(plan.choice, rates[index], weights, slots, gradients)
            return index + 1, weights, others, slots, totals

        steps = count_batches(tf.shape(order)[-1], plan.batch_size)
        totals = self._start_metrics(tf.shape(order)[0])
        _, weights, others, slots, totals = loop(
            lambda index, *_: index < steps,
            step,
            (tf.constant(0), state.weights, state.others, state.slots, totals),
        )
        state = state._replace(weights=weights, others=others, slots=slots)
        return state, self._read_metrics(totals)

    def _validate(
        self, arrays: Arrays, plan: Plan, state: State
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the metrics of the validation rows, and their outputs if there are scorers."""
        import tensorflow as tf

        def step(
            index: tf.Tensor, totals: list[tf.Tensor], outputs: list[tf.Tensor]
        ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
            batch = cut(plan.validation, index, plan.validation_batch_size)
            totals, new = self._map(
                partial(self._validate_batch, plan),
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

    def _start_outputs(self, validation: tf.Tensor) -> list[tf.Tensor]:
        """Return an array to write outputs to, of shape (rows, replicas, outputs)."""
        import tensorflow as tf

        if not self.layout.scores:
            return []
        rows = tf.reverse(tf.shape(validation), [0])
        return [tf.zeros(tf.concat([rows, [self._count_outputs()]], 0))]

    def _put(
        self, outputs: list[tf.Tensor], new: list[tf.Tensor], first: tf.Tensor
    ) -> list[tf.Tensor]:
        """Write the outputs of a batch after those before it."""
        import tensorflow as tf

        def put(room: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            if self.layout.stacked:
                batch = tf.transpose(batch, [1, 0, 2])
            places = first + tf.range(tf.shape(batch)[0])
            return tf.tensor_scatter_nd_update(room, places[:, None], batch)

        return [put(room, batch) for room, batch in zip(outputs, new, strict=True)]

    def _score(self, plan: Plan, outputs: list[tf.Tensor], active: tf.Tensor) -> list[tf.Tensor]:
        """Return the scorers' values for the outputs, of shape (replicas, scores)."""
        import tensorflow as tf

        scores = [
            tf.numpy_function(score_outputs, [key, found, active], "float32")
            for key, found in zip(plan.scoring, outputs, strict=True)
        ]
        for each in scores:
            each.set_shape([*active.shape, self.layout.scores])
        return scores

    def _count_outputs(self) -> int:
        shape = self.model.output_shape[1:]
        if None in shape:
            raise UncompilableError(f"its output_shape is {shape}, but scorers need to know it")
        return math.prod(shape)

    def _make_update(self) -> Update | CommonUpdate:
        if self.layout.common:
            return CommonUpdate(stacked=self.layout.stacked)
        return self._make_own_update(Update)

    def _make_own_update(self, kind: type[AnyUpdate]) -> AnyUpdate:
        """Make the update by the model's own optimizer."""
        optimizer = make_stateless(self.model.optimizer)
        reference = [make_vector(self.trainable)] if self.layout.flat else self.trainable
        names = NUMBERS if self.layout.common else list_numbers(optimizer)
        return kind(optimizer, reference, names, stacked=self.layout.stacked)

    def _differentiate(
        self,
        plan: Plan,
        weights: list[tf.Tensor],
        others: list[tf.Tensor],
        totals: list[tf.Tensor],
        *batch: Any,
    ) -> tuple[list[tf.Tensor], ...]:
        """Return the gradients of a batch for one replica, as Keras' own ``train_step`` does."""
        import tensorflow as tf

        variables = self._split(weights, plan)
        with tf.GradientTape() as tape:
            for tensor in variables:
                tape.watch(tensor)
            loss, others, totals, _ = self._forward(variables, others, totals, batch, training=True)
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        if self.layout.flat:
            gradients = [join(gradients)]
        return gradients, others, totals

    def _validate_batch(
        self,
        plan: Plan,
        weights: list[tf.Tensor],
        others: list[tf.Tensor],
        totals: list[tf.Tensor],
        *batch: Any,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return the metrics' variables after a batch, and its outputs if there are scorers."""
        import tensorflow as tf

        variables = self._split(weights, plan)
        _, _, totals, outputs = self._forward(variables, others, totals, batch, training=False)
        if not self.layout.scores:
            return list(totals), []
        flat = tf.reshape(outputs, [-1, self._count_outputs()])
        return list(totals), [tf.cast(flat, "float32")]

    def _forward(
        self,
        variables: list[tf.Tensor],
        others: list[tf.Tensor],
        totals: list[tf.Tensor],
        batch: tuple[Any, ...],
        *,
        training: bool,
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor], tf.Tensor]:
        """Return loss, other variables, metrics' variables and outputs after a batch."""
        import tensorflow as tf

        model, (x, y, weights) = self.model, batch
        known = [*zip(self.trainable, variables, strict=True)]
        known += zip(self.others, others, strict=True)
        known += zip(model.metrics_variables, totals, strict=True)
        with scope_of(known) as after:
            outputs = call_model(model, x, training=training)
            outputs.set_shape(model.output_shape)
            arguments = {"x": x, "y": y, "y_pred": outputs}
            arguments["sample_weight"] = weights[0] if weights else None
            loss = compute_loss(model, arguments, training=training, rows=tf.shape(x)[0])
            update_metrics(model, arguments)
        others = [after.get_current_value(variable) for variable in self.others]
        totals = [after.get_current_value(v) for v in model.metrics_variables]
        return loss, others, totals, outputs

    def _map(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Apply a function of one replica to all of them."""
        return each_replica(function, arguments, stacked=self.layout.stacked)

    def _split(self, weights: list[tf.Tensor], plan: Plan) -> list[tf.Tensor]:
        """Return the trainable variables' tensors, from one vector or as they are."""
        import tensorflow as tf

        if not self.layout.flat:
            return [tf.identity(tensor) for tensor in weights]
        parts, is_open, first = tf.split(weights[0], plan.sizes), self.layout.any_width, 0
        tensors = []
        for part, variable in zip(parts, self.trainable, strict=True):
            shape, rank = tuple(variable.shape), len(variable.shape)
            if rank != 1:
                part = tf.reshape(part, plan.shapes[first : first + rank] if is_open else shape)
            part.set_shape([None] * rank if is_open else shape)
            tensors.append(part)
            first += rank
        return tensors

    def _fix_shapes(self, state: State, arrays: Arrays, plan: Plan) -> None:
        """Fix the shapes that are the same for every config of the program."""
        pairs = list(zip(state.others, self.others, strict=True))
        pairs += zip(state.best_others, self.others, strict=True)
        if isinstance(self.update, Update) and not self.layout.flat:
            pairs += zip(state.weights, self.trainable, strict=True)
            pairs += zip(state.best_weights, self.trainable, strict=True)
            pairs += zip(state.slots, self.update.variables, strict=True)
        for tensor, variable in pairs:
            if not self.layout.any_width:
                tensor.set_shape([None, *variable.shape])
        for array in (arrays.x, arrays.x_validation):
            array.set_shape([None, *self.model.input_shape[1:]])
        plan.sizes.set_shape([len(self.trainable)])

    def _start_metrics(self, replicas: tf.Tensor) -> list[tf.Tensor]:
        import tensorflow as tf

        starts = self._first_totals()
        if not self.layout.stacked:
            return starts
        return [tf.repeat(start[None], replicas, axis=0) for start in starts]

    def _first_totals(self) -> list[tf.Tensor]:
        """Return the metrics' variables before the first batch."""
        with scope_of([]) as after:
            for metric in self.model.metrics:
                metric.reset_state()
        return [after.get_current_value(v) for v in self.model.metrics_variables]

    def _read_metrics(self, totals: list[tf.Tensor]) -> tf.Tensor:
        """Return the metrics, of shape (replicas, metrics)."""
        return self._map(self._results, (totals,))

    def _results(self, totals: list[tf.Tensor]) -> tf.Tensor:
        import tensorflow as tf

        return tf.stack(list(self._name_results(totals).values()))

    def _name_results(self, totals: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        with scope_of(zip(self.model.metrics_variables, totals, strict=True)):
            results = self.model.get_metrics_result()
        for name, value in results.items():
            if len(value.shape):
                raise UncompilableError(f"metric {name!r} is not one number")
        return {name: tf.cast(value, "float32") for name, value in results.items()}

    def _name_metrics(self) -> list[str]:
        names = list(self._name_results(self._first_totals()))
        return names + [f"val_{name}" for name in names]


def list_operations(traced: tf.types.experimental.ConcreteFunction) -> list[str]:
    """Return the kind of each operation of a program and of the functions that it calls."""
    definition = traced.graph.as_graph_def()
    kinds = [node.op for node in definition.node]
    return kinds + [node.op for each in definition.library.function for node in each.node_def]


def check_stateless(traced: tf.types.experimental.ConcreteFunction, kinds: set[str]) -> None:
    """Refuse a program that keeps state between trials, given the kinds of its operations.

    Raises:
        UncompilableError: naming it.
    """
    import tensorflow as tf

    if drawing := kinds & DRAWING:
        raise UncompilableError(f"it draws random numbers of TensorFlow's own: {min(drawing)}")
    if any(tensor.dtype == tf.resource for tensor in traced.captured_inputs):
        raise UncompilableError("it uses a variable or a table that Keras does not know")


def join(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return all tensors as one vector."""
    import tensorflow as tf

    vectors = [each if each.shape.rank == 1 else tf.reshape(each, [-1]) for each in tensors]
    return tf.concat(vectors, axis=0)
