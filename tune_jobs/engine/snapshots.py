"""Ray's own state of an experiment: saved now and then, not at every checkpoint of a trial."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ray.tune.execution.experiment_state import _ExperimentCheckpointManager as Manager

from tune_jobs.engine.replacing import replaced


def seldom_saved() -> AbstractContextManager[None]:
    """Let Tune save its state every 10 seconds or more, and at the end, during a block.

    Where it keeps one checkpoint of a trial, it saves the state of all trials after each, and waits
    until that is uploaded, lest its state name one that is gone. Nothing goes on from that state
    here, but from the history.
    """
    return replaced(Manager, on_trial_checkpoint=lambda *_: None)
