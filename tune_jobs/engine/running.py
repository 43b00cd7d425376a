"""Run a job from beginning to end: search, best model, test score, summary."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.continuing import Continuation, check_name, look_back
from tune_jobs.engine.ending import Ending
from tune_jobs.engine.errors import JobError, StorageError, check_whole_number
from tune_jobs.engine.experiment import SUMMARY, Experiment
from tune_jobs.engine.failure import STORAGE_ERRORS
from tune_jobs.engine.history import compact
from tune_jobs.engine.job import Job
from tune_jobs.engine.lease import leased
from tune_jobs.engine.outcome import FINAL, Outcome, outcome_of
from tune_jobs.engine.profile import Profile, check_fits, environment, ray_of
from tune_jobs.engine.recorder import Listener
from tune_jobs.engine.segments import Record
from tune_jobs.engine.storage import Folder, reason_of
from tune_jobs.engine.usage import measure_usage
from tune_jobs.engine.workers import replaced_when_grown

if TYPE_CHECKING:
    from ray import tune

    from tune_jobs.engine.dataset import Dataset
    from tune_jobs.engine.deciding import Decision
    from tune_jobs.engine.tuner import Prepared

logger = logging.getLogger(__name__)

MakeTuner = Callable[[Profile, str], "tune.Tuner"]

# Ray's screen output, loggers and signal handling give way to the history and its listeners.
TUNE_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_COLOR_PREFIX": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
# Of the hours that a run may take, so much is the search's; the rest is kept for the finalists.
SEARCH_SHARE = 0.75

CHATTY = ("ray", "ray.tune", "hyperopt")


def run(
    job: Job | MakeTuner,
    *,
    profile: Profile | None = None,
    name: str | None = None,
    max_hours: float | None = None,
    resume: bool = False,
    extend: int = 0,
    warm_start: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
    allow_changed: bool = False,
    repeats: bool = False,
    command: Mapping[str, Any] | None = None,
    listeners: Sequence[Listener] | None = None,
    import_paths: Sequence[str] = (),
) -> Experiment:
    """Search, export the best model, score it once on the test part, and summarise.

    Args:
        job: what to search; or a function of profile and name that returns a ``ray.tune.Tuner``.
        profile: where; the default is this machine and the folder ``results``.
        name: the experiment's folder; the default is the trainable's name and the time.
        max_hours: after so long the search ends, and what it has found is kept.
        resume: go on with the experiment if it exists, else begin it.
        extend: run so many trials more than the experiment has.
        warm_start: results that the searcher learns from first: experiments, tables, KerasTuner
            projects, Optuna databases (:mod:`~tune_jobs.engine.warm_start`).
        defaults: values, by dotted name, of hyperparameters that earlier trials did not have.
        allow_changed: go on although data or code are others than before.
        repeats: train a config again that was trained.
        command: what was asked for, so that it can be asked for again.
        listeners: called with ``{"kind": "start"}``, with each record of the history as it is made,
            with None in between, and with ``{"kind": "finish"}``; the default is a live view.
        import_paths: folders that the workers import from, beside those of this process.

    Raises:
        JobError: for a mistake in job, profile or name, before anything is started; for one in the
            data, before a trial is; and at the first epoch for a metric that is not reported.
        StorageError: where the end cannot be written.
    """
    from tune_jobs.engine.deciding import decide
    from tune_jobs.engine.tuner import adopt, default_name, load_data, locate, prepare

    profile, began = profile or Profile(), time.time()
    check_whole_number("extend", extend, 0)
    how = Continuation(resume, extend, warm_start, defaults or {}, allow_changed, repeats)
    if max_hours is not None and not max_hours > 0:
        raise JobError(f"max_hours is {max_hours}, but must be above 0")
    if how.is_wanted and not isinstance(job, Job):
        raise JobError("a job that builds its own tuner cannot go on; use ray.tune.Tuner.restore")
    if listeners is None:
        listeners = _default_listeners(job)
    check_fits(profile)
    module = job.trainable.__module__ if isinstance(job, Job) else job.__module__
    folder = locate(profile, name or default_name(module))
    check_name(folder, how)
    # The data are read while Ray and its workers start.
    with (
        leased(folder) as lease,
        _quiet_tune(),
        ThreadPoolExecutor(1) as pool,
        ExitStack() as stack,
    ):
        check_name(folder, how)  # another run may have come and gone meanwhile
        reading = pool.submit(load_data, job) if isinstance(job, Job) else None
        stack.enter_context(ray_of(profile, import_paths, _find_preload(job)))
        dataset = reading.result() if reading else None
        _warn(job, dataset)
        if isinstance(job, Job):
            how = look_back(how, folder, job, profile, dataset)
            if how.is_done and Experiment(folder).summary.get("outcome") in FINAL:
                return Experiment(folder)
        for listen in listeners:
            listen(_start_record(folder, how))
        search_hours = max_hours
        if isinstance(job, Job):
            if job.finalists and max_hours is not None:
                search_hours = SEARCH_SHARE * max_hours
            prepared = prepare(job, profile, folder, dataset, listeners, search_hours, how, command)
        else:
            prepared = adopt(job, profile, folder, listeners, max_hours)

        def fit(tuner: Prepared) -> JobError | None:
            tuner.recorder.lease = lease
            return _fit(tuner)

        failure = None if how.is_done else fit(prepared)
        search = _close_search(prepared, failure, began)
        decision = None
        if isinstance(job, Job) and job.finalists and search.is_decidable:
            decision = decide(
                job,
                search.experiment,
                dataset,
                profile,
                fit,
                concurrency=prepared.concurrency,
                listeners=listeners,
                max_hours=None if max_hours is None else max_hours - (time.time() - began) / 3600,
            )
        return _finish(job, search, decision, dataset, profile, began)


@dataclass(frozen=True)
class _Search:
    """A search that has ended: what it found, and how."""

    experiment: Experiment
    prepared: Prepared
    outcome: Outcome
    ended: float

    @property
    def is_decidable(self) -> bool:
        """Whether finalists may be trained now."""
        return self.outcome in (*FINAL, "budget used") and not self.experiment.usable.empty


def _close_search(prepared: Prepared, failure: JobError | None, began: float) -> _Search:
    """Make files for people of what was found.

    Raises:
        JobError: the failure, once it is in the summary.
        StorageError: where nothing can be written.
    """
    experiment, ending = Experiment(prepared.folder), prepared.recorder.ending
    with _storage_errors(prepared):
        compact(prepared.folder)
        if failure:
            _write_summary(experiment, began, outcome="configuration error", error=str(failure))
            raise failure
        outcome = outcome_of(_failed(experiment), len(experiment.usable), ending.reached)
        return _Search(experiment, prepared, outcome, time.time())


def _finish(
    job: Job | MakeTuner,
    search: _Search,
    decision: Decision | None,
    dataset: Dataset | None,
    profile: Profile,
    began: float,
) -> Experiment:
    """Export the winner's model, and summarise."""
    prepared, decided = search.prepared, time.time()
    ending = prepared.recorder.ending
    with _storage_errors(prepared):
        found: dict[str, Any] = {"outcome": search.outcome, "attempt": prepared.recorder.attempt}
        if ending.detail:
            found["error"] = ending.detail
        if prepared.search and prepared.search.ended_because:
            found["ended_because"] = prepared.search.ended_because
        if decision is not None and decision.verdict is None:
            found |= {"outcome": decision.outcome or search.outcome, "no_winner": decision.reason}
        experiment = Experiment(prepared.folder)
        found |= _save_winner(job, experiment, decision, dataset, profile, found["outcome"])
        trials = experiment.trials[experiment.trials["ended"] >= began]
        finals = decided - search.ended
        usage = measure_usage(
            trials, prepared.concurrency, began + finals, search.ended + finals, time.time()
        )
        _write_summary(experiment, began, usage=usage, **found)
    return Experiment(prepared.folder)


