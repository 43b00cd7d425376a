import numpy as np
import pytest

from trainables.compilation import compile_model, count_steps, make_optimizer, make_schedule
from trainables.layers import make_inputs

OPTIMIZERS = [
    {"name": "adam", "learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6},
    {"name": "rmsprop", "learning_rate": 0.01, "rho": 0.8, "momentum": 0.5, "epsilon": 1e-6},
    {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
    {"name": "adagrad", "learning_rate": 0.01, "initial_accumulator_value": 0.2, "epsilon": 1e-6},
    {"name": "adadelta", "learning_rate": 0.01, "rho": 0.9, "epsilon": 1e-6},
]
DECAYS = [
    {"name": "none"},
    {"name": "exponential", "rate": 0.9, "steps": 2, "staircase": True},
    {"name": "cosine"},
]


def name(part):
    return part["name"]


@pytest.mark.parametrize(
    ("optimizer", "decay"),
    [(optimizer, DECAYS[1]) for optimizer in OPTIMIZERS]
    + [(OPTIMIZERS[0], DECAYS[0]), (OPTIMIZERS[0], DECAYS[2])],
    ids=name,
)
def test_every_optimizer_and_every_decay_trains(optimizer, decay):
    import keras

    config = {"optimizer": optimizer, "decay": decay, "rows": 4, "batch_size": 2, "max_epochs": 2}
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    before = model.get_weights()[0].copy()
    model.compile(make_optimizer(config), "mse", jit_compile=False)
    model.fit(np.ones((4, 1)), np.full((4, 1), 9.0), batch_size=2, verbose=0)

    assert not np.array_equal(model.get_weights()[0], before)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name)
def test_an_optimizers_own_hyperparameters_reach_keras(optimizer):
    made = make_optimizer({"optimizer": optimizer}).get_config()
    own = {key: value for key, value in optimizer.items() if key != "name"}

    assert {key: made[key] for key in own} == pytest.approx(own)


def test_an_absent_hyperparameter_keeps_keras_default():
    import keras

    made = make_optimizer({"optimizer": {"name": "rmsprop"}}).get_config()

    assert made | {"name": None} == keras.optimizers.RMSprop().get_config() | {"name": None}


def test_no_optimizer_means_adam():
    assert type(make_optimizer({})).__name__ == "Adam"


def test_a_hyperparameter_of_another_optimizer_is_refused():
    with pytest.raises(
        ValueError, match=r"optimizer 'sgd' has no hyperparameter 'beta_1'; it has: "
    ):
        make_optimizer({"optimizer": {"name": "sgd", "beta_1": 0.9}})


def test_an_unknown_optimizer_is_named_with_the_known():
    with pytest.raises(ValueError, match=r"no optimizer named 'adm'; Keras has: .*adam, .*sgd"):
        make_optimizer({"optimizer": {"name": "adm"}})


@pytest.mark.parametrize(
    ("decay", "message"),
    [
        ({"name": "linear"}, r"no decay named 'linear'; known: none, exponential, cosine"),
        ({"name": "exponential", "rate": 0.9}, r"decay 'exponential' lacks steps"),
        ({"name": "cosine", "rate": 0.9}, r"decay 'cosine' has no hyperparameter 'rate'"),
    ],
)
def test_a_decay_that_does_not_fit_is_refused(decay, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer({"decay": decay, "rows": 4})


def test_a_fit_has_as_many_steps_as_epochs_times_batches():
    assert count_steps({"max_epochs": 3, "rows": 65, "batch_size": 32}) == 9


def test_cosine_decay_ends_with_the_fit():
    schedule = make_schedule(
        0.1, {"decay": {"name": "cosine"}, "max_epochs": 3, "rows": 65, "batch_size": 32}
    )

    assert float(schedule(0)) == pytest.approx(0.1)
    assert float(schedule(8)) > 0
    assert float(schedule(9)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("staircase", "expected"), [(True, 0.1), (False, 0.1 * 0.5**0.5)])
def test_exponential_decay_is_smooth_or_in_stairs(staircase, expected):
    decay = {"name": "exponential", "rate": 0.5, "steps": 10, "staircase": staircase}

    assert float(make_schedule(0.1, {"decay": decay})(5)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("task", "outputs", "activation", "loss", "metrics"),
    [
        ("binary", 1, "sigmoid", "binary_crossentropy", ["accuracy"]),
        ("multiclass", 3, "softmax", "sparse_categorical_crossentropy", ["accuracy"]),
        (
            *("regression", 1, "linear", "mean_squared_error"),
            ["mean_absolute_error", "root_mean_squared_error"],
        ),
    ],
)
def test_the_output_loss_and_metrics_follow_from_the_task(task, outputs, activation, loss, metrics):
    config = {"input_shape": [2], "task": task, "outputs": outputs}
    inputs = make_inputs(config)
    model = compile_model(inputs, inputs, config)
    scores = model.evaluate(np.zeros((4, 2)), np.zeros(4), verbose=0, return_dict=True)

    assert model.output_shape == (None, outputs)
    assert model.layers[-1].activation.__name__ == activation
    assert model.loss == loss
    assert scores.keys() == {"loss", *metrics}


def test_a_config_overrides_the_output_loss_and_metrics():
    config = {
        "input_shape": [2],
        "task": "regression",
        "outputs": 1,
        "output_activation": "softplus",
        "loss": "huber",
        "metrics": ["mean_squared_error"],
    }
    inputs = make_inputs(config)
    model = compile_model(inputs, inputs, config)
    scores = model.evaluate(np.zeros((4, 2)), np.zeros(4), verbose=0, return_dict=True)

    assert model.layers[-1].activation.__name__ == "softplus"
    assert model.loss == "huber"
    assert scores.keys() == {"loss", "mean_squared_error"}
