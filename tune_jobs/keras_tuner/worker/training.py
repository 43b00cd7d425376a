"""Train one trial of a KerasTuner program, on a worker.

A model whose data are arrays is trained as the engine trains any; a program's own ``fit``, datasets
and arguments that only Keras knows run Keras' ``fit``, and are recorded as it calls back.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trainables.datasets import unpack
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.job import RESERVED
from tune_jobs.engine.names import trial_id
from tune_jobs.engine.seeds import derive
from tune_jobs.keras_tuner.conversion import migration_of, values_of
from tune_jobs.keras_tuner.declarations import describe
from tune_jobs.keras_tuner.errors import (
    FailedTrialError,
    FatalError,
    FatalRuntimeError,
    FatalTypeError,
    NewHyperparametersError,
)
from tune_jobs.keras_tuner.hypermodel import has_own_fit, names_in_fit
from tune_jobs.keras_tuner.hyperparameters import HyperParameters
from tune_jobs.keras_tuner.trials import Trial
from tune_jobs.keras_tuner.worker.arguments import Fit, read_call
from tune_jobs.keras_tuner.worker.recording import Recording, make_callback
from tune_jobs.keras_tuner.worker.returned import as_executions, in_step, is_history, rows_of

if TYPE_CHECKING:
    from tune_jobs.keras_tuner.objective import Objective
    from tune_jobs.keras_tuner.worker.program import Program

logger = logging.getLogger(__name__)

# What a program's ``fit`` may do with its model.
METHODS = frozenset(
    ["fit", "train_on_batch", "test_on_batch", "evaluate", "predict", "predict_on_batch", "history"]
    + ["get_weights", "set_weights", "save", "save_weights", "layers", "optimizer", "compile"]
    + ["train_step", "trainable_variables", "trainable_weights", "weights", "stop_training"]
)

FINAL = (FailedTrialError, FatalError, NewHyperparametersError, JobError)


@dataclass(frozen=True)
class Given:
    """What ``search`` was called with, as it travels.

    The four sets are what the engine's records say of the data.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def unpacked(self) -> Given:
        """Return the arguments with datasets as the program gave them."""
        kwargs = {name: unpack(each) for name, each in self.kwargs.items()}
        return Given(tuple(unpack(each) for each in self.args), kwargs)

    @property
    def x_train(self) -> Any:
        """The training data."""
        return read_call(self.args, self.kwargs).given.get("x")

    @property
    def y_train(self) -> Any:
        """Their targets."""
        return read_call(self.args, self.kwargs).given.get("y")

    @property
    def x_validation(self) -> Any:
        """The validation data, with their targets."""
        return read_call(self.args, self.kwargs).given.get("validation_data")

    @property
    def y_validation(self) -> Any:
        """None: they are with the data."""
        return None


@dataclass(frozen=True)
class Settings:
    """How trials are trained.

    Attributes:
        space: the declared hyperparameters.
        objective: the metric that decides.
        executions: how often each configuration is trained.
        retries: how often a trial that raised an exception starts again.
        folds: how many folds each configuration is trained on, None for one validation set.
        seed: of the folds.
        max_model_size: the most parameters of a model, None for no limit.
        allows_new: whether hyperparameters may show up that the space does not have.
        tunes_new: whether such hyperparameters join the space, rather than keep their defaults.
    """

    space: HyperParameters
    objective: Objective
    executions: int = 1
    retries: int = 0
    folds: int | None = None
    seed: int = 0
    max_model_size: int | None = None
    allows_new: bool = True
    tunes_new: bool = True


def make_trainable(tuner: Program, settings: Settings, module: str) -> Callable[..., Any]:
    """Return what the engine trains trials with, and the functions that go with it.

    Args:
        tuner: the program's, which travels to the workers.
        settings: how trials are trained.
        module: the program's, whose layers and losses go with its models.
    """
    from trainables import export as files
    from trainables.preload import preload

    def train(config: Mapping[str, Any], data: Given | None) -> None:
        TrialFit(tuner, settings, config).run(data or Given((), {}))

    def build(config: Mapping[str, Any]) -> Any:
        return TrialFit(tuner, settings, config).build()

    train.__module__ = build.__module__ = module
    train.__qualname__ = train.__name__ = "search"
    functions = {"build": build, "preload": preload, "migrate": migration_of(settings.space)}
    functions |= {name: getattr(files, name) for name in ("export", "load", "predict")}
    vars(train).update(functions)
    return train


