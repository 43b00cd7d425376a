"""Every searcher: what it suggests belongs to the space, is new, and follows from what is known."""

import optuna
import pytest
from ray import tune
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from tests.engine.search.simulated import MAX_EPOCHS, History, good, make_search, troubled
from tune_jobs.engine import TPE, Auto, GaussianProcess, HyperOptTPE, JobError, RandomSearch
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.search.ray_searcher import FlatSpaceAdapter
from tune_jobs.engine.search.searchers import RECIPES, make_recipe
from tune_jobs.engine.space.membership import from_json, identity

optuna.logging.set_verbosity(optuna.logging.ERROR)

LAYER = {"units": tune.choice([16, 32, 64]), "dropout": tune.quniform(0, 0.4, 0.1)}
CONDITIONAL = {
    "layers": tune.choice([[LAYER] * count for count in (1, 2)]),
    "optimizer": tune.choice(
        [{"name": "adam"}, {"name": "sgd", "momentum": tune.uniform(0, 1)}],
    ),
    "rate": tune.loguniform(1e-4, 1.0),
    "fixed": 3,
}
FINITE = {"x": tune.choice([0.1, 0.2, 0.3]), "y": tune.choice([0, 1])}
SINGLE = {"x": tune.choice([0.5])}
SPACES = {"conditional": CONDITIONAL, "finite": FINITE, "single": SINGLE}

MODELS = {
    "auto": lambda: Auto(n_initial_points=4)(1),
    "tpe": lambda: TPE(n_initial_points=4)(1),
    "gp": lambda: GaussianProcess(n_initial_points=4)(1),
}
OURS = {
    **MODELS,
    "random": lambda: RandomSearch()(1),
    "hyperopt": lambda: HyperOptTPE(n_initial_points=4)(1),
}
ALL = {**OURS, "optuna": lambda: FlatSpaceAdapter(OptunaSearch(seed=1))}


def each_of(searchers):
    return pytest.mark.parametrize("make", searchers.values(), ids=searchers.keys())


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
@each_of(ALL)
def test_every_suggestion_belongs_to_the_space(make, space) -> None:
    history = History(make, space, good, repeats=True)

    found = history.run(12, history.searcher())

    assert len(found) == 12
    assert all(identity(from_json(space, config)) == identity(config) for config in found)


@pytest.mark.parametrize("stops", [False, True], ids=["whole", "asha"])
@each_of(MODELS)
def test_a_known_config_is_not_suggested_again_and_an_exhausted_space_ends(make, stops) -> None:
    history = History(make, FINITE, good, stops=stops)

    found = history.run(20, history.searcher())

    assert len({identity(config) for config in found}) == len(found) == 6
    assert history.searcher().suggest("next") == Searcher.FINISHED


@each_of(MODELS)
def test_a_failed_or_a_running_config_is_known_too(make) -> None:
    searcher = make_search(make, FINITE)
    suggested = []
    for number in range(6):
        suggested.append(searcher.suggest(str(number)))
        state = "failed" if number % 2 else "running"
        searcher.learn(str(number), Observation(suggested[-1], (), state))

    assert len({identity(config) for config in suggested}) == 6
    assert searcher.suggest("6") == Searcher.FINISHED


@each_of(MODELS)
def test_a_lost_config_may_be_suggested_again(make) -> None:
    searcher = make_search(make, SINGLE)
    config = searcher.suggest("1")
    searcher.learn("1", Observation(config))
    assert searcher.suggest("2") == Searcher.FINISHED

    searcher.learn("1", Observation(config, (), "withdrawn"))

    assert searcher.suggest("3") == config


@each_of(MODELS)
def test_a_known_config_is_suggested_again_if_repeats_are_allowed(make) -> None:
    history = History(make, FINITE, good, repeats=True)

    found = history.run(20, history.searcher())

    assert len(found) == 20
    assert len({identity(config) for config in found}) < 20


@pytest.mark.parametrize("stops", [False, True], ids=["whole", "asha"])
@pytest.mark.parametrize("curve_of", [good, troubled], ids=["good", "troubled"])
@each_of(OURS)
def test_a_search_killed_after_each_trial_suggests_what_one_that_was_not_does(
    make, curve_of, stops
) -> None:
    whole = History(make, CONDITIONAL, curve_of, stops=stops)
    killed = History(make, CONDITIONAL, curve_of, stops=stops)

    expected = whole.run(24, whole.searcher())

    assert killed.run(24) == expected


@each_of(OURS)
def test_results_of_another_search_are_known_after_a_kill(make) -> None:
    earlier = History(lambda: RandomSearch()(7), CONDITIONAL, troubled)
    earlier.run(10)
    imported = [
        type(record)(f"result {place}", record.observation, 0)
        for place, record in enumerate(earlier.records)
        if record.observation.state != "withdrawn"
    ]
    whole = History(make, CONDITIONAL, good, records=list(imported))
    killed = History(make, CONDITIONAL, good, records=list(imported))

    expected = whole.run(12, whole.searcher())

    assert killed.run(12) == expected


