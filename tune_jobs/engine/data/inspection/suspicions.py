"""What looks wrong in a table: leaks, row numbers, doubled rows, small sets, similar labels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.arrays import coded, is_text, value_type
from tune_jobs.engine.data.columns import list_features
from tune_jobs.engine.data.kinds.kind import Column
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.formatting import count
from tune_jobs.engine.names import ignoring

FEWEST_ROWS, FEWEST_MEMBERS = 30, 10  # of a set, and of a class
ID_NAME = re.compile(
    r"(^|[ _.-])([iI][dD]|ID|uuid|key|index|[nN]o|[nN]r)$|[a-z]I[dD]$|^Unnamed: \d+$"
)
COUNTING = 20  # rows from which whole numbers one apart count the rows

MOST_CELLS = 2 * 10**6  # of the matrix that leaks are looked for in
SURE = 0.995  # of a ranking, a correlation or a share of rows from which a column gives the target
VALUES = 10  # rows per distinct value from which a feature is one of few values
FEW_ROWS = 40  # fewer show nothing
MOST_LEAKS = 5  # in messages
DOUBLED = 0.01  # share of a set whose rows are in the training set, too
MOST_LABELS = 5_000  # distinct texts that are compared


def find_suspicions(
    features: pa.Table,
    labels: pa.Table,
    columns: Sequence[Column],
    sets: Mapping[str, tuple[Array, Array]],
    classes: Mapping[Any, int],
) -> list[str]:
    """Warn of all that looks wrong.

    Args:
        features: the columns that are learnt from.
        labels: the columns whose texts are compared.
        columns: the preprocessing of the features.
        sets: features and targets by the name of the set, the training set first.
        classes: the rows of each class; empty for numbers.
    """
    counting = find_counting(features)
    x, y = next(iter(sets.values()))
    return [
        *counting,
        *(find_identifiers(features) if not counting else ()),
        *find_alike(labels, labels.column_names),
        *find_leaks(columns, x, y, len(classes)),
        *find_doubled(sets),
        *find_small_sets({name: len(y) for name, (_, y) in sets.items()}, classes),
    ]


def find_identifiers(table: pa.Table) -> list[str]:
    """Warn of whole numbers that are all distinct and have the name of an identifier."""
    rows = table.num_rows
    return [
        f"column {name!r} looks like an identifier: {rows:,} distinct numbers in {rows:,} rows; "
        f"leave it out with {ignoring(name)}, or keep it beside the predictions (--id '{name}')"
        for name, column in zip(table.column_names, table.columns, strict=True)
        if rows >= COUNTING
        and ID_NAME.search(name)
        and pa.types.is_integer(column.type)
        and pc.count_distinct(column).as_py() == rows
    ]


def find_counting(table: pa.Table) -> list[str]:
    """Warn of whole numbers that count the rows: a row index that was written as a column."""
    rows = table.num_rows
    if rows < COUNTING:
        return []
    found = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_integer(column.type) or column.null_count:
            continue
        if column[rows - 1].as_py() - column[0].as_py() not in (rows - 1, 1 - rows):
            continue
        values = column.to_numpy()
        if values.min() in (0, 1) and abs(np.diff(values.astype(np.int64))).max() == 1:
            found.append(
                f"column {name!r} counts the rows ({values[0]} to {values[-1]}): an order of the "
                f"file is no property of a row; leave it out with {ignoring(name)}"
            )
    return found


def find_alike(table: pa.Table, names: Sequence[str]) -> list[str]:
    """Warn of texts that differ only in capitals or spaces."""
    found = []
    for name in names:
        if not is_text(value_type(table[name].type)):
            continue
        texts = coded(table[name])
        if len(texts.values) > MOST_LABELS:
            continue
        by_key: dict[str, list[str]] = defaultdict(list)
        for text in filter(None, texts.values):
            by_key[" ".join(text.lower().split())].append(text)
        if pairs := [alike for alike in by_key.values() if len(alike) > 1]:
            shown = " and ".join(map(repr, pairs[0][:3]))
            more = f" (and {len(pairs) - 1} more)" if len(pairs) > 1 else ""
            found.append(
                f"column {name!r} has {shown}{more}, which differ only in capitals or spaces; "
                "they are different values to the model"
            )
    return found


def find_small_sets(sizes: Mapping[str, int], counts: Mapping[Any, int]) -> list[str]:
    """Warn of sets with few rows, and of classes with few.

    Args:
        sizes: the rows of each set, by its name.
        counts: the rows of each class; empty for numbers.
    """
    small = [f"{name} {count(rows, 'row')}" for name, rows in sizes.items() if rows < FEWEST_ROWS]
    found = []
    if small:
        found.append(
            f"few rows: {', '.join(small)}; scores on fewer than {FEWEST_ROWS} say little, use "
            "folds (Evaluation(folds=5)) or more data"
        )
    rare = {label: rows for label, rows in counts.items() if rows < FEWEST_MEMBERS}
    if rare:
        label = min(rare, key=rare.__getitem__)
        more = f", and {count(len(rare) - 1, 'other')} are rare, too" if len(rare) > 1 else ""
        found.append(
            f"class {label!r} has {count(rare[label], 'row')}: fewer than {FEWEST_MEMBERS} cannot "
            f"be learnt or scored well{more.replace('1 other are', '1 other is')}"
        )
    return found


def find_doubled(sets: Mapping[str, tuple[Array, Array]]) -> list[str]:
    """Warn of rows of the other sets that the training set has, too.

    Args:
        sets: features and targets by the name of the set, the training set first.
    """
    hashes = {name: _hash_rows(x, y) for name, (x, y) in sets.items()}
    train, *others = hashes
    found = []
    for name in others:
        doubled = int(np.isin(hashes[name], hashes[train]).sum())
        if doubled and doubled >= DOUBLED * len(hashes[name]):
            found.append(
                f"{count(doubled, 'row')} of {len(hashes[name]):,} in the {name} set "
                f"{'is' if doubled == 1 else 'are'} in the {train} set, too, with the same "
                "features and target: scores look better than on new rows; drop duplicates, or "
                "keep rows that belong together in one set (Evaluation(groups=...))"
            )
    return found


def find_leaks(columns: Sequence[Column], x: Array, y: Array, classes: int) -> list[str]:
    """Warn of columns each of which alone gives the target, or nearly.

    Args:
        columns: the preprocessing of the columns.
        x: the features of the training set.
        y: its targets, one per row.
        classes: the number of classes, 0 for numbers.
    """
    rows = min(len(x), MOST_CELLS // max(1, x.shape[1]))
    if rows < FEW_ROWS or y.ndim > 1:
        return []
    x, y = x[:rows], y[:rows]
    names = _names_of(columns, x.shape[1])
    found = {}
    for feature in _suspects(x, y, classes):
        how = _say_numbers(x[:, feature], y) if not classes else _say_classes(x[:, feature], y)
        if how and names[feature] not in found:
            found[names[feature]] = how
    leaks = [
        f"column {name!r} {how}: is it known before the target is? If not, leave it out with "
        f"{ignoring(name)}"
        for name, how in list(found.items())[:MOST_LEAKS]
    ]
    more = len(found) - MOST_LEAKS
    return [*leaks, f"{count(more, 'other column')} give the target, too"] if more > 0 else leaks


def _names_of(columns: Sequence[Column], width: int) -> list[str]:
    """Return the column of each feature."""
    names = [""] * width
    for place, column in list_features(columns):
        names[place] = column["name"]
    return names


def _suspects(x: Array, y: Array, classes: int) -> Iterator[int]:
    """Yield the features that may give the target, found for all of them at once.

    Of numbers it is their correlation of ranks; of classes how far apart their mean ranks are,
    compared with a feature that separates them. Features of few values are looked at in any case.
    """
    if not classes:
        ranks, wanted = _standardise(_rank(x)), _standardise(_rank(y[:, None]))
        yield from np.flatnonzero(np.abs(ranks.T @ wanted)[:, 0] / len(x) >= SURE).tolist()
        return
    distinct = 1 + (np.diff(np.sort(x, axis=0), axis=0) != 0).sum(axis=0)
    few = distinct <= len(x) / VALUES
    ranks = _standardise(_rank(x))
    shares = np.bincount(np.round(y).astype(int), minlength=classes) / len(y)
    apart = sum(
        share * ranks[np.round(y) == label].mean(axis=0) ** 2
        for label, share in enumerate(shares)
        if share
    )
    yield from np.flatnonzero(few | (apart >= 0.95 * (1 - (shares**3).sum()))).tolist()


def _rank(values: Array) -> Array:
    """Return the rank of each value in its column; equal values keep their order."""
    order = values.argsort(axis=0, kind="stable")
    ranks = np.empty(values.shape, np.float64)
    np.put_along_axis(ranks, order, np.arange(len(values), dtype=np.float64)[:, None], axis=0)
    return ranks


def _standardise(values: Array) -> Array:
    centred = values - values.mean(axis=0)
    found: Array = centred / np.maximum(centred.std(axis=0), 1e-12)
    return found


def _say_numbers(feature: Array, y: Array) -> str | None:
    distinct = len(np.unique(feature))
    if distinct < len(feature) / 2 < len(np.unique(y)):
        return None  # many equal values, whose ranks mean nothing
    linear = abs(float(np.corrcoef(feature.astype(np.float64), y)[0, 1]))
    equal = linear > 1 - 1e-6
    return "equals the target but for its unit" if equal else "nearly determines the target"


def _say_classes(feature: Array, y: Array) -> str | None:
    """Return how well one feature gives the classes; None if it does not.

    Few values are judged by the most frequent class of each, many by how few runs of one class
    there are in their order.
    """
    labels = np.round(y).astype(int)
    most = np.bincount(labels).max() / len(labels)
    values, codes, sizes = np.unique(feature, return_inverse=True, return_counts=True)
    if len(values) < 2:
        return None
    if len(values) <= len(feature) / VALUES:
        table = np.zeros((len(values), labels.max() + 1), int)
        np.add.at(table, (codes, labels), 1)
        right = float(table.max(axis=1).sum() / len(labels))
    else:
        right = _share_in_order(codes, sizes, labels)
    # Of a rare class little is wrong for anything: most of its rows must be right, too.
    if right < max(SURE, most + (1 - most) * 0.95):
        return None
    shown = 100 * right
    return "determines the target" if right == 1 else f"gives the target of {shown:.1f} % of rows"


def _share_in_order(codes: Array, sizes: Array, labels: Array) -> float:
    """Return the share of rows that one threshold per class gets right, ties counted as wrong."""
    order = np.argsort(codes, kind="stable")
    sorted_labels = labels[order]
    classes = int(labels.max()) + 1
    tied = sizes[codes[order]] > 1
    if tied.mean() > 0.5:
        return 0.0
    if classes == 2:
        ones = np.concatenate([[0], np.cumsum(sorted_labels == 1)])
        zeros = np.concatenate([[0], np.cumsum(sorted_labels == 0)])
        rising = zeros + (ones[-1] - ones)
        return float(max(rising.max(), (len(labels) - rising).max()) / len(labels))
    changes = int((np.diff(sorted_labels) != 0).sum())
    return 1 - max(0, changes - (classes - 1)) / len(labels)


def _hash_rows(x: Array, y: Array) -> Array:
    """Return a number per row that is the same for equal rows, and hardly for others."""
    parts = [part.reshape(len(part), -1) for part in (x, y)]
    draw = np.random.default_rng(0)
    found = np.zeros(len(x), np.uint64)
    for part in parts:
        keys = draw.integers(1, 2**63, part.shape[1], dtype=np.uint64) | np.uint64(1)
        for place, key in enumerate(keys):
            bits = (part[:, place].astype(np.float32) + np.float32(0)).view(np.uint32)
            mixed = (bits + np.uint64(0x9E3779B9)) * key
            found += mixed ^ (mixed >> np.uint64(29))
    return found
