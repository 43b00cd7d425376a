"""An experiment: one run of a job, read from its folder, while it runs and ever after."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.files import DESCRIPTION, HISTORY, MODEL, RETEST, SUMMARY, VERDICT
from tune_jobs.engine.experiments.frames import add_best, read_history, with_hyperparameters
from tune_jobs.engine.experiments.segments import Found, read_segments
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.names import nearest
from tune_jobs.engine.outcome import EXIT_CODES
from tune_jobs.engine.storage.folder import Folder, open_folder
from tune_jobs.engine.storage.uris import scheme_of

if TYPE_CHECKING:
    import keras
    import pandas as pd


@dataclass(frozen=True)
class Experiment:
    """The results of one run: read anew from the folder when asked for first.

    Attributes:
        folder: where everything lies.
    """

    folder: Folder

    @property
    def name(self) -> str:
        """The experiment's name: its folder's."""
        return self.folder.name

    @property
    def exists(self) -> bool:
        """Whether a run has ever begun here."""
        return self.folder.exists(DESCRIPTION) or bool(self.folder.child(HISTORY).names())

    @cached_property
    def description(self) -> dict[str, Any]:
        """Job, data, space, seeds, versions and machine of the latest run, as JSON.

        Raises:
            JobError: where neither the file nor the history has it.
        """
        found = self.folder.read_object(DESCRIPTION)
        if "metric" in found and "mode" in found:
            return found
        for record in reversed(list(self.segments.records())):
            if record["kind"] == "attempt":
                return dict(record["description"])
        raise JobError(f"{self.folder.uri}: neither {DESCRIPTION} nor the history can be read")

    @property
    def goal(self) -> Goal:
        """The metric, and whether small or large values of it are good."""
        return Goal.from_json(self.description)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """How the latest run ended; empty while it runs, or where it died."""
        found = self.folder.read_object(SUMMARY)
        return found if found.get("outcome") in EXIT_CODES else {}

    @cached_property
    def verdict(self) -> dict[str, Any]:
        """What the finals said of the winner; empty where there is none."""
        return self.folder.read_object(VERDICT)

    @cached_property
    def retest(self) -> dict[str, Any]:
        """The answer of a retest; empty where there is none."""
        return self.folder.read_object(RETEST)

    @property
    def problems(self) -> list[str]:
        """What is damaged, a line each; whatever has a copy is not."""
        return [*self.segments.problems, *self._damaged]

    @cached_property
    def segments(self) -> Found:
        """The history as it was written, and what of it is damaged."""
        return read_segments(self.folder)

    @cached_property
    def _damaged(self) -> list[str]:
        return [
            f"{name} cannot be read; what it said comes from the history"
            for name in (DESCRIPTION, SUMMARY, VERDICT)
            if self.folder.exists(name) and not self.folder.read_object(name)
        ]

    @property
    def exit_code(self) -> int | None:
        """The exit code of the run, or None while it has not ended."""
        return EXIT_CODES[self.summary["outcome"]] if self.summary else None

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial: state, best value over its epochs, and ``config.<name>`` columns."""
        trials, epochs = self._history
        return with_hyperparameters(add_best(trials, epochs, self.goal))

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row a trial, replica and epoch, with a column a metric."""
        return self._history[1]

    @property
    def usable(self) -> pd.DataFrame:
        """The trials that have a value and did not fail."""
        return self.trials[self.trials["value"].notna() & (self.trials["state"] != "failed")]

    @property
    def ranked(self) -> pd.DataFrame:
        """Those trials, the best first."""
        return self.usable.sort_values("value", ascending=self.goal.minimises, kind="stable")

    @cached_property
    def best_trial(self) -> pd.Series:
        """The row of the trial that won the finals; without any, of that with the best value.

        Raises:
            JobError: where no trial has a value yet.
        """
        usable = self.usable
        if usable.empty:
            raise JobError(f"{self.folder.uri} has no trial with a {self.goal.metric}")
        if (won := usable[usable["trial"] == self.verdict.get("trial")]).shape[0]:
            return won.iloc[0]
        place = usable["value"].argmin() if self.goal.minimises else usable["value"].argmax()
        return usable.iloc[place]

    @property
    def best_config(self) -> dict[str, Any]:
        """The hyperparameters of the best trial, inactive ones absent."""
        config: dict[str, Any] = json.loads(self.best_trial["config"])
        return config

    @property
    def best(self) -> dict[str, Any]:
        """The best trial's number, epoch, value and config."""
        trial = self.best_trial
        return {
            "trial": trial["trial"],
            "epoch": trial["best_epoch"],
            "value": trial["value"],
            "config": self.best_config,
        }

    @property
    def best_value(self) -> float:
        """The best trial's value in the search: optimistic, being the best of many.

        ``verdict`` has the mean over fresh seeds and folds, ``summary["test"]`` the scores on the
        test part.
        """
        return float(self.best_trial["value"])

    def best_model(self) -> keras.Model:
        """Load the exported model, which takes raw columns.

        Raises:
            JobError: where none was exported, or the trainable's module cannot be imported.
        """
        if not self.folder.exists(MODEL):
            raise JobError(f"{self.folder.uri} holds no {MODEL}; see `tune-jobs export`")
        load = self.companion("load")
        with tempfile.TemporaryDirectory() as aside:
            path = Path(aside, MODEL)
            path.write_bytes(self.folder.read(MODEL))
            return load(str(path))

    def best_checkpoint(self) -> str:
        """The path, in the folder, of a checkpoint that holds the best weights.

        It is that of the best epoch, or of a later one: those of ``trainables`` hold both.

        Raises:
            JobError: where it was never written or is gone.
        """
        best = self.best_trial
        rows = self.epochs[self.epochs["trial"] == best["trial"]]
        rows = rows[rows["epoch"] >= best["best_epoch"]].sort_values("epoch")
        for path in rows["checkpoint"].dropna():
            if self.folder.exists(path):
                return str(path)
        raise JobError(f"trial {best['trial']} of {self.folder.uri} has no checkpoint of its best")

    def companion(self, name: str) -> Callable[..., Any]:
        """The function called ``name`` beside the experiment's trainable.

        Raises:
            JobError: where the module cannot be imported from here, or has no such function.
        """
        module = self.description["trainable"].rsplit(".", 1)[0]
        from tune_jobs.engine.job.companions import companion

        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        try:
            return companion(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            raise JobError(
                f"the trainable's module {module!r} cannot be imported ({error}); "
                "run this from the folder that it lies in"
            ) from None

    @cached_property
    def _history(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return read_history(self.folder)


def open_experiment(place: str | os.PathLike[str], storage: str = "results") -> Experiment:
    """The experiment at a path or URI, or of that name in ``storage``.

    Raises:
        JobError: where there is none; the nearest names are shown.
    """
    text = os.fspath(place)
    found = Experiment(open_folder(text))
    if found.exists:
        return found
    if scheme_of(text):
        raise JobError(f"no experiment at {text!r}")
    around = open_folder(storage)
    if Experiment(around.child(text)).exists:
        return Experiment(around.child(text))
    known = around.folders()
    series = [name for name in known if name.startswith(f"{found.name}-")]
    hint = f"; the latest of that series is {max(series)!r}" if series else None
    raise JobError(f"no experiment at {text!r}{hint or nearest(found.name, known)}")
