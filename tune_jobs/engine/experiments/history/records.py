"""The records of a history, one class per kind.

A history holds one JSON object per record, with its ``kind`` and the ``time`` at which it was
written, in seconds since 1970::

    {"kind": "attempt", "description": {...}, "target": 40, "time": 1.7e9}
    {"kind": "told", "config": {...}, "score": 0.1, "source": "results/earlier", ...}
    {"kind": "stage", "stage": 1, "ranked": [7, 3, ...], "narrowed": [...], "first": 21, ...}
    {"kind": "trial", "trial": 1, "asked": 1, "config": {...}, "time": 1.7e9}
    {"kind": "epoch", "trial": 1, "replica": 0, "epoch": 3, "seconds": 0.1, "metrics": {...}, ...}
    {"kind": "checkpoint", "trial": 1, "epoch": 3, "path": "trials/...", "time": 1.7e9}
    {"kind": "work", "trial": 1, "path": "compiled", "worker": "host:123", "spent": {...}, ...}
    {"kind": "crash", "trial": 1, "time": 1.7e9}
    {"kind": "end", "trial": 1, "state": "complete", "failure": null, "error": null, ...}
    {"kind": "answered", "of": 1, "asked": 2, "config": {...}, "score": 0.1, "time": 1.7e9}

The finals have a history of their own. In it each trial names its finalist and its batch of
replicas, and ``out``, ``chosen`` and ``challenger`` are the decisions. Listeners of a run get every
record as it is written, and four events that are not: the search starts, the finals start, a trial
has a new value, Tune has finished.

The keys are the names of the fields; :mod:`~.segments` writes and reads them. The classes are
frozen dataclasses rather than TypedDicts, so that a misspelt field fails at once and ``match``
tells kinds apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tune_jobs.engine.experiments.failures import Kind
from tune_jobs.engine.experiments.summary import Best
from tune_jobs.engine.space.configs import Config

State = Literal["running", "complete", "stopped", "unfinished", "failed"]


@dataclass(frozen=True)
class Attempt:
    """The start of a run, which writes the history from here on.

    Attributes:
        description: of the run, as in ``experiment.json``.
        target: how many trials the experiment will have.
    """

    kind: ClassVar[str] = "attempt"

    description: Mapping[str, Any]
    target: int
    time: float | None = None


@dataclass(frozen=True)
class ImportedResult:
    """A result of another search, passed to the searcher.

    Attributes:
        config: of this job's space.
        score: its value; None if it failed.
        source: where it came from.
        asked: how many suggestions the searcher had made before.
    """

    kind: ClassVar[str] = "told"

    config: Config
    score: float | None
    source: str
    asked: int
    time: float | None = None


@dataclass(frozen=True)
class StageStart:
    """The start of a stage of the search.

    Attributes:
        stage: counted from 0.
        ranked: the trials of earlier stages that its space follows from, the best first.
        narrowed: how the space was narrowed, one line per change.
        first: its first trial.
        last: its last trial.
        max_epochs: where its trials are complete.
    """

    kind: ClassVar[str] = "stage"

    stage: int
    ranked: Sequence[int]
    narrowed: Sequence[str]
    first: int
    last: int
    max_epochs: int
    time: float | None = None


@dataclass(frozen=True)
class TrialStart:
    """The start of a trial, or its continuation after an interruption.

    Attributes:
        trial: its number.
        config: its config.
        asked: how many suggestions the searcher had made by then.
        by: what chose the config: ``random``, ``tpe``, ``gp`` ..., or ``points`` if it was given.
        of: in the finals, the trial of the search that is trained again.
        batch: in the finals, the batch of replicas that is trained.
    """

    kind: ClassVar[str] = "trial"

    trial: int
    config: Config
    asked: int | None = None
    by: str | None = None
    of: int | None = None
    batch: int | None = None
    time: float | None = None


@dataclass(frozen=True)
class Epoch:
    """An epoch of one replica of a trial.

    Attributes:
        trial: the trial's number.
        replica: counted from 0; a trial without folds or repeats has only that.
        epoch: counted from 1.
        seconds: how long the epoch took all replicas together.
        metrics: of this replica.
    """

    kind: ClassVar[str] = "epoch"

    trial: int
    replica: int
    epoch: int
    seconds: float
    metrics: Mapping[str, float]
    time: float | None = None


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint of a trial, at a path inside the experiment."""

    kind: ClassVar[str] = "checkpoint"

    trial: int
    epoch: int
    path: str
    time: float | None = None


@dataclass(frozen=True)
class Work:
    """The work on a trial so far.

    Attributes:
        trial: the trial's number.
        parameters: how many the model has.
        path: how epochs are run, and why so.
        worker: ``host:pid``.
        began: when the fit began, in seconds since 1970.
        spent: seconds by purpose.
        fallback: why the model could not be compiled although it should have been.
    """

    kind: ClassVar[str] = "work"

    trial: int
    parameters: int | None
    path: str
    worker: str
    began: float
    spent: Mapping[str, float]
    fallback: str | None = None
    time: float | None = None