@contextmanager
def _storage_errors(prepared: Prepared) -> Iterator[None]:
    """Turn what the file system refuses into a line that says how to go on.

    Raises:
        StorageError: for any other exception of the operating system.
    """
    try:
        yield
    except OSError as error:
        reason = prepared.recorder.ending.detail or reason_of(error)
        raise StorageError(
            f"storage failed, what was written before is kept: {reason}; "
            f"when there is room again, go on with --name {prepared.folder.name} --resume"
        ) from None


def _start_record(folder: Folder, how: Continuation) -> Record:
    """What a listener is told first, earlier trials included."""
    record: Record = {
        "kind": "start",
        "name": folder.name,
        "folder": folder.uri,
        "target": how.target,
        "told": len(how.told),
    }
    if not how.past.last:
        return record
    experiment = Experiment(folder)
    ended = [trial for trial in how.past.trials if trial.is_finished]
    states = experiment.trials.set_index("trial")["state"].loc[[t.number for t in ended]]
    record["states"] = dict(states.value_counts())
    if not experiment.usable.empty:
        record["best"] = experiment.best
    return record


def _find_preload(job: Job | MakeTuner) -> str | None:
    """The function ``preload`` beside a job's trainable, which workers call when they start."""
    module = sys.modules.get(job.trainable.__module__) if isinstance(job, Job) else None
    if module is None or module.__name__ == "__main__" or not hasattr(module, "preload"):
        return None
    return f"{module.__name__}.preload"


