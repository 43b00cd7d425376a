"""An experiment: a run of a job, read from its folder, during the run and afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tune_jobs.engine.data.predicting import Predictor, Rows, take_frames
from tune_jobs.engine.data.scoring.outputs import HALF
from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.experiments.files import (
    CONFIG,
    DESCRIPTION,
    EXPORTED,
    FINALISTS,
    HISTORY,
    MODEL,
    REBUILD,
    RETEST,
    SUMMARY,
    VERDICT,
)
from tune_jobs.engine.experiments.history.frames import (
    Configs,
    History,
    add_best,
    read_history,
    with_hyperparameters,
)
from tune_jobs.engine.experiments.history.records import Attempt
from tune_jobs.engine.experiments.history.segments import Found, read_segments
from tune_jobs.engine.experiments.identity import Identity, identify
from tune_jobs.engine.experiments.model_file import (
    check_model,
    find_function,
    id_in_model,
    is_archive,
    load_model,
    mark_model,
    read_bytes,
    threshold_in_model,
)
from tune_jobs.engine.experiments.retest_answer import Answer
from tune_jobs.engine.experiments.summary import Best, Summary
from tune_jobs.engine.experiments.verdict import Verdict
from tune_jobs.engine.formatting import count, number
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.job.description import Description
from tune_jobs.engine.job.trust import Trusted, trust
from tune_jobs.engine.names import nearest
from tune_jobs.engine.outcome import EXIT_CODES, FINAL
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.storage.folder import Folder, checksum_of, open_folder
from tune_jobs.engine.storage.uris import scheme_of

if TYPE_CHECKING:
    from types import ModuleType

    import keras
    import pandas as pd

    from tune_jobs.engine.job.job import Job
    from tune_jobs.engine.report.notebook import Plot


class Marked(Protocol):
    """What a file of JSON holds, with the id of its experiment."""

    @property
    def experiment_id(self) -> str | None:
        """The id, None if version 0.1 wrote the file."""


T = TypeVar("T", bound=Marked)
Reader = Callable[[object], T]


@dataclass(frozen=True)
class Experiment:
    """The results of a run, each read from the folder when first used.

    Attributes:
        folder: where everything lies.
        trusted: code that the user has given, which may read its model.
    """

    folder: Folder
    trusted: Trusted | None = None

    def __repr__(self) -> str:
        """Return its name and place, and how it ended."""
        return f"<Experiment {self.name!r} in {self.folder.parent.uri}: {self._state}>"

    @property
    def _state(self) -> str:
        """How it ended, in a few words."""
        if (summary := self.summary) is None:
            return "not ended" if self.exists else "does not exist"
        said = f"{summary.outcome}, {count(sum(summary.trials.values()), 'trial')}"
        if (winner := summary.winner) is None:
            return said
        return f"{said}, {summary.metric} {number(winner.mean)} by trial {winner.trial}"

    @property
    def name(self) -> str:
        """The experiment's name: its folder's."""
        return self.folder.name

    @property
    def exists(self) -> bool:
        """True if a run has ever begun here."""
        return self.folder.exists(DESCRIPTION) or bool(self.folder.child(HISTORY).names())

    @cached_property
    def description(self) -> Description:
        """Job, data, space, seeds, versions and machine of the latest run.

        Raises:
            JobError: if neither the file nor the history has it.
        """
        found = self._read(DESCRIPTION, Description.from_json)[0]
        if found is not None:
            return found
        for record in reversed(list(self.segments.records())):
            if isinstance(record, Attempt):
                with suppress(ValueError):  # an earlier run may have written one that can be read
                    return Description.from_json(record.description)
        raise JobError(f"{self.folder.uri}: neither {DESCRIPTION} nor the history can be read")

    @property
    def goal(self) -> Goal:
        """The metric, and whether small or large values of it are good."""
        return self.description.goal

    @cached_property
    def summary(self) -> Summary | None:
        """The summary of the latest run; None while it runs, or if it died."""
        return self._read(SUMMARY, Summary.from_json)[0]

    @cached_property
    def verdict(self) -> Verdict | None:
        """The winner of the finals, and how sure that is; None if there is no winner."""
        return self._read(VERDICT, Verdict.from_json)[0]

    @cached_property
    def retest(self) -> Answer | None:
        """The answer of a retest; None if this is no retest, or it has no answer yet."""
        return self._read(RETEST, Answer.from_json)[0]

    @cached_property
    def identity(self) -> Identity:
        """Whose files are its own: those with its id, whatever its folder is called."""
        return identify(self.folder)

    @property
    def problems(self) -> list[str]:
        """The damaged and foreign files, one line each.

        A damaged segment or table that is whole elsewhere is none.
        """
        return [
            *self.segments.problems,
            *self._history.problems,
            *self._unreadable,
            *self._changed,
            *self._foreign_finals,
        ]

    @cached_property
    def segments(self) -> Found:
        """The history as it was written, and what of it is damaged."""
        return read_segments(self.folder, self.identity)

    @property
    def finals(self) -> Experiment | None:
        """The finals as an experiment inside this one; None if there were none."""
        finals = Experiment(self.folder.child(FINALISTS))
        return finals if finals.exists and self.identity.owns(finals.identity.id) else None

    def write(self, name: str, record: Summary | Verdict | Answer) -> None:
        """Write a file of JSON, with the experiment's id."""
        marked = replace(record, experiment_id=self.identity.id)
        self.folder.write_json(name, marked.to_json())

    def _read(self, name: str, reader: Reader[T]) -> tuple[T | None, str]:
        """Read a file of JSON, or say why it cannot be read, or is not used."""
        try:
            found = reader(self.folder.read_json(name))
        except (OSError, ValueError) as error:
            return None, f"{name} cannot be read: {reason_of(error)}"
        if not self.identity.owns(found.experiment_id):
            return None, f"{name} is of another experiment; ignored"
        return found, ""

    @cached_property
    def _unreadable(self) -> list[str]:
        readers: dict[str, Reader[Marked]] = {
            DESCRIPTION: Description.from_json,
            SUMMARY: Summary.from_json,
            VERDICT: Verdict.from_json,
            RETEST: Answer.from_json,
        }
        there = [name for name in readers if self.folder.exists(name)]
        return list(filter(None, [self._read(name, readers[name])[1] for name in there]))

    @cached_property
    def _changed(self) -> list[str]:
        """Exported files that are not what the run wrote; large ones are read only locally."""
        names = EXPORTED if self.folder.local_path else (CONFIG, REBUILD)
        found: list[str] = []
        for name in names:
            with suppress(OSError):  # it is not there, or is no file
                if fault := self._fault_of(name, self.folder.read(name)):
                    found.append(f"{name} {fault}")
        return found

    def _fault_of(self, name: str, content: bytes) -> str:
        """Say why an exported file is not the one that the run wrote; nothing if it is."""
        known, found = self._checksums.get(name), id_in_model(content)
        if known is not None and known != checksum_of(content):
            return "is not the file that the run wrote"
        is_unknown = found is None and (known is not None or not is_archive(content))
        return "" if is_unknown or self.identity.owns(found) else "is of another experiment"

    def export(self, name: str, content: bytes) -> None:
        """Write a model file, with the experiment's id if it is an archive."""
        self.folder.write(name, mark_model(content, self.identity.id))

    def take_checksums(self) -> dict[str, str]:
        """Return the checksums of all exported files that are not another experiment's."""
        found = {}
        for name in filter(self.folder.exists, EXPORTED):
            content = self.folder.read(name)
            if not self._fault_of(name, content):
                found[name] = checksum_of(content)
        return found

    @property
    def _foreign_finals(self) -> list[str]:
        is_there = Experiment(self.folder.child(FINALISTS)).exists
        is_foreign = is_there and self.finals is None
        return [f"{FINALISTS} is of another experiment; ignored"] if is_foreign else []

    @property
    def _checksums(self) -> Mapping[str, str]:
        return self.summary.checksums if self.summary else {}

    @property
    def exit_code(self) -> int | None:
        """The exit code of the run, or None while it has not ended."""
        return EXIT_CODES[self.summary.outcome] if self.summary else None

    @property
    def is_final(self) -> bool:
        """True if the run has done everything it was asked to do."""
        return self.summary is not None and self.summary.outcome in FINAL

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial: state, best value over its epochs, and ``config.<name>`` columns."""
        history = self._history
        scored = add_best(history.trials, history.epochs, self.goal)
        return with_hyperparameters(scored, history.configs)

    @property
    def configs(self) -> Configs:
        """The configs of all trials by number, as JSON has them."""
        return self._history.configs

    @property
    def epochs(self) -> pd.DataFrame:
        """One row per trial, replica and epoch, with one column per metric."""
        return self._history.epochs

    @property
    def usable(self) -> pd.DataFrame:
        """The trials that have a value and did not fail."""
        return self.trials[self.trials["value"].notna() & (self.trials["state"] != "failed")]

    @property
    def ranked(self) -> pd.DataFrame:
        """The usable trials, the best first."""
        return self.usable.sort_values("value", ascending=self.goal.minimises, kind="stable")

    @cached_property
    def best_trial(self) -> pd.Series:
        """The row of the trial that won the finals; without finals, of the best value's trial.

        Raises:
            JobError: if no trial has a value yet.
        """
        usable = self.usable
        if usable.empty:
            raise JobError(f"no trial of {self.folder.uri} has a value of {self.goal.metric}")
        won = usable[usable["trial"] == self.verdict.trial] if self.verdict else usable[:0]
        if not won.empty:
            return won.iloc[0]
        place = usable["value"].argmin() if self.goal.minimises else usable["value"].argmax()
        return usable.iloc[place]

    @property
    def best_config(self) -> Config:
        """The hyperparameters of the best trial, without inactive ones."""
        return self.configs[self.best_trial["trial"]]

    @property
    def best(self) -> Best:
        """The best trial's number, epoch, value and config."""
        return self._as_best(self.best_trial)

    @property
    def best_of_search(self) -> Best | None:
        """The trial of the best value, whichever won the finals; None if no trial has a value."""
        return None if self.usable.empty else self._as_best(self.ranked.iloc[0])

    def _as_best(self, trial: pd.Series) -> Best:
        return Best(
            trial=int(trial["trial"]),
            epoch=int(trial["best_epoch"]),
            value=float(trial["value"]),
            config=self.configs[trial["trial"]],
        )

    @property
    def best_value(self) -> float:
        """The best trial's value during the search: optimistic, being the best of many.

        ``verdict.mean`` is over fresh seeds and folds, ``summary.test`` has the scores on the test
        set.
        """
        return float(self.best_trial["value"])

    def best_model(self) -> keras.Model:
        """Load the exported model, which takes raw columns; its ``predict`` takes a DataFrame, too.

        Raises:
            JobError: if none was exported, it cannot be loaded, or it needs code that the user
                has not given.
        """
        model, threshold = self._load_exported()
        if self.description.preprocessing is not None:
            take_frames(model, lambda: self._predictor_of(model, threshold))
        return model

    def _load_exported(self) -> tuple[Any, float]:
        """Load the exported model, and the threshold of the classes that it predicts."""
        if not self.folder.exists(MODEL):
            raise JobError(f"{self.folder.uri} has no {MODEL}; create one with tune-jobs export")
        load, content = self.companion("load"), self._read_exported()
        model = load_model(self.folder, content, load, self.trusted, self.description.modules)
        chosen = self.summary.threshold if self.summary else None
        known = threshold_in_model(content), chosen.value if chosen else None
        return model, next((each for each in known if each is not None), HALF)

    def predict(self, rows: Rows, keep: Collection[str] = ()) -> pd.DataFrame:
        """Predict rows with the best model, as ``tune-jobs predict`` writes it.

        Args:
            rows: a DataFrame with the columns of the training data, a file, or images.
            keep: columns that stay beside the predictions; ``("all",)`` for every one.

        Raises:
            JobError: if a column is missing, or there is no model.
        """
        return self.predictor().frame(rows, keep)

    def predictor(self) -> Predictor:
        """Load the best model as one that predicts tables.

        Raises:
            JobError: if there is no model, or the experiment has no data set.
        """
        if self.description.preprocessing is None:
            raise JobError(
                f"{self.folder.uri} was trained on sets or datasets as they are, so no columns are "
                "known to predict from; call best_model().predict with what the model takes"
            )
        return self._predictor_of(*self._load_exported())

    def _predictor_of(self, model: Any, threshold: float) -> Predictor:
        return Predictor(
            model=model,
            call=self.companion("predict"),
            preprocessing=self.description.preprocessing or {},
            constants=self.description.constants,
            name=self.name,
            is_trusted=bool(self.trusted),
            threshold=threshold,
        )

    def read_model(self) -> bytes:
        """Read the exported model's file, once it is known to be whole.

        Raises:
            JobError: if it is damaged, or something else, or another run's.
        """
        content = self._read_exported()
        self._check_model(content)
        return content

    def _check_model(self, content: bytes) -> None:
        if self.trusted or "load" not in self.description.own_functions:
            check_model(self.folder, content, self.companion("load"))

    def _read_exported(self) -> bytes:
        """Read the model file, if it is the one that the run wrote.

        Raises:
            JobError: if it cannot be read, is damaged, or is another one.
        """
        content = read_bytes(self.folder)
        if fault := self._fault_of(MODEL, content):
            self._check_model(content)  # which knows more of a damaged one
            raise JobError(
                f"{self.folder.child(MODEL).uri} {fault}; put that file back, or move this one "
                "away to export the best trial"
            )
        return content

    def best_checkpoint(self) -> str:
        """Return the path, in the folder, of a checkpoint that holds the best weights.

        It is that of the best epoch, or of a later one: those of ``trainables`` hold both.

        Raises:
            JobError: if it was never written or is gone.
        """
        return self.checkpoint_of(int(self.best_trial["trial"]))

    def checkpoint_of(self, trial: int) -> str:
        """Return the path, in the folder, of a checkpoint that holds a trial's best weights.

        Raises:
            JobError: if it was never written or is gone.
        """
        best = self.trials[self.trials["trial"] == trial].iloc[0]
        rows = self.epochs[self.epochs["trial"] == trial]
        rows = rows[rows["epoch"] >= best["best_epoch"]].sort_values("epoch")
        for path in rows["checkpoint"].dropna():
            if self.folder.exists(path):
                return str(path)
        raise JobError(f"trial {trial} of {self.folder.uri} has no checkpoint of its best epoch")

    def companion(self, name: str) -> Callable[..., Any]:
        """Return the function called ``name`` that goes with the experiment's trainable.

        Raises:
            JobError: if there is none, or it is code that the user has not given.
        """
        return find_function(name, self.description, self.folder, self.trusted)

    def plot_history(self) -> Plot:
        """Draw each trial's best value, in the order of trials, and the best so far."""
        from tune_jobs.engine.report.notebook import plot_history

        return plot_history(self)

    def plot_importance(self) -> Plot:
        """Draw how much of the metric's variance each hyperparameter explains."""
        from tune_jobs.engine.report.notebook import plot_importance

        return plot_importance(self)

    def plot_slices(self) -> Plot:
        """Draw each hyperparameter against the metric, the most important first."""
        from tune_jobs.engine.report.notebook import plot_slices

        return plot_slices(self)

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows: the winner, its interval, and the way to the report."""
        from tune_jobs.engine.report.notebook import show_result

        return show_result(self) if self.exists else None

    @cached_property
    def _history(self) -> History:
        return read_history(self.folder, self.identity)


def open_experiment(
    place: str | os.PathLike[str],
    storage: str = "results",
    code: Job | ModuleType | None = None,
) -> Experiment:
    """Open the experiment at a path or URI, or of that name in ``storage``.

    ``code`` is a job, or its module, whose functions may read the model; without it, those of
    ``trainables`` do. No other module is imported because a results folder names it.

    Raises:
        JobError: if there is no such experiment; the nearest names are shown.
    """
    text, trusted = os.fspath(place), None if code is None else trust(code)
    found = Experiment(open_folder(text), trusted)
    if found.exists:
        return found
    if scheme_of(text):
        raise JobError(f"no experiment at {text!r}")
    around = open_folder(storage)
    if Experiment(around.child(text)).exists:
        return Experiment(around.child(text), trusted)
    known = around.folders()
    series = [name for name in known if name.startswith(f"{found.name}-")]
    hint = f"; the latest run of that series is {max(series)!r}" if series else None
    where = f"at {text!r}" if "/" in text else f"{text!r} in {storage}"
    raise JobError(f"no experiment {where}{hint or nearest(found.name, known).rstrip('.')}")
