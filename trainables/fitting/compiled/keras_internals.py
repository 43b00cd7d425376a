"""Every private name of Keras and TensorFlow that fitting relies on, behind public names.

The names are checked once per process, when its first fit starts. If a version lacks one, a fit
that cannot do without it is refused; a fit that only cannot be compiled runs ``model.fit``.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# The minor versions that were tested, as pyproject.toml has them.
TESTED = {"keras": "3.15", "tensorflow": "2.21"}

GLOBAL_STATE = "keras.src.backend.common.global_state"
TF_OPTIMIZER = "keras.src.backend.tensorflow.optimizer"
BASE_OPTIMIZER = "keras.src.optimizers.base_optimizer"
TF_CONTEXT = "tensorflow.python.eager.context"
TF_NUMPY = "keras.src.backend.tensorflow.numpy"
TF_NN = "tensorflow.python.ops.nn_ops"

# The attribute of a late variable that holds its first value, or the initializer that makes it.
FIRST = "first_value"

Kind = Literal["fit", "compiled fit", "fit on several devices"]

# By kind of fit, the attributes that it needs of modules, and of the examples made below.
NEEDED: dict[Kind, dict[str, tuple[str, ...]]] = {
    "fit": {
        GLOBAL_STATE: ("GLOBAL_STATE_TRACKER", "GLOBAL_SETTINGS_TRACKER"),
        TF_CONTEXT: ("context",),
        "Context": ("_seed", "_rng"),
        "KerasTensor": ("_keras_history",),
        "Model": ("_compile_loss", "_compile_metrics"),
    },
    "compiled fit": {
        TF_CONTEXT: ("FunctionCallOptions",),
        "a context": (
            *("has_function", "add_function_def", "remove_function", "call_function"),
            "function_call_options",
        ),
        TF_NUMPY: ("add",),
        TF_NN: ("_sparse_softmax_cross_entropy_with_rank_2_logits",),
        TF_OPTIMIZER: ("TFOptimizer",),
        BASE_OPTIMIZER: ("BaseOptimizer",),
        "Model": (
            *("_flatten_layers", "_call_has_training_arg", "_compute_loss", "_loss_tracker"),
            "_compile_config",
        ),
        "Layer": ("_tracker", "_seed_generators"),
        "Optimizer": ("_learning_rate", "_use_weight_decay"),
        "Variable": ("_initialize_with_initializer", "_initialize"),
        "a variable": ("_value", "_shape", "_dtype"),
        "StatelessScope": ("state_mapping",),
        "Sequential": ("_maybe_rebuild", "_functional", "_layers", "_open_name_scope"),
    },
    "fit on several devices": {"Model": ("_symbolic_build", "_maybe_symbolic_build")},
}

# What is there only if Keras runs on TensorFlow.
ON_TENSORFLOW = (TF_CONTEXT, "Context", "a context", TF_NUMPY, TF_NN, TF_OPTIMIZER)


class UnsupportedVersionError(RuntimeError):
    """Raised if the installed Keras or TensorFlow lacks what a fit needs."""


def check_internals(kind: Kind) -> None:
    """Refuse versions of Keras and TensorFlow that lack what a kind of fit needs.

    Raises:
        UnsupportedVersionError: naming the version, what it lacks and the remedy.
    """
    if reason := why_unsupported(kind):
        raise UnsupportedVersionError(reason)


def why_unsupported(kind: Kind) -> str | None:
    """Return why the installed versions cannot do a kind of fit, or None if they can."""
    return find_missing().get(kind)


@cache
def find_missing() -> dict[Kind, str]:
    """Return one line for each kind of fit that lacks something.

    The first call makes a small model; call :func:`forget_names` after it.
    """
    import keras

    examples = _make_examples()
    skipped = () if keras.backend.backend() == "tensorflow" else ON_TENSORFLOW
    missing: dict[Kind, str] = {}
    for kind, owners in NEEDED.items():
        for owner in (each for each in owners if each not in skipped):
            found = examples.get(owner, partial(_find_module, owner))()
            for name in owners[owner]:
                if not hasattr(found, name):
                    missing.setdefault(kind, _describe_missing(owner, name))
    return missing


def _make_examples() -> dict[str, Callable[[], Any]]:
    """Return functions that return an object of each class; some set attributes only in objects."""
    import keras

    inputs = keras.Input((1,))
    model = keras.Model(inputs, inputs)
    model.compile("sgd", "mean_squared_error")
    return {
        "Model": lambda: model,
        "Layer": keras.layers.Layer,
        "KerasTensor": lambda: inputs,
        "Optimizer": lambda: model.optimizer,
        "Variable": lambda: keras.Variable,
        "a variable": lambda: keras.Variable(0.0),
        "StatelessScope": keras.StatelessScope,
        "Sequential": keras.Sequential,
        "Context": _read_context,
        "a context": lambda: import_module(TF_CONTEXT).context(),
    }


def _read_context() -> SimpleNamespace:
    """Return the attributes that the methods of TensorFlow's context read, set by now or later."""
    context = getattr(_find_module(TF_CONTEXT), "context", lambda: None)
    methods = [each for each in vars(type(context())).values() if isinstance(each, FunctionType)]
    return SimpleNamespace(**dict.fromkeys(n for m in methods for n in m.__code__.co_names))


