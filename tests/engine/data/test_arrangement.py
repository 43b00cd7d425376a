import datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from tune_jobs.engine import Evaluation, JobError, images, table
from tune_jobs.engine.data import arrangement as arranging
from tune_jobs.engine.data.evaluation import fresh_replicas


def make_frame(rows=400, groups=60, share=0.3, seed=0):
    random = np.random.default_rng(seed)
    customer = random.integers(0, groups, rows)
    day = random.integers(0, rows // 3, rows)
    return pd.DataFrame(
        {
            "row": np.arange(float(rows)),
            "customer_id": [f"c{number}" for number in customer],
            "day": day,
            "won": random.random(rows) < share,
            "amount": random.normal(size=rows),
        }
    )


def load(source, target="won", seed=0, ignore=(), **options):
    evaluation = Evaluation(**options)
    recipe = evaluation.arrange(table(source, target=target, ignore=ignore))
    return evaluation.apply(recipe(seed), seed)


def rows_of(dataset, x):
    """The rows of the frame, which its column ``row`` numbers."""
    (column,) = (c for c in dataset.preprocessing["columns"] if c["name"] == "row")
    place = [c["name"] for c in dataset.preprocessing["columns"]].index("row")
    return np.rint(x[:, place].astype(float) * column["scale"] + column["mean"]).astype(int)


def parts_of(dataset):
    """The rows of the frame in training, validation and test set."""
    parts = dataset.training.x_train, dataset.training.x_validation, dataset.x_test
    return [rows_of(dataset, part) for part in parts]


def folds_of(dataset, replicas=None):
    rows = rows_of(dataset, dataset.training.x_train)
    found = dataset.training.replicas if replicas is None else replicas
    return [(rows[each.train], rows[each.validation]) for each in found]


def check_apart(column, *parts):
    met = [set(column[part]) for part in parts]
    assert sum(map(len, met)) == len(set().union(*met))


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 200), st.integers(0, 1000), st.sampled_from(["won", "amount"]))
def test_no_group_is_in_two_parts_and_no_row_is_lost(groups, seed, target):
    frame = make_frame(groups=groups, seed=seed)
    parts = parts_of(load(frame, target, seed, groups="customer_id"))

    assert sorted(np.concatenate(parts)) == list(range(400))
    check_apart(frame["customer_id"].to_numpy(), *parts)
    assert all(40 <= len(part) <= 120 for part in parts[1:])


@pytest.mark.parametrize("target", ["won", "amount"])
@pytest.mark.parametrize("many", [10, 5000], ids=["many groups", "few groups"])
def test_no_group_is_in_two_folds(target, many, monkeypatch):
    monkeypatch.setattr(arranging, "MANY_GROUPS", many)
    frame = make_frame()
    dataset = load(frame, target, groups="customer_id", folds=4, repeats=2)
    folds = folds_of(dataset)

    test = rows_of(dataset, dataset.x_test)
    assert len(folds) == 8
    for train, held in folds:
        check_apart(frame["customer_id"].to_numpy(), train, held, test)
        assert len(train) + len(held) + len(test) == 400
    for repeat in (folds[:4], folds[4:]):
        assert len(np.unique(np.concatenate([held for _, held in repeat]))) == 400 - len(test)
    assert {tuple(held) for _, held in folds[:4]} != {tuple(held) for _, held in folds[4:]}


@pytest.mark.parametrize("many", [10, 5000], ids=["many groups", "few groups"])
def test_classes_are_spread_evenly_over_folds_and_parts_of_groups(many, monkeypatch):
    monkeypatch.setattr(arranging, "MANY_GROUPS", many)
    frame = make_frame(rows=2000, groups=400, share=0.1)
    won = frame["won"].to_numpy()
    dataset = load(frame, groups="customer_id", folds=5)

    shares = [won[held].mean() for _, held in folds_of(dataset)]
    assert np.ptp(shares) < 0.035
    for part in parts_of(load(frame, groups="customer_id")):
        assert won[part].mean() == pytest.approx(0.1, abs=0.025)


