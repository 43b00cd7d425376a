"""The supported trackers: the value that each takes, the packages it needs, and its callback."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ray.tune.logger import LoggerCallback

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.storage.folder import Folder

FORMS = {
    "tensorboard": "tensorboard or tensorboard=FOLDER",
    "mlflow": "mlflow=URI",
    "wandb": "wandb=PROJECT",
}
# What stands before the host: a token, or a user and a password.
CREDENTIALS = re.compile(r"(?<=://)(?:([^/@:\s]*):)?([^/\s]+)@")

# What MLflow needs to write to a database itself, beside a server.
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")

# How many hyperparameters MLflow takes in one request.
MOST_PARAMS = 100


@dataclass(eq=False)
class TrackedTrial:
    """The attributes of a trial that Ray's logger callbacks use."""

    trial_id: str
    config: Config
    local_path: str

    @property
    def evaluated_params(self) -> Config:
        """The hyperparameters, as TensorBoard's callback asks for them."""
        return self.config

    def init_local_path(self) -> None:
        """Make the folder of its files."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self.trial_id


@dataclass(frozen=True)
class Destination:
    """A function that builds a logger callback, and the folder for its files."""

    make: Callable[[], LoggerCallback]
    place: Path = Path()


def split_wanted(wanted: Sequence[str]) -> dict[str, str]:
    """Split what ``--track`` was given into names of trackers and their values.

    Raises:
        JobError: if a name is unknown or given twice, or a value is missing.
    """
    found: dict[str, str] = {}
    for each in wanted:
        name, _, value = each.partition("=")
        if name not in FORMS:
            hint, known = nearest(name, FORMS), ", ".join(FORMS.values())
            shown = without_secrets(name, name)
            raise JobError(f"--track: unknown tracker {shown!r}{hint} Known: {known}")
        if name in found:
            raise JobError(
                f"--track {name} is given twice; a run can be tracked in one place per tracker"
            )
        if not value and name != "tensorboard":
            raise JobError(f"--track {each!r} needs a value; write --track {FORMS[name]}")
        found[name] = value
    return found


def find_destination(name: str, value: str, folder: Folder) -> Destination:
    """Return where a tracker writes, after checking that it can.

    Raises:
        JobError: if something is missing.
    """
    finders = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
    return finders[name](value, folder)


def without_secrets(text: str, value: str) -> str:
    """Mask in a text the credentials in a tracker's value, wherever they occur."""
    for _, secret in CREDENTIALS.findall(value):
        text = text.replace(secret, "***").replace(unquote(secret), "***")
    return CREDENTIALS.sub("***@", text)


def _tensorboard(value: str, folder: Folder) -> Destination:
    place = Path(value).expanduser().absolute() / folder.name if value else folder.local_path
    if place is None:
        raise JobError(
            f"--track tensorboard writes local files, but the storage is {folder.uri}; "
            "write --track tensorboard=FOLDER"
        )

    def make() -> LoggerCallback:
        from ray.tune.logger import TBXLoggerCallback

        return TBXLoggerCallback()

    return Destination(make, place if value else place / "tensorboard")


def _mlflow(value: str, folder: Folder) -> Destination:
    scheme = re.split(r"[+:]", value)[0]
    if "://" not in value and value != "databricks":
        shown = value.rpartition("@")[2]  # what stands before may be a password
        raise JobError(
            f"--track mlflow: {shown!r} is not a URI; write mlflow=sqlite:///FILE or "
            "mlflow=http://HOST:PORT"
        )
    _require("mlflow", "mlflow", *(["sqlalchemy", "alembic"] if scheme in DATABASES else []))

    return Destination(lambda: MLflowRuns(value, folder.name))


def _wandb(value: str, folder: Folder) -> Destination:
    _require("wandb", "wandb")
    wandb = import_module("wandb")
    offline = wandb.setup().settings.mode in ("offline", "dryrun", "disabled")
    if not offline and not wandb.login(prompt=False, verify=False):
        raise JobError(
            "--track wandb needs an API key; set WANDB_API_KEY, call `wandb login`, or set "
            "WANDB_MODE=offline"
        )
    place = str(folder.local_path) if folder.local_path else None
    return Destination(lambda: WandbRuns(value, folder.name, place))


def _require(extra: str, *modules: str) -> None:
    """Refuse a tracker whose packages are not installed."""
    if lacking := [module for module in modules if find_spec(module) is None]:
        raise JobError(
            f"--track {extra} needs {' and '.join(lacking)}; pip install 'tune-jobs[{extra}]'"
        )


class MLflowRuns(LoggerCallback):  # type: ignore[misc]  # Ray's own has a request per value
    """A run of MLflow for each trial, with one request per epoch.

    The URI stays in this object: Ray's own callback puts it into the environment, password and all.

    Args:
        uri: of the server or the database.
        experiment: the name that the runs have in common.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        # MLflow prints a line per run with its place, and logs each table that it creates.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        mlflow = import_module("mlflow")
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._entities = mlflow.entities
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(experiment)
        known = found.experiment_id if found else self._client.create_experiment(experiment)
        self._experiment: str = known
        self._runs: dict[str, str] = {}

    def log_trial_start(self, trial: TrackedTrial) -> None:
        """Start a run."""
        run_id = self._client.create_run(self._experiment, run_name=trial.trial_id).info.run_id
        self._runs[trial.trial_id] = run_id
        params = [self._entities.Param(name, str(value)) for name, value in trial.config.items()]
        for place in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(run_id, params=params[place : place + MOST_PARAMS])

    def log_trial_result(
        self, iteration: int, trial: TrackedTrial, result: Mapping[str, float]
    ) -> None:
        """Add an epoch."""
        now = int(1000 * time.time())
        metrics = [
            self._entities.Metric(name, value, now, iteration) for name, value in result.items()
        ]
        self._client.log_batch(self._runs[trial.trial_id], metrics=metrics)

    def log_trial_end(self, trial: TrackedTrial, failed: bool = False) -> None:
        """End the run."""
        run_id = self._runs.pop(trial.trial_id)
        self._client.set_terminated(run_id, "FAILED" if failed else "FINISHED")


class WandbRuns(LoggerCallback):  # type: ignore[misc]  # Ray's own has two processes per trial
    """A run of Weights & Biases for each trial, all in this process.

    Args:
        project: theirs.
        group: what the runs of an experiment have in common.
        place: the folder that gets a folder ``wandb``; None for their default.
    """

    def __init__(self, project: str, group: str, place: str | None) -> None:
        self._project, self._group, self._place = project, group, place
        self._runs: dict[str, Any] = {}

    def log_trial_start(self, trial: TrackedTrial) -> None:
        """Start a run that records nothing of this machine, its files or the command line."""
        wandb = import_module("wandb")
        self._runs[trial.trial_id] = wandb.init(
            project=self._project,
            group=self._group,
            name=trial.trial_id,
            config=trial.config,
            dir=self._place,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )

    def log_trial_result(
        self, iteration: int, trial: TrackedTrial, result: Mapping[str, float]
    ) -> None:
        """Add an epoch."""
        self._runs[trial.trial_id].log(result, step=iteration)

    def log_trial_end(self, trial: TrackedTrial, failed: bool = False) -> None:
        """End the run, and wait until it is uploaded."""
        self._runs.pop(trial.trial_id).finish(exit_code=int(failed))
