"""Fit a finalist in a worker, which imports no more of the engine than this needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.data.own_data import Stored, unpack_sets
from tune_jobs.engine.finals.rounds import select, without_patience
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.trials.fitting import fit_trial

if TYPE_CHECKING:
    from tune_jobs.engine.data.dataset import Replica
    from tune_jobs.engine.trials.shipping import Shipped

# The key of a config that names the batch of replicas to be trained.
BATCH = "finalist_batch"


def fit_finalist(
    config: Config,
    *,
    train: Shipped,
    fixed: Config,
    batches: Sequence[tuple[Replica, ...]],
    data: Stored | None,
    own_data: Stored | None,
) -> None:
    """Train one batch of replicas of a finalist, to the full budget."""
    config = dict(without_patience(config, fixed["max_epochs"]))  # the whole curve is wanted
    number = config.pop(BATCH)
    batch = batches[number]
    found: Any = own_data if data is None else unpack_sets(data)
    if data is not None and len(batch) > 1:
        found = replace(found, replicas=batch)
    else:
        fixed = {**fixed, "seed": batch[0].seed, BATCH: number}
        found = found if data is None else select(found, batch[0])
    fit_trial(config, train=train, fixed=fixed, data=found)