def test_a_group_of_most_rows_is_trained_on():
    frame = make_frame(groups=30)
    frame.loc[:299, "customer_id"] = "a large one"
    train, held, test = parts_of(load(frame, groups="customer_id"))

    assert set(range(300)) <= set(train)
    assert len(held) > 10 < len(test)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5), st.sampled_from(["won", "amount"]))
def test_what_is_held_out_is_later_than_what_is_trained_on(seed, folds, target):
    frame = make_frame(seed=seed)
    day = frame["day"].to_numpy()
    dataset = load(frame, target, seed, order="day", folds=folds)
    held_out = rows_of(dataset, dataset.x_test)
    if folds == 1:
        train, held, _ = parts_of(dataset)
        pairs = [(train, held)]
        assert len(held) == pytest.approx(80, abs=8)
    else:
        pairs = folds_of(dataset)
        assert len(pairs) == folds

    assert len(held_out) == pytest.approx(80, abs=8)
    for train, held in pairs:
        assert day[train].max() < day[held].min()
        assert day[held].max() < day[held_out].min()
    for (train, held), (after, _) in pairwise(pairs):
        assert sorted(after) == sorted([*train, *held])


def test_folds_in_time_order_are_those_of_scikit_learn_where_no_times_are_equal():
    frame = make_frame().sample(frac=1, random_state=0)
    dataset = load(frame, order="row", ignore=["row"], folds=4, repeats=2)
    found = [(each.train, each.validation) for each in dataset.training.replicas]

    expected = list(TimeSeriesSplit(4).split(np.zeros(320)))
    ranks = dataset.arrangement.ranks
    for (train, held), (first, then) in zip(found, expected * 2, strict=True):
        assert sorted(ranks[train]) == first.tolist()
        assert sorted(ranks[held]) == then.tolist()
    assert len({each.seed for each in dataset.training.replicas}) == 8


START = datetime.datetime(2020, 1, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda day: START + datetime.timedelta(hours=int(day)),
        lambda day: (START + datetime.timedelta(days=int(day))).date(),
        lambda day: pd.Timestamp(START, tz="UTC") + pd.Timedelta(minutes=int(day)),
        lambda day: day / 1e6,
        lambda day: 2**60 + int(day),
    ],
    ids=["datetime", "date", "with time zone", "fraction", "large whole number"],
)
def test_times_are_numbers_dates_or_timestamps(make):
    frame = make_frame()
    expected = parts_of(load(frame, order="day"))
    when = frame.assign(day=[make(day) for day in frame["day"]])

    for part, same in zip(parts_of(load(when, order="day")), expected, strict=True):
        assert part.tolist() == same.tolist()


def test_a_csv_file_gives_the_parts_and_the_fingerprint_of_a_parquet_file(tmp_path):
    frame = make_frame()
    frame["day"] = pd.Timestamp(START) + pd.to_timedelta(frame["day"], unit="D")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for options in ({"order": "day"}, {"groups": "customer_id"}):
        ignore = ["day"]
        one, other = (
            load(tmp_path / name, ignore=ignore, **options) for name in ("a.csv", "a.parquet")
        )
        assert one.fingerprint == other.fingerprint
        assert [list(p) for p in parts_of(one)] == [list(p) for p in parts_of(other)]


@pytest.mark.parametrize("options", [{"groups": "customer_id"}, {"order": "day"}], ids=str)
@pytest.mark.parametrize("is_ignored", [True, False])
def test_the_column_that_arranges_the_rows_is_no_feature(options, is_ignored):
    (name,) = options.values()
    dataset = load(make_frame(), ignore=[name] if is_ignored else [], **options)
    others = {"row", "amount", "customer_id", "day"} - {name}

    assert {column["name"] for column in dataset.preprocessing["columns"]} == others
    assert set(dataset.raw_test) == others