class TrialFit:
    """The training of one trial; a tuner's ``run_trial`` is given what it needs of it."""

    def __init__(self, tuner: Program, settings: Settings, config: Mapping[str, Any]) -> None:
        self.tuner, self.settings, self.config = tuner, settings, config
        self.hp = watched(settings.space.with_values(_values_in(config, settings.space)))
        self.hp.on_new = self._check_new
        self.trial = Trial(self.hp, _own_id())
        self.recordings: list[Recording] = []
        self.updates: dict[str, float] = {}
        self._is_reported = False
        self._epochs = 0

    def run(self, given: Given) -> None:
        """Train, and report what the program returns."""
        self.tuner.worker = self
        returned = self._try(given)
        self._check_new()
        self._report(returned)

    def build(self) -> Any:
        """Build the model, compiled with what the tuner was given.

        Raises:
            FatalTypeError: if the program builds no model.
            FailedTrialError: if it is too large.
        """
        import keras

        self.hp.on_new = None  # all that it asks for can join at once
        model = self.tuner.build_model(self.hp)
        self.hp.on_new = self._check_new
        self._check_new()
        if not isinstance(model, keras.Model):
            raise FatalTypeError(
                f"build(hp) returned a {type(model).__name__}, but must return a keras.Model"
            )
        most = self.settings.max_model_size
        if most is not None and model.built and model.count_params() > most:
            raise FailedTrialError(
                f"the model has {model.count_params():,} parameters, more than max_model_size, "
                f"{most:,}"
            )
        return model

    def train(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Train as ``run_trial`` does if the program has none of its own."""
        call = read_call(args, kwargs)
        if has_own_fit(self.tuner.hypermodel):
            if only_passes_on(self.tuner.hypermodel):
                return self._train_passing_on(args, kwargs)
            return self._train_with_keras(args, kwargs)
        if not call.can_be_compiled:
            return self._train_with_keras((), {**call.given, "verbose": 0})
        return self._train_with_engine(call)

    def note(self, metrics: Mapping[str, Any]) -> None:
        """Note metrics that a program reports to its oracle."""
        self.updates |= {name: float(value) for name, value in metrics.items()}

    def _try(self, given: Given) -> Any:
        """Call ``run_trial``; after an exception again, as often as is allowed."""
        for left in range(self.settings.retries, -1, -1):
            self.recordings = []
            now = given.unpacked()
            try:
                return self.tuner.run_trial(self.trial, *now.args, **now.kwargs)
            except FINAL:
                raise
            except Exception as error:
                if not left:
                    raise
                logger.warning(f"trial {self.trial.trial_id}: {error}; it is tried again")
        return None

    def _train_passing_on(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Let the program's ``fit`` call ``model.fit``, which is the engine's if that can be.

        All executions are trained in this one call.
        """
        model = self.build()

        def fit(*given: Any, **named: Any) -> Any:
            self._check_new()
            call = read_call(given, named)
            if not call.can_be_compiled:
                raise _NotCompiledError
            return self._train_with_engine(call)

        object.__setattr__(model, "fit", fit)
        own = {**kwargs, "callbacks": copy.deepcopy(list(kwargs.get("callbacks") or ()))}
        try:
            return self.tuner.fit_model(self.hp, model, *args, **own)
        except _NotCompiledError:
            return self._train_with_keras(args, kwargs)

    def _train_with_engine(self, call: Fit) -> Any:
        from trainables.fitting import fit

        sets, given = call.sets(), call.given
        sets.replicas = make_replicas(self.settings, sets, self._seed, self._fold)
        self._is_reported, self._epochs = True, call.epochs
        model = fit(
            lambda _: self.build(),
            {**self._constants, "max_epochs": call.epochs, "batch_size": self._batch(given)},
            sets,
            class_weight=given.get("class_weight"),
            callbacks=given.get("callbacks", ()),
        )
        return model.history

    def _train_with_keras(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if self.settings.folds is not None:
            raise FatalRuntimeError(
                "cv needs arrays and HyperModel's own fit; with fit or run_trial of your own, "
                "make the folds there"
            )
        executions = range(self._executions)
        returned = [self._execute(number, args, kwargs) for number in executions]
        return returned[0] if len(returned) == 1 else returned

    def _execute(self, number: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Build and train one model as Keras does, recorded."""
        import keras

        from trainables.fitting.callbacks import files_uploaded, folder_for_files
        from trainables.fitting.session import Session

        is_single = self._executions == 1
        session = Session(self._constants) if is_single else None
        recording = Recording(self.settings.objective, session)
        self.recordings.append(recording)
        keras.utils.set_random_seed(derive(self._seed, f"execution {number}") % 2**31)
        model = self.build()
        if session is not None:
            session.path = "model.fit: the program's own training"
            session.parameters = int(model.count_params()) if model.built else None
        recording.resume(model)
        own = copy.deepcopy(list(kwargs.get("callbacks") or ()))
        kwargs = {**kwargs, "callbacks": [*own, make_callback(recording, self._check_new)]}
        if recording.epoch:
            kwargs["initial_epoch"] = recording.epoch
        if "verbose" in kwargs:
            kwargs["verbose"] = 0
        part = "" if is_single else f"replica-{number + 1}"
        with files_uploaded([own]), folder_for_files(own, part):
            return self.tuner.fit_model(self.hp, model, *args, **kwargs)

    def _report(self, returned: Any) -> None:
        """Report what was not reported while the program trained.

        Raises:
            FatalTypeError: if the program returned nothing that says how good the trial is.
        """
        executions = as_executions(returned)
        histories = all(is_history(each) for each in executions)
        if self._is_reported and (histories or returned is None):
            return
        if returned is None and self.updates:
            executions = [self.updates]
        recorded = self.recordings[0] if len(self.recordings) == 1 else None
        objective = self.settings.objective
        if recorded is not None and histories and recorded.is_reported:
            recorded.send()
            return
        rows = in_step([rows_of(each, objective) for each in executions], objective)
        self._send(rows, recorded)

    def _send(self, rows: list[dict[str, Any]], recorded: Recording | None) -> None:
        """Report epochs; the weights are those that were recorded last.

        What a program returns as a number stands for the whole training: the epochs that were
        recorded keep their other metrics.
        """
        from trainables.fitting.session import Session

        name = self.settings.objective.name
        if recorded is not None and len(rows) < len(recorded.rows):
            before = [{k: v for k, v in row.items() if k != name} for row in recorded.rows]
            rows = [*before[:-1], {**before[-1], **rows[-1]}]
        has_state = recorded is not None and recorded.has_state
        session = Session({**self._constants, "saves_all": has_state})
        session.path = "model.fit: the program's own training"
        for epoch, row in enumerate(rows, 1 + self._epochs):
            session.note({"seconds": 0.0, **row, "epoch": epoch})
        if not session.in_tune:
            return
        if recorded is not None and has_state:
            score = self.settings.objective.goal.loss(rows[-1].get(name, math.nan))
            session.send(score, recorded.save)
        else:
            session.send(math.nan, None)

    @property
    def _constants(self) -> dict[str, Any]:
        """The settings of a fit; hyperparameters are the program's matter."""
        names = ("seed", "metric", "mode", "rungs", "pauses", "max_epochs")
        found = {name: self.config[name] for name in names if name in self.config}
        return {**found, "saves_all": True}

    @property
    def _fold(self) -> int | None:
        """The number of a finalist's score, each of which is one fit; None in the search."""
        return self.config.get("finalist_batch")

    @property
    def _executions(self) -> int:
        return self.settings.executions if self._fold is None else 1

    @property
    def _seed(self) -> int:
        return int(self.config.get("seed", 0))

    def _batch(self, given: Mapping[str, Any]) -> int:
        return int(given.get("batch_size", 32))

    def _check_new(self) -> None:
        """End the run if the program has asked for hyperparameters that the space does not have.

        Raises:
            FatalRuntimeError: if it may not.
            NewHyperparametersError: to let them join.
        """
        added = self.hp.added
        if not added:
            return
        if not self.settings.allows_new:
            raise FatalRuntimeError(
                f"allow_new_entries is False, but the program asks for {added[0].name!r}, which "
                "hyperparameters does not have"
            )
        if self.settings.tunes_new:
            raise NewHyperparametersError(describe(each) for each in added)


class WatchedHyperParameters(HyperParameters):
    """Hyperparameters that say at once when a program asks for one that is new.

    Attributes:
        on_new: called then.
    """

    on_new: Callable[[], None] | None = None

    def _ask(self, make: Any, name: str, *facts: object) -> Any:
        value = super()._ask(make, name, *facts)
        if self._added and self.on_new is not None:
            self.on_new()
        return value


def watched(hp: HyperParameters) -> WatchedHyperParameters:
    """Return the same hyperparameters, watched."""
    found = WatchedHyperParameters()
    vars(found).update(vars(hp))
    return found


class _NotCompiledError(BaseException):
    """The arguments of ``model.fit`` need Keras' own; no program catches it."""


def only_passes_on(model: Any) -> bool:
    """Return whether a program's ``fit`` uses its model for ``model.fit`` alone.

    Else it may read the model afterwards, which the engine leaves at its best epoch.
    """
    names = names_in_fit(model)
    return names & METHODS == {"fit"} and "GradientTape" not in names


def make_replicas(
    settings: Settings, sets: Any, seed: int, final: int | None = None
) -> Sequence[Any]:
    """Return the executions of a configuration, each on every fold if there are folds.

    In the finals it is one, the number ``final``, on one fold of fresh ones.

    Raises:
        JobError: if there are folds and validation rows.
    """
    from trainables.fitting.task import Replica

    executions = settings.executions if final is None else 1
    seeds = [seed, *(derive(seed, f"execution {n}") for n in range(1, executions))]
    replicas = [Replica(each) for each in seeds]
    if settings.folds is None:
        return replicas
    if sets.x_validation is not None:
        raise JobError("search: cv makes validation rows itself; leave out validation_data")
    sets.x_validation, sets.y_validation = sets.x_train, sets.y_train
    repeat, place = divmod(final or 0, settings.folds)
    own = settings.seed if final is None else derive(settings.seed, f"finals {repeat}")
    folds = _cut_folds(sets.y_train, settings.folds, own)
    if final is not None:
        folds = folds[place : place + 1]
    return [
        replace(replica, seed=derive(replica.seed, f"fold {n}"), train=train, validation=held)
        for replica in replicas
        for n, (train, held) in enumerate(folds)
    ]


def _cut_folds(y: Any, count: int, seed: int) -> list[Any]:
    """Return training and validation rows of each fold, stratified by class."""
    import numpy as np
    from sklearn.model_selection import KFold, StratifiedKFold

    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] > 1 and set(np.unique(labels)) <= {0, 1}:
        labels = labels.argmax(axis=1)
    is_class = labels.size == len(labels) and np.all(labels == np.round(labels))
    kind = StratifiedKFold if is_class else KFold
    labels = labels.reshape(len(labels), -1)[:, 0]
    if is_class and min(np.unique(labels, return_counts=True)[1]) < count:
        kind = KFold
    return list(kind(count, shuffle=True, random_state=seed % 2**32).split(labels, labels))


def _values_in(config: Mapping[str, Any], space: HyperParameters) -> dict[str, Any]:
    """Return the values of hyperparameters in a config, without the constants beside them."""
    own = {name: part for name, part in config.items() if name not in RESERVED}
    known = {each.name for each in space.space}
    return {name: value for name, value in values_of(own).items() if name in known}


def _own_id() -> str:
    """Return the id of the trial that this process runs."""
    from ray import tune

    from trainables.fitting.session import is_in_session

    return str(tune.get_context().get_trial_id()) if is_in_session() else trial_id(0)
