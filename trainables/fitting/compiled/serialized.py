"""Programs as bytes, which another process of the machine loads instead of tracing its own."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.fitting.compiled.arguments import Arrays, Plan, State
from trainables.fitting.compiled.keras_internals import (
    add_functions,
    call_by_name,
    has_function,
    optimised_once,
    remove_functions,
)
from trainables.fitting.compiled.scoring import score_outputs

if TYPE_CHECKING:
    import tensorflow as tf

# Operations that call a function of Python, by a token of its process.
CALLING_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")

# MiB of memory per operation of a loaded program, which has no graph in Python: 9 KiB were measured
# with one replica, and 6 with three (1 to 6 layers, with and without batch normalisation).
PER_OPERATION = 9 / 1024


class LoadedProgram:
    """A program that another process traced, as :func:`serialize` returns it.

    It is called like a :class:`~.program.Program`.

    Attributes:
        memory: about how much it takes, in MiB.

    Raises:
        ValueError: if these bytes are no program, or this process has it already.
    """

    def __init__(self, content: bytes) -> None:
        import tensorflow as tf

        graph = tf.compat.v1.GraphDef.FromString(content)
        (self._main,) = graph.node
        names = [function.signature.name for function in graph.library.function]
        if has_function(self._main.name):
            raise ValueError(f"{self._main.name} is loaded already")
        for node in list_calls(graph.library.function):
            node.attr["token"].s = _token()[0]
        add_functions(graph.library.function)
        weakref.finalize(self, remove_functions, names).atexit = False
        operations = sum(len(function.node_def) for function in graph.library.function)
        self.memory = operations * PER_OPERATION
        captured = self._main.attr["captured"].list.tensor
        self._captured = [tf.constant(tf.make_ndarray(each)) for each in captured]

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics, in their order."""
        return [name.decode() for name in self._main.attr["metrics"].list.s]

    def __call__(self, state: State, arrays: Arrays, plan: Plan) -> tuple[State, np.ndarray]:
        """Run epochs as :class:`~.program.Program` does."""
        import tensorflow as tf

        inputs = [*tf.nest.flatten((state, arrays, plan)), *self._captured]
        with optimised_once():
            found = call_by_name(self._main.name, inputs, self._main.attr["outputs"].i)
        state, epochs, rows = tf.nest.pack_sequence_as((tuple(state), 0, 0), found)
        return State(*state), rows.numpy()[: int(epochs)]


def serialize(
    traced: tf.types.experimental.ConcreteFunction, metrics: Sequence[str], prefix: str
) -> bytes:
    """Return a traced program as bytes.

    Args:
        traced: the program.
        metrics: the names of its metrics.
        prefix: of the names of its functions, so that they differ from all others.

    Raises:
        ValueError: if it calls more functions of Python than the one that scores.
    """
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    graph.library.function.extend(traced.graph.as_graph_def().library.function)
    graph.library.function.append(traced.function_def)
    tokens = {node.attr["token"].s for node in list_calls(graph.library.function)}
    if len(tokens) > 1:
        raise ValueError("it calls functions of Python")
    _rename(graph.library.function, prefix)
    main = graph.node.add(name=prefix + traced.function_def.signature.name, op="NoOp")
    main.attr["metrics"].list.s.extend(name.encode() for name in metrics)
    main.attr["outputs"].i = len(traced.function_def.signature.output_arg)
    captured = [tf.make_tensor_proto(each.numpy()) for each in traced.captured_inputs]
    main.attr["captured"].list.tensor.extend(captured)
    content: bytes = graph.SerializeToString()
    return content


def list_calls(functions: Sequence[Any]) -> Iterator[Any]:
    """Yield the nodes of some functions that call a function of Python."""
    for function in functions:
        yield from (node for node in function.node_def if node.op in CALLING_PYTHON)


def _rename(functions: Sequence[Any], prefix: str) -> None:
    """Put a prefix before the names of functions, where they are defined and where called."""
    known = {function.signature.name for function in functions}
    for function in functions:
        function.signature.name = prefix + function.signature.name
        for node in function.node_def:
            if node.op in known:
                node.op = prefix + node.op
            for value in node.attr.values():
                for called in [*([value.func] if value.HasField("func") else []), *value.list.func]:
                    if called.name in known:
                        called.name = prefix + called.name


@cache
def _token() -> tuple[bytes, Any]:
    """Return by what TensorFlow knows :func:`score_outputs` in this process, and what keeps it."""
    import tensorflow as tf

    def score(key: tf.Tensor, outputs: tf.Tensor, active: tf.Tensor) -> tf.Tensor:
        return tf.numpy_function(score_outputs, [key, outputs, active], "float32")

    specs = [tf.TensorSpec(None, kind) for kind in ("int64", "float32", "bool")]
    traced = tf.function(score, autograph=False).get_concrete_function(*specs)
    token = next(n.attr["token"].s for n in traced.graph.as_graph_def().node if "token" in n.attr)
    return token, traced
