"""Choose the threshold of the classes that the winner predicts, by rows that it is not trained on.

After finals the winner is trained once more on a few of their folds, and predicts what they hold
out; without finals, its checkpoint predicts the validation set. A model is never lost for want of a
threshold: what goes wrong here leaves it at 0.5, and is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tune_jobs.engine.data.scoring.outputs import HALF, meaning_of
from tune_jobs.engine.data.scoring.test_scores import score
from tune_jobs.engine.data.scoring.thresholds import Choice, HeldOut, Threshold
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.files import MODEL
from tune_jobs.engine.experiments.model_file import add_threshold
from tune_jobs.engine.finals.making import Made, TestSet

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Dataset, Replica
    from tune_jobs.engine.experiments.experiment import Experiment

MOST_FOLDS = 5  # that the winner is trained on for its threshold


def choice_of(dataset: Dataset, metric: str) -> Choice | None:
    """Return how a threshold is chosen; None if the metric does not look at predicted classes."""
    training = dataset.training
    choice = Choice(metric, meaning_of(dataset.signature, training.y_train), training.scorers)
    return choice if choice.depends_on_it(training.y_train) else None


def choose_threshold(
    choice: Choice | None,
    dataset: Dataset,
    replicas: Sequence[Replica],
    predict: Callable[[Sequence[Replica]], Sequence[Array | str | None]],
) -> Threshold | None:
    """Choose the threshold by what replicas hold out; it stays at 0.5 if that cannot be done.

    Args:
        choice: how it is chosen, None if it is not.
        dataset: the rows that the replicas are cut from.
        replicas: the first few are used; one without rows holds out the validation set.
        predict: returns the outputs for the rows that each replica holds out, or why it has none.
    """
    if choice is None:
        return None
    used = replicas[:MOST_FOLDS]
    try:
        folds = [_held_out(dataset, *each) for each in zip(used, predict(used), strict=True)]
        return choice.choose(folds, dataset.preprocessing["target"].get("classes") or ())
    except JobError as error:
        said = f"Threshold 0.5, as none could be chosen: {error}."
        return Threshold(value=HALF, sentence=said, measure=choice.metric)


def _held_out(dataset: Dataset, replica: Replica, outputs: Array | str | None) -> HeldOut:
    """Pair outputs with the targets of the rows that a replica holds out.

    Raises:
        JobError: if there is only a reason why there are none.
    """
    if outputs is None or isinstance(outputs, str):
        raise JobError(outputs or "the model predicted nothing")
    targets = dataset.training.y_validation
    return HeldOut(targets if replica.validation is None else targets[replica.validation], outputs)


def read_at(
    threshold: Threshold | None, experiment: Experiment, made: Made, test: TestSet
) -> tuple[Made, TestSet]:
    """Write a threshold into the model file; return the model and the test set as read at it."""
    if threshold is None or threshold.value == HALF:
        return made, test
    made = replace(made, content=add_threshold(made.content, threshold.value))
    experiment.export(MODEL, made.content)
    test = replace(test, meaning=replace(test.meaning, threshold=threshold.value))
    if made.outputs is not None:
        scores = score(test.meaning, test.truth, made.outputs, test.scorers)
        made = replace(made, scores=scores)
    return made, test
