"""Compiled epochs: the same losses as ``model.fit``, one program for many configs."""

from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from trainables import image_cnn, tabular_mlp
from trainables.fitting import fit
from trainables.fitting.compiled import fit as compiled
from trainables.fitting.compiled import program
from trainables.fitting.plain import fit_plainly
from trainables.fitting.session import Session
from trainables.fitting.task import Replica, make_task

ROWS, VALIDATION = 70, 30
CONFIG = {"batch_size": 16, "max_epochs": 2, "seed": 5}


def make_data(shape=(6,), classes=2, **more):
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS + VALIDATION, *shape)).astype("float32")
    y = random.integers(0, classes, ROWS + VALIDATION).astype("float32")
    arrays = {"x_train": x[:ROWS], "y_train": y[:ROWS]}
    return SimpleNamespace(**arrays, x_validation=x[ROWS:], y_validation=y[ROWS:], **more)


def make_build(*hidden, optimizer="adam", loss="binary_crossentropy", metrics=(), last=None):
    """A build function for a model of fresh copies of these layers."""

    def build(config):
        shape = config.get("shape", (6,))
        tensor = inputs = keras.Input(shape)
        for make in hidden:
            tensor = make()(tensor)
        outputs = (last or (lambda: layers.Dense(1, activation="sigmoid")))()(tensor)
        model = keras.Model(inputs, outputs)
        chosen = optimizer() if callable(optimizer) else optimizer
        model.compile(chosen, loss() if callable(loss) else loss, metrics=[*metrics])
        return model

    return build


@pytest.fixture
def rows(monkeypatch):
    """The epochs that the fits of a test note for their reports."""
    noted = []
    monkeypatch.setattr(Session, "note", lambda _, row: noted.append(row))
    return noted


def fit_slowly(build, config, data, **options):
    task = make_task(config, data, **options)
    return fit_plainly(partial(build, config), task, Session(config))


def fit_both(build, config, data, **options):
    return fit(build, config, data, **options), fit_slowly(build, config, data, **options)


def assert_same(fast, slow, tolerance=2e-4):
    assert fast.history.history.keys() == slow.history.history.keys()
    for name, values in slow.history.history.items():
        np.testing.assert_allclose(fast.history.history[name], values, rtol=tolerance, atol=1e-5)
    for a, b in zip(fast.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=20 * tolerance, atol=tolerance)


def dense(units=8, **options):
    return lambda: layers.Dense(units, activation="tanh", **options)


OPTIMIZERS = {
    "sgd, clipped by value": lambda: keras.optimizers.SGD(0.1, clipvalue=0.01),
    "nesterov, decayed": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.7), momentum=0.8, nesterov=True
    ),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "adam, amsgrad": lambda: keras.optimizers.Adam(0.02, amsgrad=True, beta_1=0.8),
    "adam, clipped by global norm": lambda: keras.optimizers.Adam(0.1, global_clipnorm=0.05),
    "adamw": lambda: keras.optimizers.AdamW(0.02, weight_decay=0.1),
    "adadelta": lambda: keras.optimizers.Adadelta(0.5),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.3),
    "adamax": lambda: keras.optimizers.Adamax(0.02),
    "nadam, warmed up": lambda: keras.optimizers.Nadam(
        keras.optimizers.schedules.CosineDecay(0.0, 8, warmup_target=0.2, warmup_steps=4)
    ),
    "ftrl": lambda: keras.optimizers.Ftrl(0.05, l1_regularization_strength=0.01),
    "lion, clipped by norm": lambda: keras.optimizers.Lion(0.003, clipnorm=0.05),
    "lamb": lambda: keras.optimizers.Lamb(0.02),
    "adafactor": lambda: keras.optimizers.Adafactor(0.05),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_gives_the_losses_of_model_fit(name, sessions):
    build = make_build(dense(), optimizer=OPTIMIZERS[name])
    assert_same(*fit_both(build, CONFIG, make_data()))
    assert sessions[0].path == "compiled"


