"""Ray's trial objects, made for a config that is known."""

from __future__ import annotations

from ray.tune import Checkpoint
from ray.tune.experiment import Experiment, Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.result import TRAINING_ITERATION

from tune_jobs.engine.names import trial_id
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.storage.folder import Folder


def make_trial(
    experiment: Experiment,
    folder: Folder,
    number: int,
    config: Config,
    checkpoint: tuple[int, str] | None = None,
) -> Trial:
    """A trial as Tune makes them, of a config that is known.

    Args:
        experiment: what Tune told its search algorithm.
        folder: what the checkpoint lies in.
        number: the trial's.
        config: the trial's.
        checkpoint: epoch and path, inside the folder, of the state to go on from.
    """
    name = trial_id(number)
    trial = _create_trial_from_spec(
        {**experiment.spec, "config": config},
        _make_parser(),
        evaluated_params={},
        experiment_tag=name,
        trial_id=name,
    )
    if checkpoint is not None:
        from ray.train._internal.session import _TrainingResult

        epoch, path = checkpoint
        # Tune has this for `tune.run(restore=...)` only, and without the epoch.
        trial._restore_checkpoint_result = _TrainingResult(
            checkpoint=Checkpoint(folder.child(path).path, folder.filesystem),
            metrics={TRAINING_ITERATION: epoch},
        )
    return trial