@pytest.mark.parametrize("largest", [1e308, 1e100, 1e-300])
@each_of(ALL)
def test_any_finite_value_can_be_learnt(make, largest) -> None:
    def wild(config, number):
        return [largest if number % 3 else -largest] * 9

    history = History(make, CONDITIONAL, wild)

    assert len(history.run(10, history.searcher())) == 10


@each_of(MODELS)
def test_a_seed_decides_and_another_one_decides_otherwise(make) -> None:
    one, same = (History(make, CONDITIONAL, good) for _ in range(2))
    other = History(lambda: Auto(n_initial_points=4)(2), CONDITIONAL, good)

    found = one.run(6, one.searcher())

    assert same.run(6, same.searcher()) == found
    assert other.run(1, other.searcher()) != found[:1]


@pytest.mark.parametrize(("known", "by"), [(1000, "gp"), (1001, "tpe")])
def test_auto_hands_over_to_tpe_in_a_long_search(known, by) -> None:
    searcher = make_search(lambda: Auto()(1), {"x": tune.uniform(0, 1)})
    for number in range(known):
        value = (number / known - 0.3) ** 2
        observation = Observation({"x": number / known}, ((MAX_EPOCHS, value),), "ended")
        searcher.learn(str(number), observation)

    found = searcher.suggest("next")

    assert searcher.chosen_by == by
    assert abs(found["x"] - 0.3) < 0.2


def test_a_searcher_says_what_chose_its_suggestion() -> None:
    named = {}
    for name, make in ALL.items():
        history = History(make, CONDITIONAL, good)
        searcher = history.searcher()
        chosen = []
        for _ in range(6):
            history.run(1, searcher)
            chosen.append(searcher.chosen_by)
        named[name] = chosen

    assert named["auto"] == named["gp"] == ["random"] * 4 + ["gp"] * 2
    assert named["tpe"] == ["random"] * 4 + ["tpe"] * 2
    assert named["hyperopt"] == ["random"] * 4 + ["hyperopt"] * 2
    assert named["random"] == ["random"] * 6
    assert set(named["optuna"]) == {"OptunaSearch"}


@pytest.mark.parametrize(
    ("outcomes", "is_asked"),
    [("lll", False), ("llf", False), ("llll", True), ("llff", True), ("lfff", False)],
)
def test_a_model_is_asked_once_enough_trials_have_a_loss_or_failed(outcomes, is_asked) -> None:
    searcher = make_search(MODELS["gp"], {"x": tune.uniform(0, 1)})
    configs = []
    for number in range(10):  # in flight at once
        configs.append(searcher.suggest(str(number)))
        searcher.learn(str(number), Observation(configs[-1]))
        assert searcher.chosen_by == "random"
    for number, outcome in enumerate(outcomes):
        curve, state = (((1, number / 10),), "ended") if outcome == "l" else ((), "failed")
        searcher.learn(str(number), Observation(configs[number], curve, state))

    searcher.suggest("next")

    assert (searcher.chosen_by == "gp") == is_asked


SEEDED = {"auto": Auto(), "tpe": TPE(), "gp": GaussianProcess()}


def best_found(recipe, seed: int) -> float:
    space = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1), "z": tune.choice([0, 1])}
    history = History(lambda: recipe(seed), space, good)
    history.run(30, history.searcher())
    return min(record.observation.curve[-1][1] for record in history.records)


@pytest.mark.parametrize("recipe", SEEDED.values(), ids=SEEDED.keys())
def test_a_model_finds_better_configs_than_random_draws(recipe) -> None:
    found = [best_found(recipe, seed) for seed in range(3)]
    drawn = [best_found(RandomSearch(), seed) for seed in range(3)]

    assert sorted(found)[1] < sorted(drawn)[1]


def test_the_command_line_has_a_name_for_each_recipe() -> None:
    assert [type(make_recipe(name)).__name__ for name in RECIPES] == [
        *("Auto", "TPE", "GaussianProcess", "RandomSearch", "HyperOptTPE")
    ]


@pytest.mark.parametrize("recipe", [Auto, TPE, GaussianProcess, HyperOptTPE])
def test_a_recipe_needs_an_initial_point(recipe) -> None:
    with pytest.raises(JobError, match=f"{recipe.__name__}: n_initial_points is 0, but must be"):
        recipe(n_initial_points=0)


@pytest.mark.parametrize("recipe", [TPE, HyperOptTPE])
@pytest.mark.parametrize("gamma", [0, 1, 1.5])
def test_gamma_is_a_share(recipe, gamma) -> None:
    with pytest.raises(JobError, match=f"gamma is {gamma}, but must be between 0 and 1"):
        recipe(gamma=gamma)


def test_a_function_of_the_space_that_raises_is_one_line() -> None:
    def fail(_: object) -> float:
        raise RuntimeError("no value")

    searcher = make_search(lambda: RandomSearch()(0), {"x": tune.sample_from(fail)})
    with pytest.raises(JobError, match=r"a config cannot be drawn from the space: .*no value"):
        searcher.suggest("00001")