@dataclass(frozen=True)
class Crash:
    """The death of a trial's worker process, on a node that lives on."""

    kind: ClassVar[str] = "crash"

    trial: int
    time: float | None = None


@dataclass(frozen=True)
class TrialEnd:
    """The end of a trial.

    Attributes:
        trial: its number.
        state: how it ended.
        failure: the kind of its failure; None if it did not fail.
        error: the traceback, or a line.
    """

    kind: ClassVar[str] = "end"

    trial: int
    state: State
    failure: Kind | None
    error: str | None
    time: float | None = None


@dataclass(frozen=True)
class KnownConfig:
    """A suggestion that was tried before; the searcher gets its score from the history.

    Attributes:
        of: the trial that tried it.
        asked: how many suggestions the searcher had made by then.
        config: the config.
        score: the trial's value; None if it failed.
    """

    kind: ClassVar[str] = "answered"

    of: int
    asked: int
    config: Config
    score: float | None
    time: float | None = None


@dataclass(frozen=True)
class Dropped:
    """A finalist that is clearly behind after some fresh scores, and is trained no further."""

    kind: ClassVar[str] = "out"

    of: int
    scores: int
    time: float | None = None


@dataclass(frozen=True)
class Chosen:
    """The finalist that has won."""

    kind: ClassVar[str] = "chosen"

    of: int
    time: float | None = None


@dataclass(frozen=True)
class Challenger:
    """The finalist that challenges the incumbent."""

    kind: ClassVar[str] = "challenger"

    of: int
    time: float | None = None


@dataclass(frozen=True)
class UnknownRecord:
    """A record of a kind that this version does not know."""

    facts: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The name it gives itself."""
        return str(self.facts.get("kind"))


@dataclass(frozen=True)
class SearchStart:
    """The event that a search starts or continues.

    Attributes:
        name: the experiment's.
        folder: the experiment's.
        target: how many trials it will have; None for a tuner that somebody else built.
        imported: how many results of other searches the searcher gets.
        states: how many earlier trials ended in each state.
        best: the best trial of earlier runs.
    """

    kind: ClassVar[str] = "start"

    name: str
    folder: str
    target: int | None
    imported: int = 0
    states: Mapping[str, int] | None = None
    best: Best | None = None


@dataclass(frozen=True)
class FinalsStart:
    """The event that the finals start or continue.

    Attributes:
        name: the experiment's.
        folder: the experiment's.
        target: how many fits of a batch there are at most.
        trials: the finalists, the best first.
        has_incumbent: whether the first of them is the incumbent.
        fits_at_once: replicas in a batch.
        seconds: how long they are expected to take at most, by the epochs of the search.
    """

    kind: ClassVar[str] = "start"

    name: str
    folder: str
    target: int
    trials: Sequence[int]
    has_incumbent: bool
    fits_at_once: int
    seconds: float | None = None


@dataclass(frozen=True)
class Progress:
    """The event that a trial has a new value: all its replicas have trained one more epoch.

    Attributes:
        trial: the trial's number.
        epoch: counted from 1.
        value: the metric's mean over replicas, as searcher and scheduler see it.
        error: if the value is a loss of a standardised number, its error in its own unit, in words.
    """

    kind: ClassVar[str] = "progress"

    trial: int
    epoch: int
    value: float
    error: str = ""


@dataclass(frozen=True)
class Paused:
    """The event that a scheduler has paused a trial: it has no worker, and may continue later.

    Attributes:
        trial: the trial's number.
    """

    kind: ClassVar[str] = "paused"

    trial: int


@dataclass(frozen=True)
class Continued:
    """The event that a trial continues that was paused, or stopped in an earlier run.

    Attributes:
        trial: the trial's number.
        was_stopped: whether it had ended in an earlier run.
    """

    kind: ClassVar[str] = "continued"

    trial: int
    was_stopped: bool = False


@dataclass(frozen=True)
class Finish:
    """The event that Tune has finished, in a search or in the finals."""

    kind: ClassVar[str] = "finish"


KnownRecord = (
    Attempt
    | ImportedResult
    | StageStart
    | TrialStart
    | Epoch
    | SavedCheckpoint
    | Work
    | Crash
    | TrialEnd
    | KnownConfig
    | Dropped
    | Chosen
    | Challenger
)
HistoryRecord = KnownRecord | UnknownRecord
Event = HistoryRecord | SearchStart | FinalsStart | Progress | Paused | Continued | Finish

# Called with each record and event as it is made, and with None in between.
Listener = Callable[[Event | None], None]
