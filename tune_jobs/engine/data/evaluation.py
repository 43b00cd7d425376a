"""The evaluation of a configuration: its scorers, and one validation set or several folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tune_jobs.engine.data.apart import Apart
from tune_jobs.engine.data.arrangement import Times, takes_arrangement
from tune_jobs.engine.data.dataset import Replica, TrainingData
from tune_jobs.engine.data.scoring.outputs import meaning_of
from tune_jobs.engine.data.scoring.scorers import (
    Scoring,
    check_scorable,
    check_scoring,
    make_scorers,
    name_of,
)
from tune_jobs.engine.data.splitting import Array, Fold, count_rarest, cut_folds
from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.seeds import derive

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Each trial fits folds x repeats replicas of its config, in step, and reports their mean.

    With ``folds`` the training and the validation set together are cut again for each repeat, each
    class spread in proportion; every row is scored once per repeat. Every config gets the same
    folds and the same seeds, so that comparisons are paired. The preprocessing is still the one
    that was learnt from the training set.

    Attributes:
        folds: the number of folds; 1 means the validation set alone.
        repeats: the number of repeats, each with other seeds and other folds.
        scoring: names of scikit-learn's scorers, such as ``average_precision``, or callables
            ``scorer(estimator, X, y)``, where X has the numbers of the rows. Each epoch reports
            them as ``val_<name>``, greater being better, so that one can be the job's metric.
            They ignore the weights of rows. A scorer with the name of a metric of Keras replaces
            it.
        groups: a column of the table; rows with the same value are never in two of training,
            validation and test set, nor in two folds.
        order: a column of numbers, dates or timestamps; the test set is the latest rows, the
            validation set the latest before them, and folds are expanding windows over the rest.
            Rows of equal time stay together, so a cut moves to the nearest change of time. Each
            repeat has the same folds, and other seeds; the first window is never scored.

    The column of groups or order is not a feature; to learn from it too, copy it under another
    name.

    Raises:
        JobError: for less than one or more than 1,000 folds or repeats, an unknown scorer, two
            scorers of one name, or groups together with an order.
    """

    folds: int = 1
    repeats: int = 1
    scoring: Scoring | None = None
    groups: str | None = None
    order: str | None = None

    def __post_init__(self) -> None:
        for name in ("folds", "repeats"):
            check_whole_number(f"Evaluation: {name}", getattr(self, name), 1, most=1000)
        for name in ("groups", "order"):
            column = getattr(self, name)
            if column is not None and (not isinstance(column, str) or not column):
                raise JobError(
                    f"Evaluation: {name} is {column!r}, but must be the name of a column"
                )
        if self.groups is not None and self.order is not None:
            raise JobError(
                f"Evaluation: groups is {self.groups!r} and order is {self.order!r}, "
                "but only one of them can be given"
            )
        check_scoring(self.scoring)

    def __repr__(self) -> str:
        """Return the call that makes it; scorers are shown by their names."""
        shown: dict[str, Any] = {"folds": self.folds, "repeats": self.repeats}
        shown["scoring"] = [name_of(each) for each in check_scoring(self.scoring)]
        shown |= {"groups": self.groups, "order": self.order}
        shown = {name: value for name, value in shown.items() if value}
        return f"Evaluation({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the scorers report; of each, greater is better."""
        return tuple(f"val_{name_of(each)}" for each in check_scoring(self.scoring))

    def arrange(self, recipe: Callable[[int], Dataset]) -> Callable[[int], Dataset]:
        """Return the recipe of data, arranged by groups or order if the evaluation has any.

        Raises:
            JobError: for data without columns.
        """
        if self.groups is None and self.order is None:
            return recipe
        if not takes_arrangement(recipe):
            asked = f"order is {self.order!r}" if self.order else f"groups is {self.groups!r}"
            shown = getattr(recipe, "__name__", None) or repr(recipe)
            raise JobError(f"Evaluation: {asked}, but {shown} has no columns; write table(...)")
        arranged: Callable[[int], Dataset] = replace(
            cast("Any", recipe), groups=self.groups, order=self.order
        )
        return arranged

    def apply(self, dataset: Dataset, seed: int) -> Dataset:
        """Return the dataset with its scorers and replicas; the test set stays as it is.

        Raises:
            JobError: if a fold would be empty or lack a class, or a scorer cannot score it.
        """
        if dataset.arrangement is None and (self.groups or self.order):
            raise JobError(
                f"{self!r}: the data were made without it; call Evaluation.arrange first"
            )
        found = self._with_replicas(self._with_scorers(dataset), seed)
        _check_scorers(found.training, found.training.replicas)
        return found

    def _with_scorers(self, dataset: Dataset) -> Dataset:
        truth = dataset.training.y_train
        scorers = make_scorers(
            check_scoring(self.scoring),
            meaning_of(dataset.signature, truth),
            dataset.preprocessing.get("target") or {},
        )
        return replace(dataset, training=replace(dataset.training, scorers=scorers))

    def _with_replicas(self, dataset: Dataset, seed: int) -> Dataset:
        if self.folds == 1:
            seeds = [derive(seed, f"repeat {repeat}") for repeat in range(self.repeats)]
            replicas = tuple(Replica(each) for each in seeds)
            return replace(dataset, training=replace(dataset.training, replicas=replicas))
        if isinstance(dataset.arrangement, Apart):
            raise JobError(
                f"{self!r} does not apply: the validation rows are given; leave out one of the two"
            )
        whole = join_parts(dataset)
        repeats = [draw_replicas(whole, self.folds, seed, each) for each in range(self.repeats)]
        return _with_replicas(whole, tuple(chain(*repeats)))


