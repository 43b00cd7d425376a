"""The outlook says what a model expects of more trials, and when to stop."""

from dataclasses import replace

import numpy as np
import pytest
from ray import tune

from tests.engine.search.simulated import History, good, make_search
from tune_jobs.engine import TPE, GaussianProcess, RandomSearch
from tune_jobs.engine.analysis.outlook import (
    FEWEST,
    Outlook,
    find_outlook,
    outlook_of,
)
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.frames import compact
from tune_jobs.engine.experiments.history.records import Epoch, ImportedResult, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.describing import describe_search
from tune_jobs.engine.search.gaussian import curve_model
from tune_jobs.engine.space.membership import from_json, identity
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.views.show import as_dict

SPACE = {
    "x": tune.uniform(0, 1),
    "y": tune.uniform(0, 1),
    "mode": tune.choice([{"name": "a"}, {"name": "b", "z": tune.uniform(0, 1)}]),
}


def noisy(level: float):
    """A loss that falls to 0 near x = 0.3, with noise between trials."""
    random = np.random.default_rng(0)

    def curve_of(config, number):
        loss = (config["x"] - 0.3) ** 2 + level * random.normal()
        return [loss + 0.3 / epoch for epoch in range(1, 10)]

    return curve_of


def knowledge_of(curve_of, trials: int, space=SPACE):
    history = History(lambda: TPE(n_initial_points=6)(1), space, curve_of)
    history.run(trials, history.searcher())
    searcher = make_search(lambda: GaussianProcess()(0), space)
    for record in history.records:
        searcher.learn(record.key, record.observation)
    return searcher.knowledge


def test_nothing_is_expected_of_a_flat_function() -> None:
    outlook = find_outlook(knowledge_of(lambda *_: [0.5] * 9, 20))

    assert outlook.improvement == outlook.noise == 0
    assert outlook.is_done
    assert outlook.sentence == "20 more trials: no improvement expected: stop here"


def test_much_is_expected_early_and_little_late() -> None:
    early = find_outlook(knowledge_of(noisy(0), 10))
    late = find_outlook(knowledge_of(noisy(0), 60))

    assert not early.is_done
    assert late.improvement < early.improvement / 2


def test_less_is_expected_of_a_process_whose_expectations_did_not_come_true(monkeypatch) -> None:
    random = np.random.default_rng(0)

    def curve_of(config, number):  # nothing lies below the floor that half of the space has
        loss = max(abs(config["x"] - 0.3), 0.1) + 0.005 * random.normal()
        return [loss + 0.3 / epoch for epoch in range(1, 10)]

    knowledge = knowledge_of(curve_of, 40)
    believed = find_outlook(knowledge)
    monkeypatch.setattr(curve_model, "share_that_came", lambda *_: 1.0)

    assert believed.improvement < 0.8 * find_outlook(knowledge).improvement


def test_the_noise_is_that_between_trials_of_one_config() -> None:
    outlook = find_outlook(knowledge_of(noisy(0.05), 60))

    assert outlook.noise == pytest.approx(0.05, rel=0.4)
    assert outlook.is_done


@pytest.mark.parametrize(
    ("improvement", "sentence"),
    [
        (0.004, "20 more trials: expected improvement 0.004, less than the noise (0.01): stop her"),
        (0.03, "20 more trials: expected improvement 0.03, more than the noise (0.01)"),
    ],
)
def test_an_outlook_compares_the_improvement_with_the_noise(improvement, sentence) -> None:
    outlook = Outlook(trials=20, improvement=improvement, noise=0.01, matters=(), config={})

    assert outlook.sentence.startswith(sentence)
    assert outlook.is_done == outlook.sentence.endswith("stop here")


def test_what_matters_comes_first_and_the_next_config_belongs_to_the_space() -> None:
    outlook = find_outlook(knowledge_of(noisy(0.001), 30))

    assert outlook.matters[0] == "x"
    assert set(outlook.matters) == {"x", "y", "mode", "mode.z"}
    assert abs(outlook.config["x"] - 0.3) < 0.15
    assert identity(from_json(SPACE, outlook.config)) == identity(outlook.config)


def test_more_trials_are_expected_to_improve_more() -> None:
    knowledge = knowledge_of(noisy(0.02), 12)

    expected = [find_outlook(knowledge, trials).improvement for trials in (1, 5, 40)]

    assert expected == sorted(expected)
    assert expected[0] < expected[-1]