def _find_module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def _describe_missing(owner: str, name: str) -> str:
    library = "tensorflow" if owner in (TF_CONTEXT, "Context", "a context") else "keras"
    version, tested = import_module(library).__version__, TESTED[library]
    return (
        f"{library} {version} has no {owner}.{name}, which version {tested} had; "
        f'install the version that was tested: pip install "{library}=={tested}.*"'
    )


def is_keras(thing: object) -> bool:
    """Return whether an object is of one of Keras' own classes."""
    return is_keras_module(type(thing).__module__)


def is_keras_module(name: object) -> bool:
    """Return whether a module's name is one of Keras' own."""
    return str(name or "").split(".")[0] == "keras"


def forget_names() -> None:
    """Forget the names of layers made so far, and Keras' settings, as a new process would.

    ``keras.utils.clear_session`` would empty TensorFlow's cache of kernels too, so that every
    program would be made ready again, and search the whole heap for garbage.
    """
    state: Any = import_module(GLOBAL_STATE)
    state.GLOBAL_STATE_TRACKER = threading.local()
    state.GLOBAL_SETTINGS_TRACKER = threading.local()


def seed_tensorflow(seed: int) -> None:
    """Seed TensorFlow's random operations, and keep its cache of kernels.

    ``tf.random.set_seed`` would empty the cache, which compiled programs live in.
    """
    context = import_module(TF_CONTEXT).context()
    context._seed, context._rng = seed, random.Random(seed)


def has_drawn(seed: int) -> bool:
    """Return whether TensorFlow has drawn random numbers since it was seeded."""
    generator: random.Random = import_module(TF_CONTEXT).context()._rng
    return generator.getstate() != random.Random(seed).getstate()


def has_function(name: str) -> bool:
    """Return whether TensorFlow has a function of a name in this process."""
    return bool(import_module(TF_CONTEXT).context().has_function(name))


def add_functions(definitions: Iterable[Any]) -> None:
    """Give TensorFlow functions, of which one may call the others."""
    for definition in definitions:
        import_module(TF_CONTEXT).context().add_function_def(definition)


def remove_functions(names: Iterable[str]) -> None:
    """Let TensorFlow forget functions, and all that it made ready to run them."""
    for name in names:
        import_module(TF_CONTEXT).context().remove_function(name)


def call_by_name(name: str, inputs: list[tf.Tensor], outputs: int) -> list[tf.Tensor]:
    """Call a function of TensorFlow, and return its outputs."""
    context = import_module(TF_CONTEXT).context()
    found: list[tf.Tensor] = context.call_function(name.encode(), inputs, outputs)
    return found


