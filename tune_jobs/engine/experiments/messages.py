"""What a trial's report says: its metrics, several epochs of them, and what its worker did."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from ray.tune.result import AUTO_RESULT_KEYS

NOT_METRICS = {*AUTO_RESULT_KEYS, "done", "trial_id", "experiment_tag", "epoch", "seconds"}

# What a message of ``trainables`` says of itself, beside its epochs.
WORK = ("path", "worker", "began", "spent")

# And may say: how many parameters the model has, and why it was not compiled although it should
# have been.
OPTIONAL_WORK = ("parameters", "fallback")


def work_of(result: dict[str, Any]) -> dict[str, Any]:
    """What a message of ``trainables`` says of its worker; nothing where it is not one."""
    work = result.get("work")
    return work if isinstance(work, dict) and work.keys() >= set(WORK) else {}


def reported_metrics(result: dict[str, Any]) -> dict[str, float]:
    """The numbers that the trainable reported, without those that Ray adds."""
    return {
        name: float(value)
        for name, value in result.items()
        if name not in NOT_METRICS
        and not name.startswith("config/")
        and isinstance(value, Real)
        and not isinstance(value, bool)
    }


def finite_values(result: dict[str, Any], metric: str) -> list[float]:
    """The finite values of a metric in a report, which may tell of several epochs."""
    rows = result.get("epochs")
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        rows = [result]
    found = [row.get(metric) for row in rows]
    return [float(v) for v in found if isinstance(v, Real) and math.isfinite(v)]
