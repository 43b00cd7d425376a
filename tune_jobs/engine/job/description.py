"""The description of a run, as ``experiment.json`` holds it; its fields are the file's keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.engine.data.inspection.facts import TableFacts
from tune_jobs.engine.goal import Goal, Mode
from tune_jobs.engine.serialization import parse, serialize
from tune_jobs.engine.space.configs import Config


@dataclass(frozen=True)
class Slot:
    """The slot of a schedule that a run is for.

    Attributes:
        job: the job's short name.
        slot: the slot's name.
        content: a hash of the job's settings.
    """

    job: str
    slot: str
    content: str


# In the names of losses that see a number in its own unit.
OF_TRUE_SCALE = ("poisson", "percentage", "mape", "logarithmic", "msle", "tweedie", "gamma")


@dataclass(frozen=True, kw_only=True)
class Description:
    """A run's search: on which data, with which versions, and where.

    A run of a tuner that a module builds itself knows only some of this.

    Attributes:
        experiment_id: the experiment's, which stands in all its files; the first key of the file.
        trainable: the trainable's dotted name.
        own_functions: which of export, load and predict beside the trainable are its own, instead
            of those of ``trainables``.
        modules: the file of the trainable's module and of each that it imports from its package or
            folder: where registered layers and losses come from.
        source: a hash of the trainable's module and of what it imports from its package or folder.
        code: what version 0.1 wrote instead, a hash that includes the fitting code of tune-jobs.
        metric: what decides.
        mode: whether a lower (``min``) or a higher value is better.
        num_trials: how many trials the job asks for.
        max_epochs: the maximum epochs per trial.
        seed: the job's.
        space: the search space as JSON.
        searcher: the searcher as code.
        scheduler: the scheduler as code.
        data: the dataset as code.
        evaluation: folds and repeats as code.
        finalists: the finals as code.
        commit: the commit of the trainable's repository.
        constants: what every config holds in addition to its hyperparameters.
        fingerprint: a hash of the data.
        preprocessing: what was learnt of the columns, None without data.
        resources: what each trial gets of a machine.
        started: when the run began, in seconds since 1970.
        machine: where it began.
        versions: of Python and of the packages that matter.
        command: the command line's options.
        slot: the slot of a schedule that it is for.
        batches: of finals, how many replicas each task trains.
        choosing: of finals, how many batches choose the winner.
        overlap: of finals, held-out rows / training rows.
        table: the columns of a table, and how it was read.
    """

    experiment_id: str | None = None
    trainable: str | None
    own_functions: tuple[str, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    code: str | None = None
    metric: str
    mode: Mode
    num_trials: int | None = None
    max_epochs: int | None = None
    seed: int | None = None
    space: Mapping[str, Any]
    searcher: str | None = None
    scheduler: str | None = None
    data: str | None = None
    evaluation: str | None = None
    finalists: str | None = None
    commit: str | None
    constants: Config
    fingerprint: str | None
    preprocessing: dict[str, Any] | None
    resources: Mapping[str, float]
    started: float | None
    machine: str | None
    versions: Mapping[str, str]
    command: Mapping[str, Any] = field(default_factory=dict)
    slot: Slot | None
    batches: tuple[int, ...] = ()
    choosing: int | None = None
    overlap: float | None = None
    table: TableFacts | None = None

    @classmethod
    def from_json(cls, content: object) -> Description:
        """Read a description.

        Raises:
            ValueError: if the content is not one; the message says why.
        """
        return parse(cls, content)

    def to_json(self) -> dict[str, Any]:
        """Write it as ``experiment.json`` holds it."""
        return serialize(self)

    @property
    def goal(self) -> Goal:
        """The metric, and whether small or large values of it are good."""
        return goal_of(self.metric, self.mode, self.preprocessing, self.space)


def goal_of(
    metric: str, mode: Mode, preprocessing: Mapping[str, Any] | None, space: Mapping[str, Any]
) -> Goal:
    """Return the goal of an experiment, which knows if it is a loss of a standardised number."""
    target = (preprocessing or {}).get("target") or {}
    if target.get("task") != "regression" or metric.removeprefix("val_") != "loss":
        return Goal(metric, mode)
    is_standardised = not any(word in str(space.get("loss", "")) for word in OF_TRUE_SCALE)
    name = "" if "names" in target else str(target.get("name"))  # several have no common unit
    return Goal(metric, mode, name, is_standardised)
