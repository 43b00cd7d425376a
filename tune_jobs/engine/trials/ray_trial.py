"""Trials as Tune itself makes them, for configs that are known."""

from __future__ import annotations

from ray.tune import Checkpoint
from ray.tune.experiment import Experiment, Trial
from ray.tune.result import TRAINING_ITERATION

from tune_jobs.engine.names import trial_id
from tune_jobs.engine.ray_internals import restore_from
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.storage.folder import Folder


def make_trial(
    experiment: Experiment,
    folder: Folder,
    number: int,
    config: Config,
    checkpoint: tuple[int, str] | None = None,
    *,
    crashes: int = 0,
) -> Trial:
    """Build a trial as Tune does, for a config that is known.

    Args:
        experiment: what Tune gave its search algorithm.
        folder: the folder that the checkpoint lies in.
        number: the trial's number.
        config: the trial's config.
        checkpoint: epoch and path, inside the folder, of the state to continue from.
        crashes: how many attempts ended with a crash in earlier runs, and are not made again.
    """
    spec, name = experiment.spec, trial_id(number)
    trial = Trial(
        spec["run"],
        config=config,
        trial_id=name,
        storage=spec["storage"],
        experiment_tag=name,
        placement_group_factory=spec["resources_per_trial"],
        stopping_criterion=spec["stop"],
        checkpoint_config=spec["checkpoint_config"],
        export_formats=spec["export_formats"],
        restore_path=spec["restore"],
        trial_name_creator=spec["trial_name_creator"],
        trial_dirname_creator=spec["trial_dirname_creator"],
        log_to_file=spec["log_to_file"],
        max_failures=left_of(spec["max_failures"], crashes),
    )
    if checkpoint is not None:
        epoch, path = checkpoint
        state = Checkpoint(folder.child(path).path, folder.filesystem)
        restore_from(trial, state, {TRAINING_ITERATION: epoch})
    return trial


def left_of(max_failures: int, crashes: int) -> int:
    """Return how many failures of a trial are left after crashes; -1 is without end."""
    return max_failures if max_failures < 0 else max(0, max_failures - crashes)
