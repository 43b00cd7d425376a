"""``(X, y)`` as a recipe: rows and columns are a table, rows of more sides stay arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.apart import ORIGINS, arrangement_of, mark_origins
from tune_jobs.engine.data.dataset import Dataset, TrainingData, digest
from tune_jobs.engine.data.given.pairs import RowSet, read_pair
from tune_jobs.engine.data.inspection.suspicions import find_doubled, find_small_sets
from tune_jobs.engine.data.signature import count_classes, name_sets, signature_of
from tune_jobs.engine.data.sources import read_table
from tune_jobs.engine.data.splitting import OWN, Array, split_rows
from tune_jobs.engine.data.target import read_targets
from tune_jobs.engine.errors import JobError

if TYPE_CHECKING:
    from tune_jobs.engine.data.table import Table

FRACTION = 0.2  # of the rows in a set that is not given


@dataclass(frozen=True, repr=False, eq=False)
class GivenArrays:
    """The recipe of a dataset of arrays: called with a seed, it splits them.

    Attributes:
        x: the features, shape (rows, ...), of at least three sides.
        y: the targets, by name.
        origins: which set each row was given for.
    """

    x: Array
    y: pa.Table
    origins: Array

    def __repr__(self) -> str:
        """Return the shapes."""
        return f"(X, y): X {self.x.shape} {self.x.dtype}, y {self.y.shape}"

    def __call__(self, seed: int) -> Dataset:
        """Split the arrays and make their dataset."""
        names = self.y.column_names
        target = read_targets(self.y, names[0] if len(names) == 1 else names, None)
        split = split_rows(
            len(self.x),
            seed,
            validation=FRACTION,
            test=FRACTION,
            classes=target.strata,
            origins=self.origins,
        )
        fitted = target.fit(split.train)
        y, x = target.encode(fitted), self.x
        training = TrainingData(
            x[split.train], y[split.train], x[split.validation], y[split.validation]
        )
        sets = name_sets(training, x[split.test], y[split.test])
        classes = count_classes(target)
        sizes = {name: len(rows) for name, (rows, _) in sets.items()}
        return Dataset(
            training,
            *sets["test"],
            raw_test=x[split.test],
            signature=signature_of(target, fitted, training.x_train) | _scale_of(x),
            preprocessing={"columns": None, "target": fitted},
            fingerprint=mark_origins(digest([x, *_contents(self.y)]), self.origins),
            warnings=(*target.warnings, *find_doubled(sets), *find_small_sets(sizes, classes)),
            classes=classes,
            arrangement=arrangement_of(None, self.origins, split),
        )


def recipe_of(
    pairs: Mapping[str, tuple[Any, Any]], target: str | Sequence[str] | None = None
) -> Table | GivenArrays:
    """Return the recipe of a table, or of arrays of more than two sides.

    Args:
        pairs: ``(X, y)`` by the name of the set, the training set first.
        target: what ``y`` is called, or its columns; None for its own name, or ``y``.

    Raises:
        JobError: if X and y are no rows that go together.
    """
    sets = {name: read_pair(name, pair, target) for name, pair in pairs.items()}
    first = sets["training"]
    for name, each in sets.items():
        if each.shape != first.shape:
            raise JobError(
                f"a row of X has the shape {first.shape}, but of the {name} set {each.shape}"
            )
    return _as_table(sets) if len(first.shape) == 1 else _as_arrays(sets)


def _as_table(sets: Mapping[str, RowSet]) -> Table:
    from tune_jobs.engine.data.table import Table

    first = sets["training"]
    others = {name: each.as_frame(first) for name, each in sets.items() if name in ORIGINS}
    names = tuple(first.y.columns)
    return Table(
        first.as_frame(first),
        names[0] if len(names) == 1 else names,
        from_array=first.is_array,
        **others,
    )


def _as_arrays(sets: Mapping[str, RowSet]) -> GivenArrays:
    import pandas as pd

    names = sets["training"].y.columns
    targets = [each.y.set_axis(names, axis=1) for each in sets.values()]
    origins = [np.full(len(each.y), ORIGINS.get(name, OWN)) for name, each in sets.items()]
    return GivenArrays(
        x=np.concatenate([each.x for each in sets.values()]),
        y=read_table(pd.concat(targets, ignore_index=True)),
        origins=np.concatenate(origins),
    )


def _scale_of(x: Array) -> dict[str, float]:
    """Return the largest value of images of bytes, by which a model divides them."""
    return {"maximum": float(x.max()) or 1.0} if x.dtype == np.uint8 else {}


def _contents(table: pa.Table) -> list[object]:
    return [part for name in table.column_names for part in (name, *table[name].to_pylist())]