MODELS = {
    "noise, dropout": (
        make_build(lambda: layers.GaussianNoise(0.3), dense(), lambda: layers.Dropout(0.4)),
        (6,),
    ),
    "dropout of the same units at each place": (
        make_build(
            dense(),
            lambda: layers.Dropout(0.4, noise_shape=(None, 1, 8)),
            layers.GlobalAveragePooling1D,
        ),
        (5, 3),
    ),
    "batch normalisation": (make_build(dense(), layers.BatchNormalization), (6,)),
    "layer normalisation, frozen layer": (
        make_build(dense(trainable=False), layers.LayerNormalization, dense()),
        (6,),
    ),
    "l1, l2 and an activity regularizer": (
        make_build(
            dense(kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02)),
            dense(activity_regularizer="l2"),
        ),
        (6,),
    ),
    "constraint": (make_build(dense(kernel_constraint=keras.constraints.MaxNorm(0.5))), (6,)),
    "mask, lstm, gru": (
        make_build(
            lambda: layers.Masking(0.0),
            lambda: layers.LSTM(4, return_sequences=True),
            lambda: layers.GRU(4),
        ),
        (5, 3),
    ),
    "attention": (
        make_build(
            lambda: layers.Rescaling(0.5),
            lambda: SelfAttention(num_heads=2, key_dim=3),
            layers.GlobalAveragePooling1D,
        ),
        (5, 4),
    ),
    "mixed precision": (make_build(dense(dtype="mixed_bfloat16"), dense(dtype="float32")), (6,)),
}


@keras.saving.register_keras_serializable("tests")
class SelfAttention(layers.MultiHeadAttention):
    def build(self, shape):
        super().build(shape, shape)

    def call(self, x, training=None):
        return super().call(x, x, training=training)

    def compute_output_shape(self, shape):
        return shape

    def compute_output_spec(self, x, **_):
        return keras.KerasTensor(x.shape, x.dtype)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_layer_gives_the_losses_of_model_fit(name, sessions):
    build, shape = MODELS[name]
    tolerance = 2e-2 if name == "mixed precision" else 2e-4
    assert_same(*fit_both(build, CONFIG | {"shape": shape}, make_data(shape)), tolerance)
    assert sessions[0].path == "compiled"


def spread(truth, outputs):
    return keras.ops.mean(keras.ops.abs(truth - outputs), axis=-1)