@contextmanager
def optimised_once() -> Iterator[None]:
    """Let TensorFlow optimise the graph of a function that is called in the block in one pass.

    By default it makes two, of which the second takes a third of the time until the first result
    and changes nothing in a program.
    """
    context = import_module(TF_CONTEXT).context()
    before = context.function_call_options
    options = _one_pass(before.executor_type, before.config_proto_serialized)
    context.function_call_options = options
    try:
        yield
    finally:
        context.function_call_options = before


@cache
def _one_pass(executor: str | None, config: bytes | None) -> Any:
    """Return options of calls with one pass of optimisation."""
    import tensorflow as tf

    own = tf.compat.v1.ConfigProto.FromString(config or b"")
    own.graph_options.rewrite_options.meta_optimizer_iterations = 1
    return import_module(TF_CONTEXT).FunctionCallOptions(executor, own)


@contextmanager
def fused_operations() -> Iterator[None]:
    """Trace a bias of open width, and the cross-entropy of class numbers, in few operations.

    The gradient of a sum asks at each step which side was broadcast; that of a bias is known.
    (``tf.nn.bias_add`` is fused with the product before it, which takes longer for small ones.)
    TensorFlow makes a hundred operations of the cross-entropy wherever results have to be the same
    again, but only a GPU has no single one that gives the same again.
    """
    import tensorflow as tf

    numpy: Any = import_module(TF_NUMPY)
    nn: Any = import_module(TF_NN)
    add, cross_entropy = numpy.add, nn._sparse_softmax_cross_entropy_with_rank_2_logits
    numpy.add = partial(_add, add)
    if not tf.config.get_visible_devices("GPU"):
        nn._sparse_softmax_cross_entropy_with_rank_2_logits = _cross_entropy
    try:
        yield
    finally:
        numpy.add = add
        nn._sparse_softmax_cross_entropy_with_rank_2_logits = cross_entropy


def _add(add: Callable[[Any, Any], Any], x1: Any, x2: Any) -> Any:
    """Add a vector of open length to a product of matrices as a bias, the rest as Keras does."""
    import keras
    import tensorflow as tf

    if tf.is_symbolic_tensor(x1) and x1.op.type == "MatMul" and isinstance(x2, keras.Variable):
        bias = x2.value
        if bias.shape.rank == 1 and bias.shape[0] is None and bias.dtype == x1.dtype:
            return _add_bias(x1, bias)
    return add(x1, x2)


