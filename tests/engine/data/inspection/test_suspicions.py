"""What looks wrong in a table is said, with numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tune_jobs.engine.data.table import table

ROWS = 400


def noise(seed=0, rows=ROWS):
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(rows, 3)), columns=["a", "b", "c"])
    frame["town"] = draw.choice(["Bern", "Oslo", "Rom"], rows)
    frame["yes"] = draw.integers(0, 2, rows)
    frame["kind"] = draw.choice(["x", "y", "z"], rows)
    frame["price"] = frame["a"] * 100 + draw.normal(size=rows) * 50 + 1000
    return frame


def warnings_of(frame, target, **options):
    others = {"yes", "kind", "price"} - {target}
    kept = frame.drop(columns=[name for name in others if name in frame])
    return list(table(kept, target, **options)(0).warnings)


@pytest.mark.parametrize("target", ["yes", "kind", "price"])
def test_a_clean_table_has_no_warning(target):
    assert warnings_of(noise(), target) == []


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "position"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_counts_the_rows_is_named(name, first):
    frame = noise()
    frame.insert(0, name, np.arange(ROWS) + first)

    (warning,) = warnings_of(frame, "yes")

    assert warning.startswith(f"column {name!r} counts the rows ({first} to {ROWS - 1 + first})")
    assert f"--ignore '{name}'" in warning


def test_distinct_numbers_with_the_name_of_an_identifier_are_named():
    shuffled = np.random.default_rng(1).permutation(ROWS) * 7
    (warning,) = warnings_of(noise().assign(customer_id=shuffled), "yes")
    assert "'customer_id' looks like an identifier: 400 distinct numbers in 400 rows" in warning
    assert "(--ignore 'customer_id'), or keep it" in warning
    assert warnings_of(noise().assign(paid=shuffled), "yes") == []


def test_an_index_with_gaps_is_an_identifier():
    kept = np.delete(np.arange(ROWS + 30), slice(50, 80))
    (warning,) = warnings_of(noise().assign(**{"Unnamed: 0": kept}), "yes")
    assert warning.startswith("column 'Unnamed: 0' looks like an identifier: 400 distinct numbers")
    assert "--ignore 'Unnamed: 0'" in warning


LEAKS = {
    "the class as a text": ("kind", lambda f: f["kind"].str.upper(), "determines the target"),
    "the class as a number": ("yes", lambda f: f["yes"] * 10.0, "determines the target"),
    "a score above a threshold": (
        "yes",
        lambda f: f["yes"] + 0.9 * abs(np.tanh(f["a"])),
        "determines",
    ),
    "an ordered score of three": (
        "kind",
        lambda f: f["kind"].map({"x": 1, "y": 0, "z": 2}) + 0.9 * abs(np.tanh(f["a"])),
        "determines the target",
    ),
    "a value only for the class": ("yes", lambda f: f["b"].where(f["yes"] == 1), "determines"),
    "the same in another unit": ("price", lambda f: f["price"] * 1.2 + 3, "equals the target but"),
    "nearly the same": ("price", lambda f: f["price"] + f["b"] * 0.5, "nearly determines"),
    "nearly the class": (
        "yes",
        lambda f: f["yes"].where(np.arange(len(f)) % 333 != 0, 1 - f["yes"]),
        "% of rows",
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_column_that_gives_the_target_is_named(leak):
    target, make, said = LEAKS[leak]
    frame = noise(rows=2_000)

    (warning,) = warnings_of(frame.assign(leak=make(frame)), target)

    assert warning.startswith("column 'leak' ") and said in warning, warning
    assert "is it known before the target is?" in warning


def test_a_rare_class_is_not_given_by_every_column():
    frame = noise().assign(yes=(np.arange(ROWS) % 50 == 0).astype(int))

    assert not [w for w in warnings_of(frame, "yes") if "target" in w]


def test_rows_of_the_training_set_in_another_are_counted():
    frame = noise()
    frame.iloc[200:] = frame.iloc[:200].to_numpy()

    found = warnings_of(frame.astype(noise().dtypes), "yes")

    sets = [warning for warning in found if "in the training set, too" in warning]
    assert [each.split(" in the ")[1].split(" set")[0] for each in sets] == ["validation", "test"]
    assert int(sets[1].split(" rows of ")[0]) > 30


def test_small_sets_and_rare_classes_are_named():
    few = "\n".join(warnings_of(noise(rows=60), "price"))
    assert "few rows: validation 12 rows, test 12 rows" in few
    frame = noise().assign(kind=["rare"] * 5 + ["often"] * 395)
    assert "class 'rare' has 5 rows: fewer than 10" in "\n".join(warnings_of(frame, "kind"))


def test_labels_that_differ_only_in_capitals_or_spaces_are_named():
    frame = noise()
    frame["town"] = frame["town"].where(np.arange(ROWS) % 9 != 0, "bern")
    frame["kind"] = frame["kind"].where(np.arange(ROWS) % 9 != 0, "X")

    found = warnings_of(frame, "kind")

    assert any("column 'town' has" in w and "'Bern'" in w and "'bern'" in w for w in found)
    assert any("column 'kind' has" in w and "'X'" in w for w in found)


def test_the_description_has_columns_classes_and_warnings():
    frame = noise().drop(columns=["yes", "price"])
    frame.loc[3, "town"] = None

    lines = table(frame, "kind", ids=["c"]).describe().splitlines()

    assert lines[0].split() == ["column", "kind", "missing", "distinct", "examples", "use"]
    assert len({line.index("kind") for line in lines[:1]}) == 1
    of = {line.split()[0]: line for line in lines}
    assert of["town"].split()[1:4] == ["category", "1", "3"]
    assert of["town"].endswith("3 codes, 0 for others and missing")
    assert of["c"].endswith("kept beside the predictions")
    assert of["kind"].endswith("the target: 3 classes")
    assert "rows: 240 to train, 80 to validate, 80 to test" in lines
    assert any(line.startswith("classes: ") and line.count("%") == 3 for line in lines)


def test_a_wide_table_is_described_by_its_first_columns():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 150))).assign(y=np.arange(50.0))

    lines = table(frame, "y").describe().splitlines()

    assert lines[101] == "and 51 more columns"