LOSSES = {
    "binary, smoothed": (
        lambda: keras.losses.BinaryCrossentropy(label_smoothing=0.1),
        ["accuracy", "auc", "precision"],
        1,
        "sigmoid",
        2,
    ),
    "regression": ("huber", ["mae", keras.metrics.RootMeanSquaredError], 1, "linear", 5),
    "multiclass": ("sparse_categorical_crossentropy", ["accuracy"], 4, "softmax", 4),
    "a function": (lambda: spread, [spread], 1, "linear", 3),
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_and_metric_is_that_of_model_fit(name, sessions):
    loss, metrics, units, activation, classes = LOSSES[name]

    def build(config):
        made = [metric() if isinstance(metric, type) else metric for metric in metrics]
        last = lambda: layers.Dense(units, activation=activation)  # noqa: E731
        return make_build(dense(), loss=loss, metrics=made, last=last)(config)

    assert_same(*fit_both(build, CONFIG, make_data(classes=classes)))
    assert sessions[0].path.startswith("compiled")


def test_a_step_has_one_cross_entropy_and_asks_for_no_broadcast(monkeypatch):
    found = []
    list_operations = program.list_operations
    monkeypatch.setattr(
        program, "list_operations", lambda traced: found.append(list_operations(traced)) or found[0]
    )
    monkeypatch.setenv("TUNE_JOBS_CACHE", "off")
    compiled.PROGRAMS.clear()
    build = make_build(
        dense(),
        lambda: layers.Dropout(0.1),
        loss="sparse_categorical_crossentropy",
        last=lambda: layers.Dense(4, activation="softmax"),
    )
    fit(build, CONFIG, make_data(classes=4))

    assert found[0].count("SparseSoftmaxCrossEntropyWithLogits") == 2  # of training and validation
    assert "BroadcastGradientArgs" not in found[0]


def test_a_class_that_does_not_exist_is_named():
    data = make_data(classes=5)
    build = make_build(
        dense(),
        loss="sparse_categorical_crossentropy",
        last=lambda: layers.Dense(4, activation="softmax"),
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="label value of 4"):
        fit(build, CONFIG, data)


def test_weights_of_rows_and_classes_count_as_in_model_fit():
    random = np.random.default_rng(1)
    weights = random.uniform(0.1, 3, ROWS + VALIDATION).astype("float32")
    data = make_data(weights_train=weights[:ROWS], weights_validation=weights[ROWS:])
    build = make_build(dense(), metrics=["accuracy"])
    fast, slow = fit_both(build, CONFIG, data, class_weight={1: 4.0})

    assert_same(fast, slow)
    plain = fit(build, CONFIG, make_data())
    assert fast.history.history["loss"] != plain.history.history["loss"]


@pytest.mark.parametrize("stackable", [True, False], ids=["stacked", "one after the other"])
def test_replicas_in_step_are_equal_to_separate_fits(stackable, rows, monkeypatch):
    if not stackable:
        monkeypatch.setattr(compiled, "can_be_stacked", lambda _: False)
    replicas = make_replicas()
    config = {**TABLE, **CONFIG, "max_epochs": 3, "seed": 0}
    fit(tabular_mlp.build, config, make_data(replicas=replicas))

    for index, replica in enumerate(replicas):
        alone = fit(tabular_mlp.build, config, make_data(replicas=[replica]))
        for name, values in alone.history.history.items():
            found = [row["replicas"][index][name] for row in rows[:3]]
            np.testing.assert_allclose(found, values, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("is_known", [True, False])
def test_replicas_of_two_recurrent_layers_take_turns_in_compiled_epochs(
    is_known, sessions, rows, monkeypatch
):
    if not is_known:  # but found out
        monkeypatch.setattr(compiled, "can_be_stacked", lambda _: True)
    build = make_build(
        lambda: layers.SimpleRNN(2, return_sequences=True), lambda: layers.SimpleRNN(2)
    )
    config = CONFIG | {"shape": (4, 3)}
    replicas = [Replica(seed) for seed in (1, 2)]
    compiled.PROGRAMS.clear()
    fit(build, config, make_data((4, 3), replicas=replicas))

    assert sessions[0].path == "compiled"
    assert sessions[0].fallback is None
    for index, replica in enumerate(replicas):
        alone = fit(build, config, make_data((4, 3), replicas=[replica]))
        for name, values in alone.history.history.items():
            found = [row["replicas"][index][name] for row in rows[: config["max_epochs"]]]
            np.testing.assert_allclose(found, values, rtol=2e-4, atol=1e-5)
    assert len(compiled.PROGRAMS) == (1 if is_known else 2)  # that there is none is kept, too


TABLE = {
    "task": "binary",
    "input_shape": [6],
    "outputs": 1,
    "rows": ROWS,
    "layers": [{"units": 8, "dropout": 0.3}, {"units": 5}],
    "batch_normalisation": True,
}


def make_replicas():
    """Two seeds on folds of unequal size."""
    rows = np.arange(ROWS)
    folds = [rows[rows % 3 != part] for part in range(3)]
    held = np.arange(VALIDATION)
    return [Replica(seed, fold, held[fold[0] :]) for seed in (3, 4) for fold in folds]


def test_each_replica_stops_by_its_own_patience(rows):
    config = {**TABLE, **CONFIG, "max_epochs": 30, "patience": 2}
    fit(tabular_mlp.build, config, make_data(replicas=make_replicas()))

    together, count = rows[:], []
    for replica in make_replicas():
        rows.clear()
        fit(tabular_mlp.build, config, make_data(replicas=[replica]))
        count.append(len(rows))
    trained = [[row["replicas"][i] is not None for row in together] for i in range(len(count))]
    assert [sum(each) for each in trained] == count
    assert len(set(count)) > 1


def test_configs_of_one_structure_share_a_program(sessions):
    compiled.PROGRAMS.clear()
    for units, rate, dropout, batch in [(8, 0.1, 0.5, 16), (64, 1e-4, 0.0, 32), (3, 0.01, 0.1, 7)]:
        hidden = [{"units": units, "dropout": dropout}, {"units": 2 * units}]
        optimizer = {"name": "adam", "learning_rate": rate, "beta_1": 0.9 + rate / 2}
        more = {"layers": hidden, "optimizer": optimizer, "batch_size": batch, "max_epochs": 2}
        fit(tabular_mlp.build, TABLE | more | {"kernel_initializer": "he_normal"}, make_data())

    assert len(compiled.PROGRAMS) == 1
    assert {session.path for session in sessions} == {"compiled"}


OTHER_STRUCTURES = [
    {"layers": [{"units": 8}]},
    {"batch_normalisation": False},
    {"activation": "tanh"},
    {"optimizer": {"name": "sgd", "clipvalue": 0.5}},
    {"metrics": ["accuracy", "auc"]},
    {"loss": "mean_squared_error"},
    {"optimizer": {"name": "adam", "amsgrad": True}},
]


def test_another_structure_is_another_program():
    compiled.PROGRAMS.clear()
    for count, change in enumerate([{}, *OTHER_STRUCTURES], start=1):
        fit(tabular_mlp.build, TABLE | {"max_epochs": 1} | change, make_data())

        assert len(compiled.PROGRAMS) == count, change


def build_named(config):
    """A layer has the name of an activation."""
    inputs = keras.Input((6,))
    named = layers.Dense(4, name=config["activation"])(inputs)
    hidden = layers.Dense(4, activation=config["activation"])(named)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.Adagrad(0.1, config["start"]), "binary_crossentropy")
    return model


def test_names_of_layers_and_first_values_of_slots_belong_to_no_program():
    compiled.PROGRAMS.clear()
    changes = [("relu", 0.1), ("relu", 0.5), ("tanh", 0.1)]
    configs = [CONFIG | {"activation": name, "start": start} for name, start in changes]
    fits = [fit(build_named, config, make_data()) for config in configs]

    assert len(compiled.PROGRAMS) == 2
    for fast, config in zip(fits[1:], configs[1:], strict=True):  # the first shares with none
        assert_same(fast, fit_slowly(build_named, config, make_data()))


@keras.saving.register_keras_serializable("tests")
class Dropout(layers.Layer):
    """Has the name of a layer of Keras, and another meaning."""

    def __init__(self, rate=0.0, seed=0, **options):
        super().__init__(**options)
        self.rate, self.seed = rate, seed

    def call(self, x):
        return x * (1.0 + self.rate) + self.seed

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def build_own_dropout(config):
    return make_build(dense(), lambda: Dropout(config["rate"], config["offset"]))(config)


def test_a_layer_of_ones_own_keeps_its_numbers_to_itself():
    compiled.PROGRAMS.clear()
    fit(build_own_dropout, CONFIG | {"rate": 0.1, "offset": 0}, make_data())
    for rate, offset in [(0.5, 0), (0.1, 3)]:
        config = CONFIG | {"rate": rate, "offset": offset}
        assert_same(*fit_both(build_own_dropout, config, make_data()))

    assert len(compiled.PROGRAMS) == 3


def test_a_warm_worker_gives_bit_for_bit_what_a_fresh_one_does():
    config, data = TABLE | {"max_epochs": 3, "seed": 9}, make_data()
    compiled.PROGRAMS.clear()
    first = fit(tabular_mlp.build, config, data).history.history
    for index in range(4):
        other = {"layers": [{"units": 5 + index, "dropout": 0.1 * index}] * (1 + index % 3)}
        keras.config.set_dtype_policy("mixed_bfloat16" if index == 3 else "float32")
        fit(tabular_mlp.build, TABLE | other | {"seed": index, "max_epochs": 1}, data)
    again = fit(tabular_mlp.build, config, data).history.history

    compiled.PROGRAMS.clear()
    fresh = fit(tabular_mlp.build, config, data).history.history
    assert first == again == fresh


class OwnStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


class OwnLayer(layers.Layer):
    def call(self, x):
        return x * 2


@keras.saving.register_keras_serializable("tests")
class OwnNoise(layers.Layer):
    def call(self, x, training=None):
        import tensorflow as tf

        return x + tf.random.normal(tf.shape(x)) if training else x


@keras.saving.register_keras_serializable("tests")
class OwnVariable(layers.Layer):
    def __init__(self):
        import tensorflow as tf

        super().__init__()
        self.scale = tf.Variable(2.0, trainable=False)

    def call(self, x):
        return x * self.scale


def build_own_step(config):
    inputs = keras.Input((6,))
    model = OwnStep(inputs, layers.Dense(1, activation="sigmoid")(inputs))
    model.compile("adam", "binary_crossentropy")
    return model


@keras.saving.register_keras_serializable("tests")
class OwnCounter(layers.Layer):
    """Assigns to TensorFlow's variable behind that of Keras, which a program does not have."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.value.assign_add(1.0)
        return x


def build_with_function(config):
    return make_build(optimizer=lambda: keras.optimizers.Adam(lambda: 0.01))(config)


def build_averaging(config):
    return make_build(optimizer=lambda: keras.optimizers.Adam(use_ema=True))(config)


def build_decaying(**excluded):
    """AdamW whose decay leaves some weights out."""

    def build(config):
        optimizer = keras.optimizers.AdamW(weight_decay=0.1)
        optimizer.exclude_from_weight_decay(**excluded)
        return make_build(dense(), optimizer=lambda: optimizer)(config)

    return build


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (build_averaging, "optimizer with an average of the weights"),
        (build_with_function, "optimizer with a learning rate that is a function"),
        (build_decaying(var_names=["bias"]), "optimizer with weight decay of some weights only"),
        (make_build(OwnNoise), "it draws random numbers of TensorFlow's own"),
        (make_build(OwnVariable), "it uses a variable or a table"),
        (
            make_build(OwnCounter),
            "AttributeError: Exception encountered when calling OwnCounter.call(). 'SymbolicTen",
        ),
    ],
)
def test_what_cannot_be_compiled_falls_back_and_reports_why(build, reason, sessions):
    model = fit(build, CONFIG, make_data())

    assert sessions[-1].fallback.startswith(reason)
    assert sessions[-1].path == f"model.fit: {sessions[-1].fallback}"
    assert len(model.history.history["val_loss"]) == 2


@pytest.mark.parametrize(
    ("build", "path"),
    [
        (build_own_step, "model.fit: the model has its own train_step"),
        (
            make_build(OwnLayer),
            "compiled, not shared: OwnLayer is neither Keras' own nor regis",
        ),
    ],
)
def test_what_is_made_for_model_fit_or_not_shared_is_no_fallback(build, path, sessions):
    fit(build, CONFIG, make_data())

    assert sessions[-1].path.startswith(path)
    assert sessions[-1].fallback is None


class Focal(keras.losses.Loss):
    """As users write it: without a get_config that says gamma."""

    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma

    def call(self, truth, outputs):
        return keras.ops.mean(keras.ops.abs(truth - outputs) ** self.gamma, axis=-1)


def build_focal(config):
    return make_build(dense(), loss=lambda: Focal(config["number"]))(config)


def build_closure(config):
    def act(x):
        return keras.ops.leaky_relu(x, config["number"])

    return make_build(lambda: layers.Dense(8, activation=act))(config)


def build_adapted(config):
    def adapted():
        layer = layers.Normalization()
        layer.adapt(np.random.default_rng(0).normal(config["number"], 1, (50, 6)))
        return layer

    return make_build(adapted, dense())(config)


@pytest.mark.parametrize("build", [build_focal, build_closure, build_adapted])
def test_numbers_that_keras_does_not_tell_are_shared_with_no_other_trial(build, sessions):
    compiled.PROGRAMS.clear()
    fit(build, CONFIG | {"number": 0.5}, make_data())
    assert_same(*fit_both(build, CONFIG | {"number": 2.0}, make_data()))

    assert not compiled.PROGRAMS
    assert sessions[0].path.startswith("compiled, not shared: ")


def build_closed_loss(config):
    number = config["number"]

    def loss(truth, outputs):
        return keras.ops.mean(keras.ops.abs(truth - outputs) ** number, axis=-1)

    return make_build(dense(), loss=lambda: loss)(config)


def test_a_loss_that_travels_by_value_is_shared_while_it_computes_the_same(sessions):
    compiled.PROGRAMS.clear()
    for seed in (1, 2):
        fit(build_closed_loss, CONFIG | {"number": 1.5, "seed": seed}, make_data())
    assert len(compiled.PROGRAMS) == 1
    assert_same(*fit_both(build_closed_loss, CONFIG | {"number": 2.0}, make_data()))

    assert len(compiled.PROGRAMS) == 2
    assert [session.path for session in sessions[:3]] == ["compiled"] * 3


def define(factor):
    """A layer as a notebook's cell defines it, run once more after a change."""

    @keras.saving.register_keras_serializable("cells", "Times")
    class Times(keras.layers.Layer):
        def call(self, x):
            return factor * x

    Times.__qualname__ = "Times"
    return Times


def test_a_layer_that_is_defined_again_shares_no_program_with_the_one_before(sessions):
    fit(make_build(define(2.0)), CONFIG, make_data())
    assert_same(*fit_both(make_build(define(3.0)), CONFIG, make_data()))

    assert [session.path for session in sessions[:2]] == ["compiled"] * 2


def test_weights_that_build_has_loaded_are_those_of_every_replica(rows):
    def build(config):
        model = make_build(dense())(config)
        model.set_weights([np.full(weights.shape, 0.1) for weights in model.get_weights()])
        return model

    replicas = [Replica(seed) for seed in (1, 2)]
    fit(build, CONFIG | {"max_epochs": 1}, make_data(replicas=replicas))
    together = [replica["loss"] for replica in rows[0]["replicas"]]
    fit(build, CONFIG | {"max_epochs": 1}, make_data(replicas=replicas[1:]))

    assert together[1] == pytest.approx(rows[1]["loss"], rel=1e-4)


def test_a_sequential_model_without_an_input_layer_is_compiled(sessions):
    def build(*first):
        own = [layers.Dense(4), layers.Dense(1, activation="sigmoid")]
        model = keras.Sequential([*first, *own])
        model.compile("adam", "binary_crossentropy")
        return model

    model = fit(lambda _: build(), CONFIG, make_data())
    same = fit(lambda _: build(keras.Input((6,))), CONFIG, make_data())

    assert sessions[-2].path == "compiled"
    assert model.history.history == same.history.history


def test_a_model_whose_shapes_only_a_call_tells_is_fitted(sessions):
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1, activation="sigmoid")

        def call(self, x):
            return self.dense(x)

    def build(config):
        model = Subclassed()
        model.compile("adam", "binary_crossentropy")
        return model

    model = fit(build, CONFIG, make_data())

    assert sessions[-1].path == "model.fit: the model is not built"
    assert len(model.history.history["val_loss"]) == 2