def fresh_replicas(
    dataset: Dataset, evaluation: Evaluation | None, seed: int, rounds: int
) -> tuple[Dataset, list[tuple[Replica, ...]]]:
    """Draw replicas that no search has seen: new folds and new seeds for each round.

    There are as many folds as the evaluation has, or as make a held-out part as large as the
    validation set.

    Returns:
        The dataset with training and validation rows together, and the replicas of each round.

    Raises:
        JobError: if a fold would be empty or lack a class, or a scorer cannot score it.
    """
    whole = join_parts(dataset)
    seeds = [derive(seed, f"round {number}") for number in range(rounds)]
    if evaluation is not None and evaluation.folds > 1:
        found = _draw_rounds(whole, evaluation.folds, seeds)
    else:
        found = _draw_most(whole, _count_folds(whole, len(dataset.training.y_validation)), seeds)
    return _with_replicas(whole, found[0]), found


def held_out_share(replicas: Sequence[Replica]) -> float:
    """Return the held-out rows per training row, n2/n1 in Nadeau and Bengio (2003), on average."""
    return float(np.mean([len(each.validation) / len(each.train) for each in replicas]))  # type: ignore[arg-type]


def join_parts(dataset: Dataset) -> Dataset:
    """Return the dataset with the rows of training and validation set in each of the two."""
    parts = dataset.training
    if parts.replicas and parts.replicas[0].train is not None:
        return dataset
    x = np.concatenate([parts.x_train, parts.x_validation])
    y = np.concatenate([parts.y_train, parts.y_validation])
    joined = replace(parts, x_train=x, y_train=y, x_validation=x, y_validation=y, replicas=())
    return replace(dataset, training=joined)


def draw_replicas(whole: Dataset, folds: int, seed: int, repeat: int) -> tuple[Replica, ...]:
    """Draw the replicas of one repeat, one per fold, over the rows of a joined dataset."""
    return tuple(
        Replica(derive(seed, f"repeat {repeat}, fold {fold}"), train, held)
        for fold, (train, held) in enumerate(_cut(whole, folds, derive(seed, f"folds {repeat}")))
    )


def _check_scorers(training: TrainingData, replicas: Sequence[Replica]) -> None:
    """Try each scorer on the validation rows of each replica.

    Raises:
        JobError: naming the scorer, the fold and the reason.
    """
    tried: list[Array | None] = []
    for replica in replicas or (Replica(0),):
        if any(replica.validation is each for each in tried):
            continue
        tried.append(replica.validation)
        whole = replica.validation is None
        truth = training.y_validation if whole else training.y_validation[replica.validation]
        for scorer in training.scorers.values():
            check_scorable(scorer, truth, "the validation set" if whole else f"fold {len(tried)}")


def _cut(whole: Dataset, folds: int, seed: int) -> Sequence[Fold]:
    classes = _classes(whole)
    if whole.arrangement is not None:
        return whole.arrangement.fold(folds, seed, classes)
    return cut_folds(len(whole.training.y_train), folds, seed, classes)


def _draw_rounds(whole: Dataset, folds: int, seeds: Sequence[int]) -> list[tuple[Replica, ...]]:
    found = [draw_replicas(whole, folds, each, 0) for each in seeds]
    _check_scorers(whole.training, [*chain(*found)])
    return found


def _draw_most(whole: Dataset, folds: int, seeds: Sequence[int]) -> list[tuple[Replica, ...]]:
    """Draw replicas on as many folds as wanted, or on fewer if classes or scorers allow no more."""
    while True:
        try:
            return _draw_rounds(whole, folds, seeds)
        except JobError:
            if folds == 2:
                raise
            folds -= 1


def _with_replicas(whole: Dataset, replicas: tuple[Replica, ...]) -> Dataset:
    """Return the dataset with these replicas, and the first one's training rows as its size."""
    rows = len(replicas[0].train)  # type: ignore[arg-type]
    training = replace(whole.training, replicas=replicas)
    return replace(whole, training=training, signature=whole.signature | {"rows": rows})


def _count_folds(whole: Dataset, held: int) -> int:
    """Return how many folds hold out about that many rows each: at least 2, at most what fits."""
    classes, wanted = _classes(whole), round(len(whole.training.y_train) / held)
    if isinstance(whole.arrangement, Times):
        wanted -= 1  # the first window is not held out
    if whole.arrangement is not None:
        wanted = min(wanted, whole.arrangement.most_folds)
    elif classes is not None:
        wanted = min(wanted, count_rarest(classes))
    return max(2, wanted)


def _classes(whole: Dataset) -> Array | None:
    """Return the classes of the rows of a joined dataset; None for numbers and for labels."""
    truth = whole.training.y_train
    meaning = meaning_of(whole.signature, truth)
    return None if meaning.is_number or meaning.has_labels else truth
