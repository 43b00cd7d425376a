"""Two experiments side by side: what they found and cost, in what they differ, and how surely."""

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from tune_jobs.cli.main import main
from tune_jobs.engine.analysis.estimates import estimate
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.history.records import Epoch, TrialEnd, TrialStart
from tune_jobs.engine.experiments.history.segments import SegmentWriter
from tune_jobs.engine.report.side_by_side import as_dict, declared_differences, difference, lines
from tune_jobs.engine.storage.folder import Folder, open_folder

ONE = [0.40, 0.43, 0.38, 0.45, 0.41, 0.39]
OTHER = [0.31, 0.30, 0.35, 0.29]


def describe(**changes: Any) -> dict[str, Any]:
    return {
        "trainable": "trainables.tabular_mlp.train",
        "metric": "val_loss",
        "mode": "min",
        "max_epochs": 9,
        "seed": 0,
        "space": {"learning_rate": "loguniform(0.0001, 0.1)", "patience": 8},
        "resources": {"cpu": 2, "gpu": 0},
        "versions": {"python": "3.11.7", "keras": "3.15.1"},
        "fingerprint": "9e0caf80",
        **changes,
    }


def judge(scores: list[float], *, level: float = 0.95, **changes: Any) -> dict[str, Any]:
    """The verdict of finals with a winner of such scores."""
    found = estimate(scores, overlap=0, level=level)
    return {
        "trial": 2,
        "config": {"learning_rate": 0.002, "patience": 8},
        "metric": "val_loss",
        "mode": "min",
        "epochs": 1,
        "mean": found.mean,
        "interval": [found.lower, found.upper],
        "level": level,
        "scores": found.scores,
        "luck": 0.0,
        "is_distinguished": False,
        "sentence": "trial 2 won.",
        **changes,
    }


def write(folder: Folder, values: list[float], metric: str) -> None:
    """A history of trials that reported a value each."""
    history = SegmentWriter(folder)
    for number, value in enumerate(values, 1):
        config = {"learning_rate": number / 1000, "patience": 8}
        history.append(TrialStart(number, config))
        history.append(Epoch(number, 0, 1, 0.1, {metric: value}))
        history.append(TrialEnd(number, "complete", None, None))
    history.flush()


def make(
    place: Path,
    values: list[float],
    scores: list[float] | None = None,
    *,
    summary: dict[str, Any] | None = None,
    verdict: dict[str, Any] | None = None,
    **changes: Any,
) -> Experiment:
    """An experiment of trials with such values, and of finals with such scores if there were any.

    Args:
        place: where it lies.
        values: of the trials.
        scores: of the winner of the finals.
        summary: more of how it ended.
        verdict: more of what the finals said.
        changes: of its description.
    """
    folder = open_folder(place)
    folder.create()
    about = describe(**changes)
    folder.write_json("experiment.json", about)
    write(folder, values, about["metric"])
    known = {"outcome": "complete", "seconds": 60.0, "worker_seconds": 7200.0}
    folder.write_json("summary.json", {**known, "usage": None, **(summary or {})})
    if scores is not None:
        folder.write_json("verdict.json", judge(scores, **(verdict or {})))
    return Experiment(folder)


def row(said: list[str], name: str) -> list[str]:
    """The cells of the line that begins with a name."""
    (line,) = [line for line in said if line.startswith(f"{name}  ")]
    return re.split(r"\s{2,}", line)[1:]