def test_a_model_that_is_not_compiled_says_so():
    def build(config):
        return keras.Sequential([keras.Input((6,)), layers.Dense(1)])

    with pytest.raises(ValueError, match="returned a model that is not compiled"):
        fit(build, CONFIG, make_data())


def test_tensorflows_own_random_numbers_follow_from_the_seed():
    def build(config):
        import tensorflow as tf

        model = make_build(dense())(config)
        weights = model.get_weights()
        model.set_weights([tf.random.normal(w.shape).numpy() for w in weights])
        return model

    first = fit(build, CONFIG, make_data()).history.history
    fit(make_build(dense()), CONFIG | {"seed": 77}, make_data())

    assert fit(build, CONFIG, make_data()).history.history == first


def test_a_callback_needs_model_fit(sessions):
    stop = keras.callbacks.EarlyStopping(patience=0, monitor="val_loss")
    slower = keras.callbacks.ReduceLROnPlateau()
    fit(make_build(dense()), CONFIG, make_data(), callbacks=[stop, slower])

    assert sessions[-1].path == "model.fit: callback ReduceLROnPlateau"
    assert sessions[-1].fallback is None


def make_stop(**options):
    return keras.callbacks.EarlyStopping(monitor="val_accuracy", **options)


@pytest.mark.parametrize(
    "options", [{"patience": 2}, {"patience": 2, "restore_best_weights": True}]
)
@pytest.mark.parametrize("replicas", [1, 3])
def test_early_stopping_is_compiled_and_stops_as_in_model_fit(options, replicas, sessions, rows):
    build = make_build(dense(), optimizer="sgd", metrics=["accuracy"])
    own = tuple(Replica(seed) for seed in (4, 5, 6)[:replicas])
    data, config = make_data(replicas=own), CONFIG | {"max_epochs": 12}
    fast = fit(build, config, data, callbacks=lambda: [make_stop(**options)])
    fast_rows = rows[:]
    rows.clear()
    lists = [[make_stop(**options)] for _ in own]
    slow = fit_plainly(partial(build, config), make_task(config, data), Session(config), lists)

    assert sessions[0].path == "compiled"
    assert len(fast_rows) == len(rows) < 12
    kept = [[each is not None for each in row.get("replicas", [row])] for row in rows]
    assert [[e is not None for e in row.get("replicas", [row])] for row in fast_rows] == kept
    if replicas > 1:
        assert not all(map(all, kept))  # one of them stopped before the others
    for a, b in zip(fast.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-3, atol=2e-4)


def test_an_input_pipeline_needs_model_fit(sessions):
    import tensorflow as tf

    arrays = make_data()
    train = tf.data.Dataset.from_tensor_slices((arrays.x_train, arrays.y_train)).batch(16)
    held = (arrays.x_validation, arrays.y_validation)
    data = SimpleNamespace(x_train=train, y_train=None, x_validation=held, y_validation=None)
    model = fit(make_build(dense()), CONFIG, data)

    assert sessions[-1].path == "model.fit: x_train is not an array of numbers"
    assert len(model.history.history["val_loss"]) == 2


def test_replicas_take_turns_where_model_fit_is_needed(rows):
    fit(build_own_step, CONFIG, make_data(replicas=make_replicas()[2:4]))

    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(len(row["replicas"]) == 2 for row in rows)


def test_convolutions_are_compiled_too(sessions):
    config = {
        "task": "multiclass",
        "input_shape": [8, 8, 1],
        "outputs": 3,
        "maximum": 1.0,
        "blocks": [{"filters": 4, "kernel_size": 3}],
        "dense_units": 8,
        "dropout": 0.2,
    }
    assert_same(*fit_both(image_cnn.build, config | CONFIG, make_data((8, 8, 1), classes=3)))
    assert sessions[0].path == "compiled"
