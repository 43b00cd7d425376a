"""``benchmarks.searchers``: its searches run, and its figures are drawn from them."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks import report
from benchmarks.searchers import Cell, add, find_task, known_runs, read, run
from benchmarks.searching import surrogates
from benchmarks.searching.contenders import CONTENDERS, Ours
from benchmarks.searching.problem import Problem
from benchmarks.searching.problems import list_problems
from benchmarks.searching.simulation import Rungs
from benchmarks.searching.summary import common_seeds, describe, mean_ranks, share_ahead


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("searcher", ["random", "tpe"])
def test_a_function_is_searched(searcher, workers) -> None:
    (row,) = run(Cell("Branin", searcher, workers, seed=0, trials=5))

    assert (row["mark"], row["suggestions"]) == (5, 5)
    assert 0 < row["regret"] < math.inf


def test_more_trials_are_never_worse_without_noise() -> None:
    rows = run(Cell("Branin", "random", 1, seed=0, trials=50))

    regrets = [row["regret"] for row in rows]
    assert [row["mark"] for row in rows] == [10, 25, 50]
    assert regrets == sorted(regrets, reverse=True) and regrets[0] > regrets[-1]


@pytest.mark.parametrize("searcher", ["random", "tpe", "optuna-hyperband", "one-epoch"])
def test_curves_are_searched_by_epochs(searcher) -> None:
    pytest.importorskip("optuna")

    (row,) = run(Cell("curves-optimizers", searcher, 8, seed=0, epochs=100))

    assert row["mark"] == 100
    assert row["regret"] < math.inf


@pytest.mark.parametrize("searcher", ["tpe", "optuna"])
def test_a_table_of_curves_trains_its_nearest_config_which_the_searcher_learns(searcher) -> None:
    pytest.importorskip("optuna")
    task = find_task("keras-diabetes")
    contender, used = CONTENDERS[searcher](task, 0), set[int]()

    suggested = contender.suggest("0")
    played = task.play(suggested, np.random.default_rng(0), used)
    contender.start("0", played.config)

    assert [task.configs[row] for row in used] == [played.config]
    assert played.config != suggested
    assert learned_row(contender, task) == pytest.approx(task.rows[[*used]][0], nan_ok=True)


def learned_row(contender, task) -> np.ndarray:
    if isinstance(contender, Ours):
        (known,) = contender._searcher.knowledge.known
        return known.row
    ((_, config),) = contender._asked.values()
    return task.coordinates.row_of(config)


def test_a_table_of_curves_is_used_up() -> None:
    task, used = find_task("keras-diabetes"), set[int]()
    config = task.configs[7]

    first, second = (task.play(config, np.random.default_rng(0), used) for _ in range(2))

    assert first.config == config and second.config != config
    assert task.play(config, np.random.default_rng(0), set(range(len(task.configs)))) is None


def test_a_rung_lets_the_best_third_continue() -> None:
    rungs = Rungs(27)

    assert [rungs.stops(1, loss) for loss in (3.0, 2.0, 1.0, 9.0)] == [False, False, False, True]
    assert not rungs.stops(2, 9.0)


def test_a_first_rung_may_come_later() -> None:
    rungs = Rungs(27, grace_period=3)

    assert [rungs.stops(1, loss) for loss in (1.0, 9.0)] == [False, False]
    assert [rungs.stops(3, loss) for loss in (1.0, 9.0)] == [False, True]


def frame_of(**regrets: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"problem": "p", "seed": seed, "searcher": name, "regret": regret}
        for name, found in regrets.items()
        for seed, regret in enumerate(found)
    )


def test_ranks_are_of_seeds_that_all_have() -> None:
    ranks = mean_ranks(frame_of(random=[2.0, 2.0, 2.0], tpe=[1.0, 1.0]))

    assert ranks["mean"].to_dict() == {"random": 2.0, "tpe": 1.0}


def test_figures_are_of_seeds_that_all_searchers_have() -> None:
    frame = frame_of(random=[2.0, 2.0, 2.0], tpe=[1.0, 1.0]).assign(workers=1)

    assert sorted(common_seeds(frame)["seed"]) == [0, 0, 1, 1]


def test_a_tie_with_random_counts_half() -> None:
    shares = share_ahead(frame_of(random=[2.0, 2.0, 2.0, 2.0], tpe=[1.0, 1.0, 2.0, 3.0]))

    assert shares["tpe"] == 0.625


def test_a_repeated_search_replaces_the_earlier_one() -> None:
    row = {"problem": "p", "searcher": "tpe", "workers": 1, "seed": 0, "mark": 10}

    frame = add(add(pd.DataFrame(), [row | {"regret": 2.0}]), [row | {"regret": 1.0}])

    assert frame["regret"].tolist() == [1.0]


def test_a_run_knows_which_searches_it_need_not_repeat() -> None:
    frame = pd.DataFrame(run(Cell("Branin", "random", 1, seed=0, trials=25)))

    assert known_runs(frame) == {("Branin", "random", 1, 0): 25}
    assert known_runs(pd.DataFrame()) == {}


def test_files_of_results_are_merged(tmp_path) -> None:
    row = {"problem": "p", "workers": 1, "seed": 0, "mark": 10}
    for name, regret in (("random", 2.0), ("tpe", 1.0)):
        pd.DataFrame([row | {"searcher": name, "regret": regret}]).to_parquet(tmp_path / name)

    frame = read([tmp_path / "random", tmp_path / "tpe", tmp_path / "none", None])

    assert frame["regret"].tolist() == [2.0, 1.0]


def test_runs_of_an_earlier_file_keep_the_machine_on_which_they_ran(tmp_path) -> None:
    row = {"problem": "p", "workers": 1, "seed": 0, "mark": 10, "searcher": "tpe", "regret": 2.0}
    earlier = pd.DataFrame([row | {"machine": "another", "versions": "older"}])

    report.save(add(earlier, [row | {"seed": 1}]), tmp_path / "runs.parquet")

    saved = pd.read_parquet(tmp_path / "runs.parquet")
    assert saved["machine"].tolist() == ["another", report.machine()]
    assert saved["versions"].tolist() == ["older", report.versions()]


def test_the_figures_show_what_was_tuned_on_apart_and_mark_the_best_of_a_row() -> None:
    names = [("Branin", "functions"), ("Hartmann6", "functions")]
    rows = [
        {"problem": problem, "searcher": searcher, "workers": 1, "seed": 0, "mark": 10}
        | {"regret": regret, "cpu_ms": 1.0, "suggestions": 10, "failing": 0.0, "solved": None}
        for problem, _ in names
        for searcher, regret in (("random", 0.5), ("tpe", 0.25))
    ]
    known = list_problems()
    problems: dict[str, Problem] = {name: known[name] for name, _ in names}

    text = describe(pd.DataFrame(rows), problems)

    assert "tuned on, 1 in flight" in text.split("held back, 1 in flight")[0]
    assert "| Hartmann6 | 10 | 0.5 | **0.25** |" in text.split("held back, 1 in flight")[1]


def test_the_surrogate_of_lcbench_predicts_what_its_original_does() -> None:
    """Read off YAHPO Gym's model by onnxruntime, in single precision."""
    config = {"batch_size": 91, "learning_rate": 3e-3, "momentum": 0.5, "weight_decay": 0.05}
    config |= {"num_layers": 3, "max_units": 256, "max_dropout": 0.5}

    (curve,) = surrogates.curves_of("126025", [config])

    assert curve[[0, 9, 51]] == pytest.approx([0.645816, 0.461544, 0.432634], abs=1e-5)
    (row,) = run(Cell("lcbench-126025", "random", 8, seed=0, epochs=60))
    assert row["mark"] == 60 and row["regret"] < math.inf
