"""The trackers that are known: what each is given, what it needs, and its callback."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ray.tune.logger import LoggerCallback

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import nearest
from tune_jobs.engine.storage import Folder, is_local

FORMS = {
    "tensorboard": "tensorboard or tensorboard=FOLDER",
    "mlflow": "mlflow=URI",
    "wandb": "wandb=PROJECT",
}
# What stands before the host: a token, or a user and a password.
CREDENTIALS = re.compile(r"(?<=://)(?:([^/@:\s]*):)?([^/@\s]+)@")

# What MLflow needs to write to a database itself, beside a server.
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Destination:
    """The function that builds a logger callback, and the folder that its trials' files go to."""

    make: Callable[[], LoggerCallback]
    place: Path = Path()


def split_wanted(wanted: Sequence[str]) -> dict[str, str]:
    """Names of trackers, and what each was given.

    Raises:
        JobError: for a name that is not known or comes twice, or a value that is missing.
    """
    found: dict[str, str] = {}
    for each in wanted:
        name, _, value = each.partition("=")
        if name not in FORMS:
            hint, known = nearest(name, FORMS), ", ".join(FORMS.values())
            raise JobError(f"--track: no tracker {name!r}{hint} Known: {known}")
        if name in found:
            raise JobError(f"--track {name} is given twice; one run is tracked in one place")
        if not value and name != "tensorboard":
            raise JobError(f"--track {each!r} lacks its value; write --track {FORMS[name]}")
        found[name] = value
    return found


def find_destination(name: str, value: str, folder: Folder) -> Destination:
    """Where a tracker of that name writes, once it is sure that it can.

    Raises:
        JobError: where something is lacking.
    """
    finders = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
    return finders[name](value, folder)


def without_secrets(text: str, value: str) -> str:
    """A text without the credentials in what a tracker was given, wherever they occur."""
    for _, secret in CREDENTIALS.findall(value):
        text = text.replace(secret, "***").replace(unquote(secret), "***")
    return CREDENTIALS.sub("***@", text)


def _tensorboard(value: str, folder: Folder) -> Destination:
    if not value and not is_local(folder):
        raise JobError(
            f"--track tensorboard writes files of this machine, but the storage is {folder.uri}; "
            "write --track tensorboard=FOLDER"
        )

    def make() -> LoggerCallback:
        from ray.tune.logger import TBXLoggerCallback

        return TBXLoggerCallback()

    given = Path(value).expanduser().absolute() / folder.name
    return Destination(make, given if value else Path(folder.path, "tensorboard"))


def _mlflow(value: str, folder: Folder) -> Destination:
    scheme = re.split(r"[+:]", value)[0]
    if ":" not in value:
        raise JobError(f"--track mlflow={value!r} is no URI; write mlflow=sqlite:///{value}.db")
    _require("mlflow", "mlflow", *(["sqlalchemy", "alembic"] if scheme in DATABASES else []))

    def make() -> LoggerCallback:
        # MLflow prints a line for each trial where results go, and logs each table it creates.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        return MLflowLoggerCallback(value, experiment_name=folder.name)

    return Destination(make)


def _wandb(value: str, folder: Folder) -> Destination:
    _require("wandb", "wandb")
    wandb = import_module("wandb")
    offline = wandb.setup().settings.mode in ("offline", "dryrun", "disabled")
    if not offline and not wandb.login(prompt=False, verify=False):
        raise JobError(
            "--track wandb finds no API key; set WANDB_API_KEY, call `wandb login`, or set "
            "WANDB_MODE=offline"
        )
    place = folder.path if is_local(folder) else None
    return Destination(lambda: WandbRuns(value, folder.name, place))


def _require(extra: str, *modules: str) -> None:
    """Refuse a tracker whose packages are not there."""
    if lacking := [module for module in modules if find_spec(module) is None]:
        raise JobError(
            f"--track {extra} needs {' and '.join(lacking)}; pip install 'tune-jobs[{extra}]'"
        )


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

    def log_trial_start(self, trial: Any) -> None:
        """Begin a run, which knows nothing of this machine, its files or the command line."""
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

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Add an epoch."""
        self._runs[trial.trial_id].log(result, step=iteration)

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """End the run; this waits until it is uploaded."""
        self._runs.pop(trial.trial_id).finish(exit_code=int(failed))