def compare(storage: Path, *words: str) -> Result:
    """Compare on the command line."""
    arguments = ["compare", *words, "--storage", str(storage)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def test_best_intervals_and_cost_stand_beside_each_other(tmp_path) -> None:
    one = make(tmp_path / "monday", [0.5, 0.25], ONE, summary={"test": {"accuracy": 0.9}})
    spent = {"worker_seconds": 1800.0, "test": {"accuracy": 0.95}}
    other = make(
        *(tmp_path / "tuesday", [0.125, 0.75, 0.5], OTHER),
        summary=spent,
        resources={"cpu": 1, "gpu": 2},
    )

    said = lines(one, other)

    assert row(said, "best in the search") == ["0.25", "0.125"]
    assert row(said, "winner on fresh seeds") == [
        "0.41 (0.3826 to 0.4374)",
        "0.3125 (0.2707 to 0.3543)",
    ]
    assert row(said, "trials") == ["2", "3"]
    assert row(said, "worker hours") == ["2.00", "0.50"]
    assert row(said, "CPU hours") == ["4.00", "0.50"]
    assert row(said, "GPU hours") == ["0.00", "1.00"]
    assert row(said, "test accuracy") == ["0.9", "0.95"]
    assert any(line.split() == ["monday", "tuesday"] for line in said)


def test_the_best_configs_are_compared(tmp_path) -> None:
    one, other = make(tmp_path / "a", [0.5, 0.25]), make(tmp_path / "b", [0.25, 0.5])
    assert row(lines(one, other), "best config") == ["a", "b"]
    assert row(lines(one, other), "learning_rate") == ["0.002", "0.001"]


def test_what_was_never_used_has_no_line(tmp_path) -> None:
    both = [make(tmp_path / name, [0.5]) for name in "ab"]
    said = lines(*both)
    assert not [line for line in said if line.startswith(("GPU hours", "winner on fresh seeds"))]


def test_without_a_summary_there_is_no_cost(tmp_path) -> None:
    one, other = make(tmp_path / "a", [0.5]), make(tmp_path / "b", [0.5])
    one.folder.delete("summary.json")
    said = lines(Experiment(one.folder), other)
    assert row(said, "worker hours") == ["\N{EN DASH}", "2.00"]
    assert row(said, "CPU hours") == ["\N{EN DASH}", "4.00"]


def test_the_difference_is_that_of_welch(tmp_path) -> None:
    one, other = make(tmp_path / "a", [0.5], ONE), make(tmp_path / "b", [0.5], OTHER)

    apart = difference(one, other)

    expected = ttest_ind(ONE, OTHER, equal_var=False)
    assert apart is not None
    assert apart.mean == pytest.approx(np.mean(ONE) - np.mean(OTHER))
    assert apart.interval == pytest.approx(list(expected.confidence_interval(0.95)))
    assert apart.level == 0.95


scores = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=12).filter(
    lambda values: np.ptp(values) > 1e-2
)


@settings(max_examples=30, deadline=None)
@given(scores, scores, st.sampled_from([0.8, 0.95, 0.99]), st.sampled_from([0.8, 0.95, 0.99]))
def test_any_difference_is_that_of_welch_at_the_lower_level(
    tmp_path_factory, first, second, level, other_level
) -> None:
    storage = tmp_path_factory.mktemp("storage")
    one = make(storage / "a", [0.5], first, verdict={"level": level})
    other = make(storage / "b", [0.5], second, verdict={"level": other_level})

    apart = difference(one, other)

    lowest = min(level, other_level)
    expected = ttest_ind(first, second, equal_var=False).confidence_interval(lowest)
    assert apart is not None
    assert apart.level == lowest
    assert apart.interval == pytest.approx(list(expected), rel=1e-6, abs=1e-6)


def test_swapped_the_difference_changes_its_sign(tmp_path) -> None:
    one, other = make(tmp_path / "a", [0.5], ONE), make(tmp_path / "b", [0.5], OTHER)
    there, back = difference(one, other), difference(other, one)
    assert there is not None
    assert back is not None
    assert back.mean == -there.mean
    assert back.interval == pytest.approx([-end for end in reversed(there.interval)])


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (
            OTHER,
            r"differ by 0\.0975 \(95% CI 0\.0.* to 0\.1.*\), which is significant",
        ),
        (
            [0.2, 0.6, 0.3, 0.5],
            r"differ by 0\.01 \(95% CI -0\.\d+ to .*\), which is not signi",
        ),
    ],
)
def test_a_difference_is_significant_or_not(tmp_path, scores, told) -> None:
    one, other = make(tmp_path / "a", [0.5], ONE), make(tmp_path / "b", [0.5], scores)
    (said,) = [line for line in lines(one, other) if line.startswith("The winners' val_loss")]
    assert re.search(told, said)


@pytest.mark.parametrize(
    ("first", "second"),
    [(None, OTHER), (ONE, None), (None, None), ([0.4], OTHER), ([0.4, math.nan, 0.5], OTHER)],
    ids=["first", "second", "neither", "one score", "no number"],
)
def test_without_two_verdicts_there_is_no_difference(tmp_path, first, second) -> None:
    one, other = make(tmp_path / "a", [0.5], first), make(tmp_path / "b", [0.25], second)
    assert difference(one, other) is None
    assert not [line for line in lines(one, other) if line.startswith("The winners'")]


def test_without_verdicts_the_searches_are_compared_with_a_warning(tmp_path) -> None:
    one, other = make(tmp_path / "a", [0.5]), make(tmp_path / "b", [0.25])
    assert lines(one, other)[0] == (
        "During the search, b found the better val_loss: 0.25 against 0.5 of a. "
        "Both are the best of many, so optimistic."
    )


def test_other_metrics_are_said_and_not_subtracted(tmp_path) -> None:
    one = make(tmp_path / "a", [0.5], ONE)
    metric = {"metric": "val_accuracy", "mode": "max"}
    other = make(tmp_path / "b", [0.9], OTHER, verdict=metric, **metric)

    assert lines(one, other)[0] == (
        "They have different metrics, so their values cannot be compared."
    )
    assert difference(one, other) is None


