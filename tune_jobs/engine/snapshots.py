"""Ray's own state of an experiment: saved now and then, not at every checkpoint of a trial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune.execution.experiment_state import _ExperimentCheckpointManager as Manager


@contextmanager
def seldom_saved() -> Iterator[None]:
    """Let Tune save its state every 10 seconds or more, and at the end, during a block.

    Where it keeps one checkpoint of a trial, it saves the state of all trials after each, and waits
    until that is uploaded, lest its state name one that is gone. Nothing goes on from that state
    here, but from the history.
    """
    before = Manager.on_trial_checkpoint

    def ignore(_manager: Any, _trial: Any) -> None:
        return

    Manager.on_trial_checkpoint = ignore
    try:
        yield
    finally:
        Manager.on_trial_checkpoint = before