@pytest.mark.parametrize("options", [{"groups": "customer_id"}, {"order": "day"}], ids=str)
@pytest.mark.parametrize("folds", [1, 3])
def test_fresh_replicas_are_arranged_too(options, folds):
    frame = make_frame()
    dataset = load(frame, **options, folds=folds)
    whole, rounds = fresh_replicas(dataset, Evaluation(**options, folds=folds), 5, rounds=3)
    values = frame["customer_id" if "groups" in options else "day"].to_numpy()

    assert len(rounds) == 3
    for replicas in rounds:
        for train, held in folds_of(whole, replicas):
            check_apart(values, train, held)
            if "order" in options:
                assert values[train].max() < values[held].min()
    assert len({each.seed for replicas in rounds for each in replicas}) == 3 * len(rounds[0])
    held = {tuple(each.validation) for replicas in rounds for each in replicas}
    assert len(held) == (1 if "order" in options else 3) * len(rounds[0])
    if folds == 1:  # as large as the validation set was
        expected = len(dataset.training.x_validation)
        assert len(rounds[0][0].validation) == pytest.approx(expected, rel=0.15)


def test_fresh_replicas_have_fewer_folds_where_groups_allow_no_more():
    frame = make_frame(groups=4)
    dataset = load(frame, groups="customer_id")
    kept = len(np.unique(dataset.arrangement.codes))
    _, rounds = fresh_replicas(dataset, Evaluation(groups="customer_id"), 0, rounds=2)

    assert 2 <= len(rounds[0]) <= kept < 4


def one_class_at_the_end():
    return make_frame().assign(won=lambda frame: (frame["day"] < 95) & (frame["row"] % 2 > 0))


def late_class():
    kinds = {False: "no", True: "yes"}
    return make_frame().assign(won=lambda f: np.where(f["day"] > 100, "late", f["won"].map(kinds)))


def missing(name, value=None):
    frame = make_frame().astype({name: object})
    frame.loc[7, name] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (
            make_frame(),
            {"groups": "customer"},
            r"no column 'customer' \(the groups\); did you mean",
        ),
        (make_frame(), {"order": "date"}, r"no column 'date' \(the order\)"),
        (missing("customer_id"), {"groups": "customer_id"}, "has no value in 1 of 400 rows"),
        (missing("customer_id", ""), {"groups": "customer_id"}, "has no value in 1 of 400 rows"),
        (missing("day"), {"order": "day"}, r"'day' \(the order\) has no value in 1 of 400 rows"),
        (make_frame(), {"order": "customer_id"}, "must be numbers, dates or timestamps"),
        (
            make_frame(groups=2),
            {"groups": "customer_id"},
            "training, validation and test set need 3 groups, but column",
        ),
        (
            make_frame(groups=9),
            {"groups": "customer_id", "folds": 9},
            r"9 folds need 9 groups, but column 'customer_id' has only [5-8]",
        ),
        (
            make_frame().assign(day=1),
            {"order": "day"},
            "training, validation and test set need 3 times, but column .* has only 1",
        ),
        (
            make_frame().assign(day=lambda frame: frame["row"] // 100),
            {"order": "day", "folds": 4},
            "4 folds in time order need 5 times, but column 'day' has only 3",
        ),
        (
            one_class_at_the_end(),
            {"order": "day"},
            "the test set would all be of one class, because of column 'day'",
        ),
        (late_class(), {"order": "day"}, "the training set would lack 1 of the 3 classes"),
        (make_frame(), {"order": "won"}, "target 'won' cannot be the groups or the order too"),
    ],
)
def test_rows_that_cannot_be_arranged_say_why(frame, options, message):
    with pytest.raises(JobError, match=message):
        load(frame, **options)


def test_data_without_columns_cannot_be_arranged():
    with pytest.raises(JobError, match=r"groups is 'writer', but Images.*has no columns; write"):
        Evaluation(groups="writer").arrange(images("digits"))
    with pytest.raises(JobError, match="order is 'day', but make_frame has no columns"):
        Evaluation(order="day").arrange(make_frame)


def test_rows_are_kept_together_or_in_order_but_not_both():
    with pytest.raises(JobError, match="but only one of them can be given"):
        Evaluation(groups="customer_id", order="day")


def test_an_evaluation_that_the_data_know_nothing_of_is_refused():
    with pytest.raises(JobError, match="the data were made without it"):
        Evaluation(groups="customer_id").apply(table(make_frame(), target="won")(0), 0)