def test_other_data_are_said(tmp_path) -> None:
    one = make(tmp_path / "a", [0.5], ONE, fingerprint="aa")
    other = make(tmp_path / "b", [0.5], OTHER, fingerprint="bb")

    said = lines(one, other)

    assert "The data differ, so compare values with care." in said
    assert row(said, "fingerprint of the data") == ["aa", "bb"]


def test_what_was_searched_otherwise_and_with_other_versions_is_listed(tmp_path) -> None:
    one = make(tmp_path / "a", [0.5], searcher="TPE()", seed=0)
    other = make(
        *(tmp_path / "b", [0.5]),
        seed=1,
        space={"learning_rate": "loguniform(0.001, 0.1)", "units": "randint(1, 9)"},
        versions={"python": "3.12.1", "keras": "3.15.1"},
    )

    table = declared_differences(one, other)

    assert table is not None
    assert table.heads == ["different", "a", "b"]
    assert {cells[0]: tuple(cells[1:]) for cells in table.rows} == {
        "searcher": ("TPE()", "\N{EN DASH}"),
        "seed": ("0", "1"),
        "space learning_rate": ("loguniform(0.0001, 0.1)", "loguniform(0.001, 0.1)"),
        "space patience": ("8", "\N{EN DASH}"),
        "space units": ("\N{EN DASH}", "randint(1, 9)"),
        "versions python": ("3.11.7", "3.12.1"),
    }


def test_where_nothing_differs_nothing_is_listed(tmp_path) -> None:
    both = [make(tmp_path / name, [0.5]) for name in "ab"]
    assert declared_differences(*both) is None
    assert not [line for line in lines(*both) if line.startswith(("different", "best config"))]


def test_a_long_difference_is_cut(tmp_path) -> None:
    one = make(tmp_path / "a", [0.5], space={"x": {"choice": list(range(100))}})
    other = make(tmp_path / "b", [0.5], space={"x": {"choice": list(range(101))}})
    assert all(len(line) < 130 for line in lines(one, other))


@pytest.mark.parametrize(
    ("first", "second"),
    [(ONE, OTHER), (None, None), ([0.4, 0.4], [0.4, 0.4])],
    ids=["scores", "no finals", "no variance"],
)
def test_json_is_valid(tmp_path, first, second) -> None:
    make(tmp_path / "a", [0.5], first)
    make(tmp_path / "b", [0.25, math.nan], second, summary={"test": {"accuracy": 0.9}})

    ran = compare(tmp_path, "a", "b", "--json")

    found = json.loads(ran.stdout, parse_constant=refuse)
    a, b = found["experiments"]
    assert (a["name"], b["name"]) == ("a", "b")
    assert b["test"] == {"accuracy": 0.9}
    assert a["worker_seconds"] == 7200
    assert (a["winner"] is None) == (first is None)
    assert (found["difference"] is None) == (first is None)


def test_json_is_valid_where_a_finalist_failed_after_its_first_score(tmp_path) -> None:
    failed = {"trial": 9, "config": {}, "mean": 0.4, "interval": [-math.inf, math.inf]}
    failed["failure"] = "no memory"
    make(tmp_path / "a", [0.5], ONE, verdict={"finalists": [failed]})
    make(tmp_path / "b", [0.25], OTHER)

    json.loads(compare(tmp_path, "a", "b", "--json").stdout, parse_constant=refuse)


def test_json_says_what_the_lines_say(tmp_path) -> None:
    one, other = make(tmp_path / "a", [0.5], ONE), make(tmp_path / "b", [0.25], OTHER)
    apart = difference(one, other)
    assert apart is not None
    found = as_dict(one, other)["difference"]
    assert (found["mean"], tuple(found["interval"])) == (apart.mean, apart.interval)
    assert as_dict(one, other)["experiments"][0]["space"] == one.description.space


def test_two_of_one_name_are_both_there(tmp_path) -> None:
    make(tmp_path / "x" / "nightly", [0.5], ONE)
    make(tmp_path / "y" / "nightly", [0.25], OTHER)

    ran = compare(tmp_path, f"{tmp_path}/x/nightly", f"{tmp_path}/y/nightly", "--json")

    assert len(json.loads(ran.stdout)["experiments"]) == 2


def test_the_command_prints_the_lines(tmp_path) -> None:
    one, other = make(tmp_path / "a", [0.5], ONE), make(tmp_path / "b", [0.25], OTHER)
    ran = compare(tmp_path, "a", str(tmp_path / "b"))
    assert (ran.exit_code, ran.stdout.splitlines()) == (0, lines(one, other))


def test_an_experiment_that_is_not_there_is_said_so(tmp_path) -> None:
    make(tmp_path / "nightly", [0.5])
    ran = compare(tmp_path, "nightly", "nightli")
    assert ran.exit_code == 2
    assert "did you mean 'nightly'" in ran.stderr
    assert ran.stderr.count("\n") == 1
