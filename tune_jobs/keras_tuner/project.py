"""The folder of a project: an experiment of the engine, or what KerasTuner has left there."""

from __future__ import annotations

import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.job.profile import Profile, locate
from tune_jobs.engine.names import check_experiment_name
from tune_jobs.engine.resume.warm_start import read_results

if TYPE_CHECKING:
    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.storage.folder import Folder
    from tune_jobs.keras_tuner.trials import Trial

logger = logging.getLogger(__name__)

# What KerasTuner writes into a project, of which the second is the state of one of its tuners.
KERAS_TUNER = ("oracle.json", "tuner0.json")


def locate_project(
    directory: str | os.PathLike[str] | None, name: str
) -> tuple[str | os.PathLike[str] | None, str]:
    """Return the directory of a project, and its name as the engine writes names.

    KerasTuner's may be any path: folders before the last part belong to the directory, and what an
    experiment's name must not have becomes a hyphen.
    """
    above, _, last = str(name).rstrip("/").rpartition("/")
    if above:
        directory = above if directory is None else f"{os.fspath(directory)}/{above}"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._")
    if plain and plain != last:
        logger.warning(f"the folder of project {last!r} is called {plain!r}")
    return directory, plain or last


@dataclass(frozen=True)
class Project:
    """A project by its name.

    Attributes:
        profile: whose storage it lies in.
        name: of its folder.

    Raises:
        JobError: if the name is no plain name.
    """

    profile: Profile
    name: str

    def __post_init__(self) -> None:
        check_experiment_name(self.name)

    @property
    def folder(self) -> Folder:
        """The folder."""
        return locate(self.profile, self.name)

    @property
    def experiment(self) -> Experiment:
        """The experiment, read anew."""
        return Experiment(self.folder)

    @property
    def is_of_keras_tuner(self) -> bool:
        """True if KerasTuner has searched here."""
        return any(self.folder.exists(name) for name in KERAS_TUNER)

    def list_sources(self, job: Job) -> list[str]:
        """Return the project as a source of results if KerasTuner has searched here, else none.

        Raises:
            JobError: if its trials cannot be read, or have another objective.
        """
        path = self.folder.local_path
        if path is None or not any(Path(path).glob("trial_*/trial.json")):
            return []
        found, left_out = read_results(str(path), job, self.profile.storage, {})
        if not found:
            logger.warning(
                f"no result of KerasTuner in {path} fits the search space"
                + (f": {left_out[0]}" if left_out else "")
            )
        return [str(path)] if found else []

    def delete(self) -> None:
        """Delete the project.

        Raises:
            JobError: if the folder is no project, or lies where it cannot be deleted.
        """
        folder = self.folder
        if not folder.names():
            return
        if not (self.experiment.exists or self.is_of_keras_tuner):
            raise JobError(
                f"overwrite: {folder.uri} is the folder of no project, and is not deleted"
            )
        if folder.local_path is None:
            raise JobError(f"overwrite: {folder.uri} is on no disk of this machine; delete it")
        shutil.rmtree(folder.local_path)

    def load_weights(self, model: Any, trial: Trial) -> Any:
        """Load the weights of a trial's best epoch into its model.

        Raises:
            JobError: if they were not kept, or the model does not know its inputs.
        """
        from ray.tune import Checkpoint

        from trainables.fitting.checkpoints import build_as_saved, load_weights
        from trainables.fitting.models import build_optimizer

        experiment = self.experiment
        path = experiment.checkpoint_of(int(trial.trial_id))
        place = Checkpoint(f"{experiment.folder.path}/{path}", experiment.folder.filesystem)
        with place.as_directory() as folder:
            build_as_saved(model, folder)
            if not model.built:
                raise JobError(
                    "the model has no weights before it knows the shape of its inputs; begin it "
                    "with keras.Input(shape)"
                )
            load_weights(model, folder)
        build_optimizer(model)  # else Keras warns whoever reads a file that it was saved to
        return model
