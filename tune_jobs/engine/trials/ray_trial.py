"""Ray's trial objects, made for a config that is known."""

from __future__ import annotations

from ray.tune import Checkpoint
from ray.tune.experiment import Experiment, Trial
from ray.tune.result import TRAINING_ITERATION

from tune_jobs.engine.names import trial_id
from tune_jobs.engine.ray_internals import build_trial, restore_from
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.storage.folder import Folder


def make_trial(
    experiment: Experiment,
    folder: Folder,
    number: int,
    config: Config,
    checkpoint: tuple[int, str] | None = None,
) -> Trial:
    """Build a trial as Tune does, for a config that is known.

    Args:
        experiment: what Tune gave its search algorithm.
        folder: the folder that the checkpoint lies in.
        number: the trial's number.
        config: the trial's config.
        checkpoint: epoch and path, inside the folder, of the state to continue from.
    """
    trial = build_trial({**experiment.spec, "config": config}, trial_id(number))
    if checkpoint is not None:
        epoch, path = checkpoint
        state = Checkpoint(folder.child(path).path, folder.filesystem)
        restore_from(trial, state, {TRAINING_ITERATION: epoch})
    return trial
