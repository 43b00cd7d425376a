"""Split and fold rows that belong together, or that follow one another in time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.arrays import coded, count_nulls, numbers, without_dictionary
from tune_jobs.engine.data.column_kinds import kind_of
from tune_jobs.engine.data.sources import find_column
from tune_jobs.engine.data.splitting import Array, Fold, Split
from tune_jobs.engine.errors import JobError

SETS, PARTS = "training, validation and test set", 3
PIECES = 20  # of about the same number of rows, from which a part of whole groups is assembled
MANY_GROUPS = 5000  # with more, groups are dealt out by their class: one by one takes seconds


@dataclass(frozen=True)
class Groups:
    """Rows in groups: those of one group are never in two parts, of the split or of the folds.

    Attributes:
        column: the column that says which group a row belongs to.
        codes: the group of each row.
    """

    column: str
    codes: Array

    @property
    def most_folds(self) -> int:
        """The number of groups: a fold holds out at least one."""
        return len(np.unique(self.codes))

    def take(self, rows: Array) -> Groups:
        """Return the groups of some rows."""
        return replace(self, codes=self.codes[rows])

    def split(
        self, seed: int, *, validation: float, test: float, classes: Array | None = None
    ) -> Split:
        """Draw parts of whole groups, near the fractions and with classes spread evenly.

        Raises:
            JobError: if there are fewer groups than parts, or a part would lack classes.
        """
        rows = len(self.codes)
        _check_enough(SETS, PARTS, "groups", self.column, self.most_folds)
        kept, drawn = self._take_off(np.arange(rows), test * rows, seed, classes, parts_left=2)
        train, held = self._take_off(kept, validation * rows, seed, classes, parts_left=1)
        split = Split(np.sort(train), np.sort(held), drawn)
        _check_split(split, classes, self.column)
        return split

    def fold(self, folds: int, seed: int, classes: Array | None = None) -> list[Fold]:
        """Cut folds of whole groups, of about the same size and with classes spread evenly.

        Raises:
            JobError: if there are fewer groups than folds, or a fold would lack classes.
        """
        wanted = f"Evaluation: {folds} folds"
        _check_enough(wanted, folds, "groups", self.column, self.most_folds)
        found = self._deal_out(folds, seed, classes)
        _check_folds(found, classes, self.column)
        return found

    def _take_off(
        self, kept: Array, wanted: float, seed: int, classes: Array | None, *, parts_left: int
    ) -> Fold:
        """Take pieces of whole groups, each if it brings the part nearer to its size."""
        inner = self.take(kept)
        some = None if classes is None else classes[kept]
        dealt = inner._deal_out(min(PIECES, inner.most_folds), seed, some)
        pieces = [held for _, held in dealt if len(held)]
        chosen: list[Array] = []
        for piece in pieces[: len(pieces) - parts_left + 1]:
            total = sum(map(len, chosen))
            if abs(total + len(piece) - wanted) < abs(total - wanted):
                chosen.append(piece)
        drawn = np.concatenate(chosen or [min(pieces, key=len)])
        return np.delete(kept, drawn), kept[drawn]

    def _deal_out(self, folds: int, seed: int, classes: Array | None) -> list[Fold]:
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        target = np.zeros(len(self.codes), int) if classes is None else classes.astype(int)
        groups, members = np.unique(self.codes, return_inverse=True)
        kind = StratifiedGroupKFold if len(groups) <= MANY_GROUPS else StratifiedKFold
        cutter = kind(n_splits=folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a class has fewer rows than there are folds
            try:
                if kind is StratifiedGroupKFold:
                    return list(cutter.split(target, target, members))
                labels = _label_groups(members, target)
                found = [held for _, held in cutter.split(labels, labels)]
            except ValueError:
                raise JobError(f"{folds} folds need a class with as many rows") from None
        return [_divide(np.isin(members, held)) for held in found]


@dataclass(frozen=True)
class Times:
    """Rows in time order: held-out rows are later than training rows, equal times stay together.

    A cut that would separate rows of equal time moves to the nearest change of time.

    Attributes:
        column: the column that says the time of a row.
        ranks: the place of each row's time among all times.
    """

    column: str
    ranks: Array

    @property
    def most_folds(self) -> int:
        """The number of times but one: a fold holds out at least one, the first trains on one."""
        return len(np.unique(self.ranks)) - 1

    def take(self, rows: Array) -> Times:
        """Return the times of some rows."""
        return replace(self, ranks=self.ranks[rows])

    def split(
        self,
        seed: int,  # noqa: ARG002 - nothing is drawn
        *,
        validation: float,
        test: float,
        classes: Array | None = None,
    ) -> Split:
        """Make the latest rows the test set and the latest before them the validation set.

        Raises:
            JobError: if there are fewer times than parts, or a part would lack classes.
        """
        rows = len(self.ranks)
        _check_enough(SETS, PARTS, "times", self.column, self.most_folds + 1)
        order, cuts = self._cut([rows * (1 - test - validation), rows * (1 - test)])
        train, held, latest = np.split(order, cuts)
        split = Split(np.sort(train), np.sort(held), latest)
        _check_split(split, classes, self.column)
        return split

    def fold(
        self,
        folds: int,
        seed: int,  # noqa: ARG002 - nothing is drawn
        classes: Array | None = None,
    ) -> list[Fold]:
        """Cut expanding windows: each fold trains on all rows before those that it holds out.

        Raises:
            JobError: if there are too few times, or a fold would lack classes.
        """
        from sklearn.model_selection import TimeSeriesSplit

        wanted = f"Evaluation: {folds} folds in time order"
        _check_enough(wanted, folds + 1, "times", self.column, self.most_folds + 1)
        windows = TimeSeriesSplit(n_splits=folds).split(np.zeros(len(self.ranks)))
        order, cuts = self._cut([len(train) for train, _ in windows])
        ends = [*cuts[1:], len(order)]
        found = [
            (np.sort(order[:cut]), np.sort(order[cut:end]))
            for cut, end in zip(cuts, ends, strict=True)
        ]
        _check_folds(found, classes, self.column)
        return found

    def _cut(self, wanted: Sequence[float]) -> tuple[Array, list[int]]:
        """Return the rows in their order, and the changes of time nearest to the wanted places."""
        order = np.argsort(self.ranks, kind="stable")
        changes = np.flatnonzero(np.diff(self.ranks[order])) + 1
        cuts: list[int] = []
        first = 0
        for place, target in enumerate(wanted, start=1):
            free = changes[first : len(changes) - len(wanted) + place]
            first += int(np.argmin(np.abs(free - target))) + 1
            cuts.append(int(changes[first - 1]))
        return order, cuts


def read_arrangement(
    table: pa.Table, groups: str | None, order: str | None
) -> Groups | Times | None:
    """Read the arrangement from a column of a table; None if no column is named.

    Raises:
        JobError: for a column that does not exist, has missing values or a type that names neither
            groups nor times.
    """
    if groups is not None:
        column = _find(table, groups, "the groups")
        if kind_of(column.type) is None and not pa.types.is_temporal(column.type):
            raise JobError(
                f"column {groups!r} (the groups) has the type {column.type}, "
                "but must be texts, numbers, booleans or dates"
            )
        return Groups(groups, coded(column).codes)
    if order is not None:
        column = _find(table, order, "the order")
        return Times(order, np.unique(_as_numbers(order, column), return_inverse=True)[1])
    return None


def replace_column(table: pa.Table, arrangement: Groups | Times | None) -> pa.Table:
    """Return the table with the arrangement in place of its column, whatever its type was."""
    if arrangement is None:
        return table
    values = arrangement.codes if isinstance(arrangement, Groups) else arrangement.ranks
    place = table.column_names.index(arrangement.column)
    return table.set_column(place, arrangement.column, pa.array(values.astype(np.int64)))


def _find(table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    column = without_dictionary(table[find_column(name, table.column_names, what)])
    kind = kind_of(column.type)
    if missing := kind.count_missing(column) if kind else count_nulls(column):
        raise JobError(
            f"column {name!r} ({what}) has no value in {missing:,} of {len(column):,} rows; "
            "drop them or fill them in"
        )
    return column


def _as_numbers(name: str, column: pa.ChunkedArray) -> Array:
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        times: Array = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
        return times
    found = kind_of(kind)
    if found is None or not found.is_quantity:
        raise JobError(
            f"column {name!r} (the order) has the type {kind}, "
            "but must be numbers, dates or timestamps"
        )
    return column.to_numpy() if pa.types.is_integer(kind) else numbers(name, column)


def _label_groups(members: Array, classes: Array) -> Array:
    """Return the class that each group has most of, compared with all rows."""
    counts = np.zeros((members.max() + 1, classes.max() + 1))
    np.add.at(counts, (members, classes), 1)
    labels: Array = (counts / counts.sum(axis=0).clip(1)).argmax(axis=1)
    return labels


def _divide(held: Array) -> Fold:
    return np.flatnonzero(~held), np.flatnonzero(held)


def _check_enough(what: str, needed: int, noun: str, column: str, found: int) -> None:
    if found < needed:
        raise JobError(f"{what} need {needed} {noun}, but column {column!r} has only {found}")


def _check_split(split: Split, classes: Array | None, column: str) -> None:
    if classes is None:
        return
    _check_training(split.train, classes, "the training set", column)
    _check_held_out(split.validation, classes, "the validation set", column)
    _check_held_out(split.test, classes, "the test set", column)


def _check_folds(folds: Sequence[Fold], classes: Array | None, column: str) -> None:
    for number, (train, held) in enumerate(folds, start=1):
        if not len(held):
            raise JobError(f"fold {number} of {len(folds)} would be empty: see column {column!r}")
        if classes is not None:
            where = f"of fold {number} of {len(folds)}"
            _check_training(train, classes, f"the training rows {where}", column)
            _check_held_out(held, classes, f"the validation rows {where}", column)


def _check_training(rows: Array, classes: Array, what: str, column: str) -> None:
    every = len(np.unique(classes))
    if lacking := every - len(np.unique(classes[rows])):
        raise JobError(
            f"{what} would lack {lacking} of the {every} classes, because of column {column!r}; "
            "take fewer folds, or other fractions"
        )


def _check_held_out(rows: Array, classes: Array, what: str, column: str) -> None:
    if len(np.unique(classes[rows])) == 1:
        raise JobError(
            f"{what} would all be of one class, because of column {column!r}; "
            "take fewer folds, or other fractions"
        )


def takes_arrangement(recipe: object) -> bool:
    """Return whether a recipe of data has columns that can arrange its rows."""
    known = getattr(type(recipe), "__dataclass_fields__", {})
    return {"groups", "order"} <= known.keys()
