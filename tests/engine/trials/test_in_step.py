"""Trials in step: chosen ahead for a worker, and each a trial like any other."""

import os
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import ASHA, Job, JobError, Profile, RandomSearch, run
from tune_jobs.engine.space.configs import IN_STEP, without_followers
from tune_jobs.engine.trials.reserve import Chosen, Reserve

cloudpickle.register_pickle_by_value(sys.modules[__name__])

SPACE = {"learning_rate": tune.loguniform(1e-3, 1e-1), "dropout": tune.uniform(0.0, 0.5)}


def make_data() -> SimpleNamespace:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    return SimpleNamespace(x_train=x[:40], y_train=y[:40], x_validation=x[40:], y_validation=y[40:])


def build(config: dict):
    import keras

    marker = Path(config["marker"])
    if config["learning_rate"] > 0.03 and not marker.exists():
        marker.touch()
        os._exit(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, "relu")])
    model.add(keras.layers.Dropout(config["dropout"]))
    model.add(keras.layers.Dense(1, "sigmoid"))
    model.compile(keras.optimizers.Adam(config["learning_rate"]), "binary_crossentropy")
    return model


def train(config: dict, data: object):
    from trainables.fitting import fit

    return fit(build, config, make_data())


def choose(reserve: Reserve, count: int, left: int) -> None:
    for _ in range(min(reserve.begin(left), count)):
        number = len(reserve) + 1
        reserve.add(Chosen({"x": number}, "random", number, f"{number}"))


def test_a_worker_gets_the_configs_that_were_chosen_for_it() -> None:
    reserve = Reserve(3, 2)
    choose(reserve, 3, left=20)
    first = reserve.take("1")
    choose(reserve, 3, left=17)
    second = reserve.take("2")
    assert (first, second) == (
        (Chosen({"x": 1}, "random", 1, "1"), [{"x": 2}, {"x": 3}]),
        (Chosen({"x": 3}, "random", 3, "3"), [{"x": 4}, {"x": 5}]),
    )
    assert {"x": 5} in reserve
    assert {"x": 1} not in reserve

    reserve.end("2")

    assert not reserve.is_wanted
    assert reserve.take("3") == (Chosen({"x": 4}, "random", 4, "4"), [])
    assert reserve.is_wanted


def test_at_the_end_workers_share_what_is_left() -> None:
    reserve = Reserve(8, 2)
    assert reserve.begin(left=5) == 3
    reserve.take("nothing chosen yet")
    choose(reserve, 3, left=6)
    reserve.take("1")
    stolen = reserve.take("2")
    assert stolen == (Chosen({"x": 3}, "random", 3, "3"), [])
    reserve.end("2")
    assert reserve.take("3") == (Chosen({"x": 2}, "random", 2, "2"), [])
    assert reserve.take("4") is None


def test_a_search_that_is_resumed_asks_again_for_what_waited() -> None:
    reserve = Reserve(4, 1)
    choose(reserve, 4, left=9)
    assert reserve.asked(4) == 0
    reserve.take("1")
    assert reserve.asked(4) == 1
    reserve.end("1")
    reserve.take("2")
    assert reserve.asked(4) == 2
    assert Reserve(4, 1).asked(7) == 7


@pytest.fixture(scope="module")
def search(local_ray, tmp_path_factory):
    def search(in_step: int, num_samples: int = 7, **options):
        folder = tmp_path_factory.mktemp("results")
        space = {**SPACE, "marker": str(folder / "killed")}
        if in_step == 1:
            (folder / "killed").touch()
        job = Job(
            train,
            space,
            metric="val_loss",
            searcher=RandomSearch(),
            num_samples=num_samples,
            max_epochs=3,
            finalists=None,
            **options,
        )
        profile = Profile(storage=str(folder), max_concurrent_trials=1, trials_in_step=in_step)
        return run(job, profile=profile, name="test", listeners=[])

    return search


def test_trials_in_step_are_those_of_a_search_without_also_if_one_kills_their_worker(
    search,
) -> None:
    alone, together = search(1), search(3)
    assert Counter(alone.trials["path"]) == {"compiled": 7}
    assert Counter(together.trials["path"])["compiled, in step"] >= 3
    assert set(together.trials["state"]) == {"complete"}
    assert together.trials["worker"].nunique() == 2
    for number, config in alone.configs.items():
        other = together.configs[number]
        assert {k: other[k] for k in SPACE} == {k: config[k] for k in SPACE}
        assert IN_STEP not in other
    losses = [each.epochs.sort_values(["trial", "epoch"])["val_loss"] for each in (alone, together)]
    assert len(losses[0]) == 21
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert together.epochs["seconds"].min() > 0


def test_a_scheduler_that_pauses_trials_is_refused(search) -> None:
    with pytest.raises(JobError, match="trials_in_step is 3, but the scheduler pauses trials"):
        search(3, scheduler=ASHA(resume=True))


def test_the_configs_that_follow_are_no_part_of_a_config() -> None:
    assert without_followers({"x": 1, IN_STEP: [{"x": 2}]}) == {"x": 1}