def _default_listeners(job: Job | MakeTuner) -> list[Listener]:
    from tune_jobs.engine.progress import choose_view

    if isinstance(job, Job):
        return [choose_view(job.num_trials, job.max_epochs, job.metric, job.mode)]
    return []


def _warn(job: Job | MakeTuner, dataset: Dataset | None) -> None:
    for warning in job.warnings if isinstance(job, Job) else ():
        logger.warning(warning)
    for warning in dataset.warnings if dataset else ():
        logger.warning(warning)


def _fit(prepared: Prepared) -> JobError | None:
    """Fit, and find the user's mistake, or full storage, in what Tune raises."""
    try:
        with (
            _ending_on_signal(prepared.recorder.ending),
            replaced_when_grown(),
            environment({"TUNE_MAX_PENDING_TRIALS_PG": str(prepared.concurrency)}),
        ):
            prepared.tuner.fit()
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, JobError):
            if isinstance(cause, OSError) and cause.errno in STORAGE_ERRORS:
                prepared.recorder.ending.fail_storage(reason_of(cause))
            cause = cause.__cause__ or cause.__context__
        if cause is None and prepared.recorder.ending.reached != "storage failed":
            raise
        return cause
    return None


def _save_winner(
    job: Job | MakeTuner,
    experiment: Experiment,
    decision: Decision | None,
    dataset: Dataset | None,
    profile: Profile,
    outcome: Outcome,
) -> dict[str, Any]:
    """Export the winner's model, unless there is none or somebody waits for the end of the run."""
    from tune_jobs.engine.deciding import make_model
    from tune_jobs.engine.winner import recipe_of, save_config, save_model

    if experiment.usable.empty:
        return {}
    save_config(experiment)
    found: dict[str, Any] = {"best": experiment.best}
    if outcome in ("interrupted", "storage failed"):
        return found | {"no_model": f"the outcome was {outcome!r}"}
    try:
        if isinstance(job, Job) and decision:
            made = make_model(job, experiment, decision, profile)
            if made:
                return found | made
        recipe = recipe_of(experiment)
    except JobError as reason:
        return found | {"no_model": str(reason)}
    try:
        return found | {"test": save_model(experiment, recipe, dataset, profile)}
    except JobError as reason:
        return found | {"outcome": "unexpected error", "no_model": str(reason)}


def _write_summary(experiment: Experiment, began: float, **found: Any) -> None:
    counts = {"trials": _states(experiment), "seconds": time.time() - began}
    experiment.folder.write_json(SUMMARY, found | counts)


def _states(experiment: Experiment) -> dict[str, int]:
    return dict(experiment.trials["state"].value_counts())


def _failed(experiment: Experiment) -> int:
    """How many trials failed; one that diverged did what it was asked to."""
    trials = experiment.trials
    return int(((trials["state"] == "failed") & (trials["failure"] != "divergence")).sum())


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Silence what Tune prints and logs, and leave settings and loggers as they were."""
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [chatty.level for chatty in loggers]
    for chatty in loggers:
        chatty.setLevel(logging.CRITICAL)
    try:
        with environment(TUNE_SETTINGS):
            yield
    finally:
        for chatty, level in zip(loggers, levels, strict=True):
            chatty.setLevel(level)


@contextmanager
def _ending_on_signal(ending: Ending) -> Iterator[None]:
    """End the run in good order at the first SIGINT or SIGTERM, at once at the second."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request(_number: int, _frame: Any) -> None:
        ending.requested = True
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()