def _add_bias(product: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def add(rows: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        return rows + vector, lambda change: (change, tf.reduce_sum(change, 0))

    return add(product, bias)


def _cross_entropy(logits: tf.Tensor, labels: tf.Tensor, name: str | None = None) -> tf.Tensor:
    import tensorflow as tf

    return tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
        features=logits, labels=labels, name=name
    ).loss


@contextmanager
def variables_late() -> Iterator[dict[int, keras.initializers.Initializer]]:
    """Give variables that are made in the block their values when these are first read.

    A variable of TensorFlow takes longer to make than a layer, and a compiled fit needs none. A
    variable whose value might be another one later gets it at once. Yields the initializer that
    each variable is made with, by the variable's id.
    """
    import keras

    found: dict[int, keras.initializers.Initializer] = {}
    kind, (at_once, from_value) = keras.Variable, _originals()

    def draw(variable: keras.Variable, initializer: keras.initializers.Initializer) -> None:
        found[id(variable)] = initializer
        _delay(variable, initializer, at_once, is_fixed=_is_pure(initializer))

    def take(variable: keras.Variable, value: tf.Tensor) -> None:
        _delay(variable, value, from_value, is_fixed=_is_eager(value))

    before = kind._initialize_with_initializer, kind._initialize
    kind._initialize_with_initializer, kind._initialize = draw, take
    try:
        yield found
    finally:
        kind._initialize_with_initializer, kind._initialize = before


@contextmanager
def layers_called_once() -> Iterator[None]:
    """Let a sequential model to which the block adds a layer call only that layer.

    Keras calls all layers for each that is added, and connects them to a functional model. They are
    connected when anything reads the functional model, and at the end.
    """
    import keras

    kind, connect = keras.Sequential, keras.Sequential._maybe_rebuild
    growth = _Growth(connect)
    kind._maybe_rebuild = lambda model: growth.add(model)
    setattr(kind, "_functional", property(growth.read, growth.write))  # noqa: B010
    try:
        yield
        growth.connect_all()
    finally:
        kind._maybe_rebuild = connect
        delattr(kind, "_functional")


class _Growth:
    """Sequential models to which layers are added.

    Args:
        connect: Keras' own function that calls all layers of a model and connects them.
    """

    def __init__(self, connect: Callable[[keras.Sequential], None]) -> None:
        self._connect = connect
        # By the id of the model: the model, its layers so far, and the last one's output.
        self._ends: dict[int, tuple[keras.Sequential, list[keras.layers.Layer], Any]] = {}
        self._unconnected: dict[int, keras.Sequential] = {}

    def add(self, model: keras.Sequential) -> None:
        """Call the layer that was added to a model, or all if more has changed."""
        _, known, end = self._ends.pop(id(model), (model, None, None))
        layers = list(model._layers)
        if layers[:-1] != known or not all(map(is_keras, layers)):
            self.connect(model)
            return
        try:
            with model._open_name_scope():
                end = layers[-1](end)
        except Exception:  # noqa: BLE001  # which Keras explains
            self.connect(model)
            return
        model.built = True
        self._ends[id(model)] = model, layers, end
        self._unconnected[id(model)] = model

    def connect(self, model: keras.Sequential) -> None:
        """Connect a model as Keras does, but call no layer again that has been called."""
        import keras

        self._unconnected.pop(id(model), None)
        _, called, end = self._ends.get(id(model), (model, None, None))
        if called == list(model._layers):
            vars(model)["_functional"] = keras.Model(called[0].output, end)
            return
        self._connect(model)
        made = vars(model).get("_functional")
        if is_keras(model) and made is not None and len(made.outputs) == 1:
            self._ends[id(model)] = model, list(model._layers), made.outputs[0]

    def connect_all(self) -> None:
        """Connect the models that nothing has read since a layer was added."""
        for model in list(self._unconnected.values()):
            self.connect(model)

    def read(self, model: keras.Sequential) -> keras.Model | None:
        """Return a model's functional model, connected if need be."""
        if id(model) in self._unconnected:
            self.connect(model)
        made: keras.Model | None = vars(model).get("_functional")
        return made

    def write(self, model: keras.Sequential, made: keras.Model | None) -> None:
        """Give a model its functional model, or none."""
        self._unconnected.pop(id(model), None)
        vars(model)["_functional"] = made


def value_of(variable: keras.Variable) -> np.ndarray:
    """Return the value of a variable, without making it if it is late."""
    if not isinstance(variable, _late_kind()):
        return np.asarray(variable)
    if callable(first := vars(variable)[FIRST]):
        first = first(variable._shape, dtype=variable._dtype)
    vars(variable)[FIRST] = value = np.asarray(first)
    return value


def give_value(variable: keras.Variable, value: np.ndarray) -> None:
    """Assign a value to a variable; one that is late has it when it is first read."""
    if isinstance(variable, _late_kind()):
        vars(variable)[FIRST] = value
    else:
        variable.assign(value)


@cache
def _originals() -> tuple[Callable[..., None], Callable[..., None]]:
    """Return Keras' own functions that give a variable its value: an initializer's, or a tensor."""
    import keras

    return keras.Variable._initialize_with_initializer, keras.Variable._initialize


@cache
def _late_kind() -> type[keras.Variable]:
    """Return the class of late variables, which become ordinary ones when they are read."""
    import keras
    import tensorflow as tf

    def read(variable: keras.Variable) -> tf.Variable | tf.Tensor:
        first = vars(variable)[FIRST]
        if variable._shape is None:  # Keras is still making it, and asks for the shape
            return first
        write(variable, None)
        draw, take = _originals()
        with tf.init_scope():
            draw(variable, first) if callable(first) else take(variable, first)
        return variable._value

    def write(variable: keras.Variable, value: tf.Variable | None) -> None:
        del vars(variable)[FIRST]
        variable.__class__ = keras.Variable
        variable._value = value

    def reduce(variable: keras.Variable, protocol: int) -> Any:
        read(variable)  # pickle finds classes by their names
        return variable.__reduce_ex__(protocol)

    def numpy(variable: keras.Variable) -> Any:
        return value_of(variable)[()].copy()  # a scalar as such, as of a variable of TensorFlow

    members = {"_value": property(read, write), "__reduce_ex__": reduce, "numpy": numpy}
    return type("LateVariable", (keras.Variable,), members)


def _delay(
    variable: keras.Variable, first: Any, at_once: Callable[..., None], *, is_fixed: bool
) -> None:
    """Make a variable late if its value is fixed and nothing here needs it, or give it at once."""
    import keras
    import tensorflow as tf

    is_plain = type(variable) is keras.Variable  # one of a subclass would lose its class
    if is_fixed and is_plain and tf.executing_eagerly() and not tf.distribute.has_strategy():
        variable.__class__ = _late_kind()
        vars(variable)[FIRST] = first
    else:
        at_once(variable, first)


def _is_pure(initializer: Any) -> bool:
    """Return whether an initializer gives the same values whenever it is called."""
    if isinstance(initializer, FunctionType):
        made_by = initializer.__qualname__.split(".")[0]
        return is_keras_module(initializer.__module__) and made_by == "SeedGenerator"
    return is_keras(initializer) and isinstance(getattr(initializer, "seed", 0), int)


def _is_eager(value: Any) -> bool:
    import tensorflow as tf

    return isinstance(value, tf.Tensor) and not tf.is_symbolic_tensor(value)


def layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    """Return all layers of a model, those inside others too, and the model itself first."""
    return list(model._flatten_layers())


def origin_of(tensor: keras.KerasTensor) -> tuple[keras.Operation, int]:
    """Return the layer or operation that a symbolic tensor comes from, and which output it is."""
    history = tensor._keras_history
    return history.operation, history.tensor_index


def seed_generators_of(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """Return the random states that a layer holds itself."""
    return list(layer._seed_generators)


def give_seed_generator(layer: keras.layers.Layer, generator: keras.random.SeedGenerator) -> None:
    """Give a built layer the random state that it lacks, as its ``seed_generator``."""
    layer._tracker.unlock()
    layer.seed_generator = generator
    layer._tracker.lock()


def learning_rate_of(
    optimizer: keras.optimizers.Optimizer,
) -> keras.Variable | keras.optimizers.schedules.LearningRateSchedule:
    """Return an optimizer's learning rate: a variable, or the schedule or function it was given."""
    return optimizer._learning_rate


def decays_all(optimizer: keras.optimizers.Optimizer, variables: Iterable[keras.Variable]) -> bool:
    """Return whether an optimizer's weight decay, if any, applies to all of the variables."""
    return not optimizer.weight_decay or all(map(optimizer._use_weight_decay, variables))


def compile_arguments_of(model: keras.Model) -> dict[str, Any]:
    """Return the arguments of ``model.compile`` except the optimizer, as Keras serialises them."""
    return {name: v for name, v in model._compile_config.config.items() if name != "optimizer"}


def has_loss(model: keras.Model) -> bool:
    """Return whether a model was compiled with a loss."""
    return getattr(model, "_compile_loss", None) is not None


def build_loss_and_metrics(model: keras.Model, targets: tf.Tensor, outputs: tf.Tensor) -> None:
    """Create the variables of loss and metrics, as Keras does at the first batch."""
    for part in (model._compile_loss, model._compile_metrics):
        if part is not None and not part.built:
            part.build(targets, outputs)


def convert_for_metrics(
    model: keras.Model, choose: Callable[[keras.metrics.Metric], Callable[[Any], Any]]
) -> None:
    """Let a model's metrics see converted targets and outputs; each may have its conversion."""
    metrics = model._compile_metrics
    if metrics is None or "update_state" in vars(metrics):  # converted already
        return
    update = metrics.update_state

    def update_state(y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if not metrics.built:
            metrics.build(y_true, y_pred)
        for metric in metrics.metrics:
            if "update_state" not in vars(metric):
                _convert_arguments(metric, "update_state", choose(metric))
        update(y_true, y_pred, sample_weight)

    object.__setattr__(metrics, "update_state", update_state)


def convert_for_loss(model: keras.Model, convert: Callable[[Any], Any]) -> None:
    """Let a model's loss see converted targets and outputs."""
    if has_loss(model) and "call" not in vars(model._compile_loss):
        _convert_arguments(model._compile_loss, "call", convert)


def _convert_arguments(owner: Any, name: str, convert: Callable[[Any], Any]) -> None:
    """Replace a method of targets, outputs and weights by one that converts the first two."""
    method = getattr(owner, name)

    def convert_and_call(y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return method(convert(y_true), convert(y_pred), sample_weight)

    object.__setattr__(owner, name, convert_and_call)


def call_model(model: keras.Model, x: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Return a model's outputs, as ``train_step`` and ``test_step`` call it."""
    return model(x, training=training) if model._call_has_training_arg else model(x)


def compute_loss(
    model: keras.Model, batch: dict[str, Any], *, training: bool, rows: tf.Tensor
) -> tf.Tensor:
    """Return the loss of a batch, and add it to the mean of the epoch.

    Args:
        model: compiled with a loss.
        batch: ``x``, ``y``, ``y_pred`` and ``sample_weight``.
        training: whether it is a training step.
        rows: the number of rows in the batch.
    """
    loss = model._compute_loss(**batch, training=training)
    model._loss_tracker.update_state(loss, sample_weight=rows)
    return loss


def update_metrics(model: keras.Model, batch: dict[str, Any]) -> None:
    """Update the metrics as ``compute_metrics`` does, which would compute them at each step."""
    import keras

    if type(model).compute_metrics is not keras.Model.compute_metrics:
        model.compute_metrics(**batch)
    elif model._compile_metrics is not None:
        names = ("y", "y_pred", "sample_weight")
        model._compile_metrics.update_state(*(batch[name] for name in names))


def scope_of(values: Iterable[tuple[keras.Variable, tf.Tensor]]) -> keras.StatelessScope:
    """Return a Keras scope in which variables have given values, whatever the values' width."""
    import keras

    scope = keras.StatelessScope(collect_losses=True)
    # Keras' own constructor refuses a tensor whose shape is known only at run time.
    scope.state_mapping.update({id(variable): tensor for variable, tensor in values})
    return scope


def make_stateless(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return an optimizer of the same class and numbers that changes no variable of TensorFlow's.

    Its learning rate is 0 until it is given one in each step.
    Keras writes its optimizers without reference to a backend; for TensorFlow it overrides methods
    with assignments that need resource variables. Those methods are put back here.
    """
    import keras

    overriding = vars(import_module(TF_OPTIMIZER).TFOptimizer)
    original = vars(import_module(BASE_OPTIMIZER).BaseOptimizer)
    names = [name for name in overriding if name in original and name != "__init__"]
    plain = {name: original[name] for name in names}
    between = type("StatelessOptimizer", (keras.optimizers.Optimizer,), plain)
    kind: Any = type(type(optimizer).__name__, (type(optimizer), between), {})
    return kind.from_config(optimizer.get_config() | {"learning_rate": 0.0})


def build_variables(model: keras.Model, batch: Any) -> None:
    """Create all variables of a compiled model, its loss and its metrics, for such a batch."""
    model._symbolic_build(data_batch=batch)


def replace_late_build(model: keras.Model, function: Callable[[], None]) -> None:
    """Call a function where Keras would create missing variables: before it trains or scores."""
    model._maybe_symbolic_build = lambda **_: function()
