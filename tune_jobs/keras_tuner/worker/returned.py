"""What ``HyperModel.fit`` and ``run_trial`` return, as epochs of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from trainables.fitting.plain import as_numbers
from tune_jobs.keras_tuner.errors import FatalTypeError, FatalValueError
from tune_jobs.keras_tuner.objective import Objective

Row = dict[str, float]

TAKEN = "a keras.callbacks.History, a number, a dict of metrics, or a list of these"


def is_history(value: object) -> bool:
    """Return whether a value is what ``model.fit`` returns."""
    return isinstance(getattr(value, "history", None), Mapping)


def as_executions(returned: object) -> list[object]:
    """Return what each execution has returned."""
    return list(returned) if isinstance(returned, list | tuple) else [returned]


def rows_of(returned: object, objective: Objective) -> list[Row]:
    """Return the epochs of one execution; a number or a dict is one.

    Raises:
        FatalTypeError: if it is something else.
        FatalValueError: if it has no value of the objective.
    """
    if is_history(returned):
        rows = _rows_of_history(returned.history)  # type: ignore[attr-defined]
    elif isinstance(returned, Mapping):
        rows = [as_numbers(_numbers_only(returned))]
    elif isinstance(returned, Real) or getattr(returned, "ndim", None) == 0:
        rows = [{objective.name: float(returned)}]  # type: ignore[arg-type]
    else:
        raise FatalTypeError(
            f"fit or run_trial returned a {type(returned).__name__}, but must return {TAKEN}"
        )
    if not any(objective.name in row for row in rows):
        known = ", ".join(rows[-1]) if rows else "nothing"
        raise FatalValueError(
            f"fit or run_trial returned no value of the objective {objective.name!r}; it has: "
            f"{known}"
        )
    return rows


def in_step(executions: Sequence[Sequence[Row]], objective: Objective) -> list[dict[str, Any]]:
    """Return the epochs of several executions, each with the mean of those that trained it.

    One that has ended counts in the mean with its best epoch, as it does in the score.
    """
    best = [
        min(rows, key=lambda row: objective.goal.loss(row.get(objective.name, float("nan"))))
        for rows in executions
    ]
    found = []
    for epoch in range(max(map(len, executions))):
        there = [rows[epoch] if epoch < len(rows) else None for rows in executions]
        counted = [row or last for row, last in zip(there, best, strict=True)]
        names = [name for name in counted[0] if all(name in row for row in counted)]
        means = {name: sum(row[name] for row in counted) / len(counted) for name in names}
        found.append({**means, "replicas": there} if len(executions) > 1 else dict(counted[0]))
    return found


def _rows_of_history(history: Mapping[str, Sequence[Any]]) -> list[Row]:
    epochs = max((len(values) for values in history.values()), default=0)
    return [
        as_numbers({name: values[epoch] for name, values in history.items() if epoch < len(values)})
        for epoch in range(epochs)
    ]


def _numbers_only(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in metrics.items() if value is not None}
