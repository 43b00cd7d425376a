"""What mattered: the effects that are there, found among all trials, and no others."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tune_jobs.engine.analysis.importance import Importance, measure_importance
from tune_jobs.engine.experiments.history.frames import parse_configs, with_hyperparameters
from tune_jobs.engine.goal import Goal

Config = dict[str, Any]


def trials_of(configs: list[Config], states: list[str] | None = None) -> pd.DataFrame:
    rows = {
        "trial": range(1, len(configs) + 1),
        "state": states or ["complete"] * len(configs),
        "config": [json.dumps(config) for config in configs],
    }
    trials = pd.DataFrame(rows)
    return with_hyperparameters(trials, parse_configs(trials))


def epochs_of(curves: list[list[float]], replica: int = 0) -> pd.DataFrame:
    rows = [
        {"trial": trial, "replica": replica, "epoch": epoch, "loss": float(value)}
        for trial, curve in enumerate(curves, 1)
        for epoch, value in enumerate(curve, 1)
    ]
    return pd.DataFrame(rows, columns=["trial", "replica", "epoch", "loss"])


def measure(
    configs: list[Config], losses: Any, mode: str = "min", rungs: list[int] | None = None
) -> Importance:
    curves = [loss if isinstance(loss, list) else [loss] for loss in losses]
    return measure_importance(
        trials_of(configs), epochs_of(curves), goal=Goal("loss", mode), rungs=rungs
    )


def draw(count: int, seed: int = 0) -> list[Config]:
    random = np.random.default_rng(seed)
    return [
        {
            "rate": 10 ** random.uniform(-4, 0),
            "activation": str(random.choice(["relu", "gelu", "tanh"])),
            "units": int(random.integers(1, 65)),
            "noise": random.random(),
        }
        for _ in range(count)
    ]


def loss_of(config: Config) -> float:
    return (math.log10(config["rate"]) + 2) ** 2 + 2 * (config["activation"] == "tanh")


def shares(importance: Importance) -> dict[str, float]:
    return {effect.name: effect.share for effect in importance.effects}


def real(importance: Importance) -> list[str]:
    return [effect.name for effect in importance.effects if not effect.is_noise]


def test_the_hyperparameters_that_matter_come_first_and_the_others_are_noise() -> None:
    configs = draw(80)

    found = measure(configs, map(loss_of, configs))

    assert [effect.name for effect in found.effects][:2] == ["rate", "activation"]
    assert real(found) == ["rate", "activation"]
    assert found.about == "loss after 1 epoch, all 80 trials"
    assert sum(shares(found).values()) <= 1.2


def test_the_shares_are_the_known_ones() -> None:
    random = np.random.default_rng(1)
    configs = [{"a": random.random(), "b": random.random()} for _ in range(1000)]
    spread = math.sqrt(1 / 12)
    losses = [
        math.sqrt(0.6) * (c["a"] - 0.5) / spread
        + math.sqrt(0.3) * (c["b"] - 0.5) / spread
        + math.sqrt(0.1) * random.normal()
        for c in configs
    ]

    assert shares(measure(configs, losses)) == pytest.approx({"a": 0.6, "b": 0.3}, abs=0.05)


def test_trials_that_were_stopped_count_as_much_as_those_that_completed() -> None:
    configs = draw(60)
    losses = [loss_of(config) for config in configs]
    kept = sorted(losses)[6]
    curves = [[loss, 0.0, 0.0] if loss < kept else [loss] for loss in losses]
    states = ["complete" if loss < kept else "stopped" for loss in losses]

    found = measure_importance(
        trials_of(configs, states), epochs_of(curves), goal=Goal("loss"), rungs=[1, 3]
    )

    assert found == measure(configs, losses)


@pytest.mark.parametrize("scale", [lambda x: 1e30**x, lambda x: x**3 - 7], ids=["huge", "bent"])
def test_the_scale_of_the_metric_does_not_matter(scale) -> None:
    configs = draw(60)
    losses = [loss_of(config) for config in configs]

    assert measure(configs, map(scale, losses)) == measure(configs, losses)


def test_a_metric_to_maximise_is_the_same_upside_down() -> None:
    configs = draw(60)
    losses = np.array([loss_of(config) for config in configs])

    one, other = measure(configs, losses), measure(configs, -losses, mode="max")

    assert dataclasses.replace(other, about=one.about) == one


def test_a_trial_that_diverged_is_the_worst_even_if_it_did_before_the_rung() -> None:
    configs = draw(60)
    losses = [loss_of(config) for config in configs]
    is_bad = [config["rate"] > 0.1 for config in configs]
    curves = [[-9.0, math.nan] if b else [1, 1, x] for b, x in zip(is_bad, losses, strict=True)]
    states = ["failed" if bad else "stopped" for bad in is_bad]

    found = measure_importance(
        trials_of(configs, states), epochs_of(curves), goal=Goal("loss"), rungs=[3, 9]
    )

    assert found.about == "loss after 3 epochs, all 60 trials"
    worst = [math.inf if bad else loss for bad, loss in zip(is_bad, losses, strict=True)]
    assert found.effects == measure(configs, worst).effects


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_do_no_harm(bad: float) -> None:
    random = np.random.default_rng(0)
    configs = [{"rate": random.random(), "noise": random.random()} for _ in range(60)]
    losses = [bad if c["rate"] > 0.6 else random.random() for c in configs]

    found = measure(configs, losses)

    assert real(found) == ["rate"]
    assert found.trials == 60
    assert all(math.isfinite(effect.share) for effect in found.effects)


def test_trials_without_a_value_are_left_out_and_said() -> None:
    configs = draw(60)
    curves = [[] if i < 2 else [loss_of(config)] for i, config in enumerate(configs)]
    states = ["failed" if not curve else "complete" for curve in curves]

    found = measure_importance(
        trials_of(configs, states), epochs_of(curves), goal=Goal("loss"), rungs=[1]
    )

    assert (found.about, found.trials) == ("loss after 1 epoch, 58 of 60 trials", 58)


def test_without_rungs_it_is_the_last_epoch_of_nearly_all_trials() -> None:
    configs = draw(40)
    curves = [[1.0] * (3 if i == 7 else 8 + i % 4) for i in range(40)]

    found = measure_importance(
        trials_of(configs, ["stopped"] * 40), epochs_of(curves), goal=Goal("loss"), rungs=[]
    )

    assert (found.epoch, found.trials) == (8, 39)


def test_a_trial_that_completed_early_counts_with_its_best() -> None:
    configs = draw(40)
    losses = [loss_of(config) for config in configs]
    long = [[9.0, 9.0, loss] for loss in losses]
    short = [
        [loss, loss + 5] if i % 2 else curve
        for i, (loss, curve) in enumerate(zip(losses, long, strict=True))
    ]

    assert measure(configs, short) == measure(configs, long)
    assert measure(configs, short).epoch == 3


def test_replicas_are_averaged() -> None:
    configs = draw(40)
    losses = np.array([loss_of(config) for config in configs])
    noise = np.random.default_rng(0).normal(size=40) * 10
    both = [epochs_of([[x] for x in losses + sign * noise], r) for r, sign in enumerate((1, -1))]

    found = measure_importance(trials_of(configs), pd.concat(both), goal=Goal("loss"), rungs=[1])

    assert shares(found)["rate"] == pytest.approx(
        shares(measure(configs, losses))["rate"], abs=0.02
    )


@pytest.mark.parametrize(
    ("count", "metric", "about"),
    [
        (9, "loss", "loss after 1 epoch, all 9 trials: at least 10 are needed to measure effects"),
        (0, "loss", "no trial has a loss: at least 10 are needed"),
        (20, "val_loss", "no trial has a val_loss: at least 10 are needed"),
    ],
)
def test_few_trials_make_no_claim(count: int, metric: str, about: str) -> None:
    configs = draw(count)
    trials, epochs = trials_of(configs), epochs_of([[loss_of(config)] for config in configs])

    found = measure_importance(trials, epochs, goal=Goal(metric), rungs=None)

    assert found.about.startswith(about)
    assert found.effects == ()


def test_equal_values_make_no_claim() -> None:
    found = measure(draw(20), [1.0] * 20)

    assert found.about == "loss after 1 epoch, all 20 trials: all are equal"
    assert found.effects == ()


def test_noise_is_called_real_no_more_often_than_stated() -> None:
    random = np.random.default_rng(0)
    wrong = 0
    for seed in range(150):
        found = measure(draw(30, seed), random.normal(size=30))
        wrong += bool(real(found))

    assert wrong <= 15  # 5 % are 7.5; more than 15 have a probability below 0.5 %


def test_what_a_searcher_drew_while_it_got_better_is_not_taken_for_an_effect() -> None:
    random = np.random.default_rng(0)
    wrong = 0
    for _ in range(40):
        progress = np.linspace(0, 1, 60)
        configs = [{"drifts": p + 0.1 * random.random()} for p in progress]
        wrong += bool(real(measure(configs, -progress + random.normal(size=60))))

    assert wrong <= 6  # 5 % are 2; without regard to the order it is nearly all


def draw_conditional(count: int) -> list[Config]:
    random = np.random.default_rng(2)
    adam = [
        {"name": "adam", "rate": 10 ** random.uniform(-4, -2), "beta": random.random()}
        for _ in range(count)
    ]
    sgd = [
        {"name": "sgd", "rate": 10 ** random.uniform(-2, 0), "momentum": random.random()}
        for _ in range(count)
    ]
    return [{"optimizer": (adam, sgd)[random.integers(2)].pop()} for _ in range(count)]


def test_a_conditional_hyperparameter_gets_nothing_of_its_parents_effect() -> None:
    configs = draw_conditional(120)
    random = np.random.default_rng(3)
    losses = [(c["optimizer"]["name"] == "sgd") + 0.3 * random.random() for c in configs]

    found = measure(configs, losses)

    assert real(found) == ["optimizer.name"]
    assert set(shares(found)) == {f"optimizer.{n}" for n in ("name", "rate", "beta", "momentum")}
    assert sum(shares(found).values()) < 1


def test_a_conditional_hyperparameters_share_is_of_all_trials() -> None:
    configs = draw_conditional(400)
    losses = [
        4 * (c["optimizer"]["name"] == "sgd") + c["optimizer"].get("beta", 0) for c in configs
    ]

    found = shares(measure(configs, losses))

    assert found["optimizer.name"] > 0.5
    assert 0.1 < found["optimizer.beta"] < 0.5  # it explains all there is, within adam
    assert found["optimizer.momentum"] < 0.02


def test_the_depth_of_a_list_of_layers_is_a_hyperparameter() -> None:
    random = np.random.default_rng(4)
    configs = [
        {"layers": [{"units": random.random()} for _ in range(random.integers(1, 4))]}
        for _ in range(120)
    ]
    losses = [len(c["layers"]) + 0.5 * c["layers"][0]["units"] for c in configs]

    found = measure(configs, losses)

    assert found.effects[0].name == "layers"
    assert "layers.1.units" not in real(found)


def test_an_option_that_is_a_sub_space_or_none_is_a_hyperparameter() -> None:
    random = np.random.default_rng(5)
    configs = [
        {"augment": {"degrees": random.random()} if random.random() < 0.5 else None, "x": i % 7}
        for i in range(60)
    ]
    losses = [(c["augment"] is None) + 0.1 * random.random() for c in configs]

    assert real(measure(configs, losses)) == ["augment"]


def test_none_is_a_value_of_a_hyperparameter_at_the_top() -> None:
    random = np.random.default_rng(6)
    configs = [{"clip": [None, 0.5, 1.0][random.integers(3)]} for _ in range(60)]
    losses = [(c["clip"] is None) + 0.1 * random.random() for c in configs]

    assert real(measure(configs, losses)) == ["clip"]


def test_what_never_differs_and_what_is_told_already_is_left_out() -> None:
    configs = [{"kernel": [n % 2, n % 2], "fixed": 3, "flag": n % 3 == 0} for n in range(30)]

    found = measure(configs, range(30))

    assert set(shares(found)) == {"kernel.0", "flag"}


def test_values_of_several_kinds_are_texts() -> None:
    random = np.random.default_rng(7)
    configs = [{"mixed": [None, "auto", 3, [1, {"a": 2}], True][n % 5]} for n in range(100)]
    losses = [(n % 5 == 1) + 0.1 * random.random() for n in range(100)]

    assert len(measure(configs, losses).effects) >= 1


def test_a_text_that_is_another_in_each_trial_says_nothing() -> None:
    random = np.random.default_rng(8)
    configs = [{"file": f"part-{n}.csv", "x": random.random()} for n in range(40)]

    assert set(shares(measure(configs, random.normal(size=40)))) == {"x"}


def test_the_same_trials_give_the_same_answer() -> None:
    configs = draw(60)
    losses = [loss_of(config) for config in configs]

    assert measure(configs, losses) == measure(configs, losses)