def test_nothing_is_left_of_a_space_that_was_tried() -> None:
    space = {"x": tune.choice([n / 10 for n in range(10)])}

    outlook = find_outlook(knowledge_of(good, 10, space))

    assert outlook.config is None
    assert outlook.improvement == 0
    assert outlook.sentence == "every configuration of the space has been tried: stop here"


def test_of_few_trials_nothing_is_said() -> None:
    assert find_outlook(knowledge_of(good, FEWEST - 1)) is None
    assert find_outlook(knowledge_of(good, FEWEST)) is not None


def test_a_long_search_is_looked_at_by_its_best_and_its_latest() -> None:
    knowledge = knowledge_of(noisy(0.02), 30)
    copies = [
        replace(each, row=row)
        for each in knowledge.known
        for row in knowledge.coordinates.draw(20, np.random.default_rng(len(each.curve)))
    ]

    outlook = find_outlook(replace(knowledge, known=[*copies, *knowledge.known]))

    assert outlook is not None


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    """A search of TPE's, with a failure, as its history has it."""
    folder = open_folder(tmp_path)
    described = describe_search("t.train", Goal("loss"), max_epochs=9, space=SPACE).to_json()
    folder.write_json("experiment.json", described)
    writer = SegmentWriter(folder)
    writer.append(ImportedResult({"x": 0.9, "y": 0.5, "mode": {"name": "a"}}, 0.4, "other", 0))
    searcher = make_search(lambda: TPE(n_initial_points=6)(1), SPACE)
    history = History(lambda: searcher, SPACE, noisy(0.01))
    for trial in range(1, 15):
        (config,) = history.run(1, searcher)
        writer.append(TrialStart(trial, config, trial, searcher.chosen_by))
        for epoch, value in history.records[-1].observation.curve:
            writer.append(Epoch(trial, 0, epoch, 0.1, {"loss": value}))
        state, failure = ("failed", "configuration") if trial == 3 else ("complete", None)
        writer.append(TrialEnd(trial, state, failure, None))
    writer.flush()
    return Experiment(folder)


def test_a_history_has_an_outlook_before_and_after_it_is_compacted(experiment) -> None:
    before = outlook_of(experiment)
    compact(experiment.folder)
    after = outlook_of(Experiment(experiment.folder))

    assert before is not None
    assert after == before


def test_imported_results_count_too(experiment) -> None:
    before = outlook_of(experiment)
    writer = SegmentWriter(experiment.folder)
    for number in range(10):
        config = {"x": 0.3 + number / 1000, "y": number / 10, "mode": {"name": "a"}}
        writer.append(ImportedResult(config, -5.0, "other", 0))
    writer.flush()

    after = outlook_of(Experiment(experiment.folder))

    assert before is not None
    assert after is not None
    assert after != before


def test_show_json_has_the_outlook(experiment) -> None:
    outlook = outlook_of(experiment)

    shown = as_dict(experiment, short=False)["outlook"]

    assert outlook is not None
    assert (shown["improvement"], shown["noise"]) == (outlook.improvement, outlook.noise)
    assert shown["is_done"] is outlook.is_done
    assert "outlook" not in as_dict(experiment, short=True)


def test_a_space_that_no_model_can_learn_has_no_outlook(experiment) -> None:
    described = experiment.folder.read_json("experiment.json")
    experiment.folder.write_json(
        "experiment.json", described | {"space": {"x": "sample_from(...)"}}
    )

    assert outlook_of(Experiment(experiment.folder)) is None


def test_trials_of_a_space_that_was_edited_do_not_count(experiment) -> None:
    described = experiment.folder.read_json("experiment.json")
    narrow = described["space"] | {"x": "uniform(2, 3)"}
    experiment.folder.write_json("experiment.json", described | {"space": narrow})

    assert outlook_of(Experiment(experiment.folder)) is None


def test_a_search_of_random_draws_has_an_outlook_too() -> None:
    history = History(lambda: RandomSearch()(1), SPACE, good)
    history.run(10, history.searcher())
    searcher = make_search(lambda: GaussianProcess()(0), SPACE)
    for record in history.records:
        searcher.learn(record.key, record.observation)

    assert find_outlook(searcher.knowledge).improvement > 0
