"""Fits in step: prepared ahead by one worker, with the losses of separate fits."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from trainables.fitting import fit
from trainables.fitting.in_step import ahead
from trainables.fitting.in_step.fits import Group

COMMON = {"batch_size": 16, "max_epochs": 3, "metric": "val_loss", "mode": "min"}
RATES = [1e-4, 0.05, 0.5]
BUILT = []  # the configs whose models were built


def build(config):
    """Build a model with every kind of number that may differ between fits in step."""
    BUILT.append(config)
    if config.get("fails"):
        raise ValueError("no such model")
    regularizer = keras.regularizers.L2(config.get("l2", 1e-3))
    model = keras.Sequential([keras.Input((6,))])
    model.add(layers.Dense(config.get("units", 5), "tanh", kernel_regularizer=regularizer))
    model.add(layers.Dropout(config.get("dropout", 0.1)))
    model.add(layers.BatchNormalization(momentum=config.get("momentum", 0.9)))
    model.add(layers.Dense(1, activation="sigmoid"))
    decay = config.get("weight_decay", 0.01)
    optimizer = keras.optimizers.AdamW(config["learning_rate"], weight_decay=decay)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return model


def other_build(config):
    return build(config)


def make_data(rows=70, **more):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows + 30, 6)).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    arrays = {"x_train": x[:rows], "y_train": y[:rows]}
    return SimpleNamespace(**arrays, x_validation=x[rows:], y_validation=y[rows:], **more)


DATA = make_data()


def make_config(seed, learning_rate=0.01, **more):
    return {**COMMON, "seed": seed, "learning_rate": learning_rate, **more}


def fit_all(configs, data=DATA, build=build):
    """Fit the first config, with the others ahead, and then those."""
    first = {**configs[0], ahead.IN_STEP: configs[1:]}
    return [fit(build, config, data) for config in (first, *configs[1:])]


def assert_same(models, configs, data=DATA):
    for model, config in zip(models, configs, strict=True):
        alone = fit(build, config, data)
        found, expected = model.history.history, alone.history.history
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)
        for a, b in zip(model.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4)


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """The numbers of fits that calls in step have trained."""
    made = []
    train = Group.train

    def count(group, caller, epochs):
        before = [len(each.ahead) for each in group.fits]
        train(group, caller, epochs)
        after = [len(each.ahead) for each in group.fits]
        made.append(sum(b > a for a, b in zip(before, after, strict=True)))

    monkeypatch.setattr(Group, "train", count)
    BUILT.clear()
    ahead.AHEAD.clear()
    return made


NUMBERS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**31),
        "learning_rate": st.floats(1e-5, 0.05),
        "dropout": st.floats(0.0, 0.9),
        "l2": st.floats(1e-6, 0.1),
        "momentum": st.floats(0.0, 0.99),
        "weight_decay": st.floats(1e-6, 0.1),
    }
)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(NUMBERS, min_size=2, max_size=5))
def test_fits_in_step_have_the_losses_of_separate_fits(calls, drawn) -> None:
    named = {"optimizer": "adamw"}  # its program has the updates of all common optimizers
    configs = [{**COMMON, **named, **numbers} for numbers in drawn]
    calls.clear()
    models = fit_all(configs)
    assert max(calls) == len(configs)
    assert_same(models, configs)


def test_each_fit_in_step_stops_when_it_would_alone(calls) -> None:
    configs = [make_config(n, rate, patience=2, max_epochs=9) for n, rate in enumerate(RATES)]
    models = fit_all(configs)
    lengths = {len(model.history.history["loss"]) for model in models}
    assert len(lengths) > 1
    assert max(lengths) > 3
    assert max(calls) == len(configs)
    assert_same(models, configs)


def test_only_fits_that_are_alike_train_in_step_and_each_model_is_built_once(calls) -> None:
    configs = [
        make_config(0),
        make_config(1, units=7),  # another width
        make_config(2, batch_size=32),
        make_config(3, patience=1),
        make_config(4, fails=True),
        make_config(5, 0.02),
    ]
    first, *others = configs
    models = [fit(build, {**first, ahead.IN_STEP: others}, DATA)]
    with pytest.raises(ValueError, match="no such model"):
        fit(build, others[3], DATA)
    sane = [config for config in others if not config.get("fails")]
    models += [fit(build, config, DATA) for config in sane]
    assert [call for call in calls if call] == [2]
    assert len(BUILT) == len(configs) + 1  # the one that fails is built in its own trial too
    assert not ahead.AHEAD
    assert_same(models, [first, *sane])


@pytest.mark.parametrize(
    ("data", "make"),
    [(make_data(80), build), (DATA, other_build), (make_data(weights_train=np.ones(70)), build)],
)
def test_a_fit_with_other_data_or_another_build_is_made_anew(data, make) -> None:
    first, second = make_config(0), make_config(1)
    fit(build, {**first, ahead.IN_STEP: [second]}, DATA)
    fit(make, second, data)
    assert [first, second, second] == BUILT


def test_equal_data_and_a_function_that_came_by_value_are_the_same() -> None:
    def make_again():
        def local_build(config):
            return build(config)

        return local_build

    first, second = make_config(0), make_config(1)
    fit(make_again(), {**first, ahead.IN_STEP: [second]}, make_data())
    fit(make_again(), second, make_data())
    assert [first, second] == BUILT


def test_scorers_see_the_outputs_of_their_own_fit(calls) -> None:
    def mean(truth, outputs):
        return float(outputs.mean())

    data = make_data(scorers={"mean": mean})
    configs = [make_config(n, rate, metric="val_mean") for n, rate in enumerate(RATES)]
    models = fit_all(configs, data)
    assert max(calls) == len(configs)
    assert len({model.history.history["val_mean"][-1] for model in models}) == len(models)
    assert_same(models, configs, data)
