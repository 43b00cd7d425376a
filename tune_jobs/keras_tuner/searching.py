"""Run the search of a tuner: a job of the engine, in the project's folder."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trainables.datasets import DatasetError, pack
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.failures import cause
from tune_jobs.engine.experiments.history.records import Event, Listener, TrialEnd
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.runs.run import run
from tune_jobs.engine.space.domains import Space, walk
from tune_jobs.engine.views.live import choose_view
from tune_jobs.keras_tuner.conversion import to_space
from tune_jobs.keras_tuner.declarations import Declaration, Value, read_described
from tune_jobs.keras_tuner.errors import (
    ConsecutiveFailuresError,
    declared_in,
    fatal_in,
)
from tune_jobs.keras_tuner.hypermodel import has_own_fit
from tune_jobs.keras_tuner.probing.ask_fit import ask_fit
from tune_jobs.keras_tuner.probing.ask_metrics import check_reported
from tune_jobs.keras_tuner.summaries import find_constant
from tune_jobs.keras_tuner.worker.arguments import (
    Fit,
    check_call,
    example_of,
    list_warnings,
    read_call,
    with_epochs,
)
from tune_jobs.keras_tuner.worker.training import Given, Settings, make_trainable

if TYPE_CHECKING:
    from tune_jobs.keras_tuner.oracle import Plan
    from tune_jobs.keras_tuner.project import Project
    from tune_jobs.keras_tuner.worker.program import Program

logger = logging.getLogger(__name__)

# How often hyperparameters may show up that probing has not found.
MOST_GROWTHS = 100

# The longest silence of a program that reports only at its end, in minutes.
LONGEST_SILENCE = 7 * 24 * 60.0

# What a program declares in vain unless it trains in a way of its own.
OF_FIT = ("batch_size", "epochs")


class Search:
    """The searches of a tuner, all of which write to its project.

    Attributes:
        example: rows that a model is called with to be built, None before the first search.
    """

    def __init__(self, tuner: Program, project: Project) -> None:
        self._tuner, self._project = tuner, project
        self.example: Any = None

    def run(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Search with the arguments of ``model.fit``.

        Raises:
            JobError: for a mistake in the arguments or in the program.
            FatalError: if the program raises one.
            KeyboardInterrupt: if a signal has ended it.
            RuntimeError: if one trial after another fails.
        """
        most = getattr(self._tuner.oracle, "max_epochs", None)
        if most is not None:
            args, kwargs = with_epochs(args, kwargs, most)
        fit = read_call(args, kwargs)
        check_call(fit, is_free=self._tuner.is_free)
        self._check_objective(fit)
        for warning in (*list_warnings(fit), *self._list_unused()):
            logger.warning(warning)
        self.example = example_of(fit)
        self._ask_fit(args, kwargs)
        given = _pack(args, kwargs, fit)
        with ExitStack() as stack:
            self._run(given, fit, stack)
        self._check_end()

    def _run(self, given: Given, fit: Fit, stack: ExitStack) -> None:
        """Run the engine; if hyperparameters show up that are new, let them join and continue."""
        defaults: dict[str, object] = {}
        for _ in range(MOST_GROWTHS):
            try:
                job = self._make_job(given, fit)
                _keep_ray(stack, self._profile, job)
                run(
                    job,
                    profile=self._profile,
                    name=self._project.name,
                    resume=True,
                    allow_changed=True,
                    defaults=defaults,
                    warm_start=self._project.list_sources(job),
                    listeners=self._listeners(job, fit),
                )
            except JobError as error:
                defaults |= self._grow(error)
            else:
                return
        raise JobError(
            f"the program has asked for new hyperparameters {MOST_GROWTHS} times; their names have "
            "to be the same in all trials"
        )

    def _make_job(self, given: Given, fit: Fit) -> Job:
        tuner, oracle = self._tuner, self._tuner.oracle
        space = to_space(oracle.hyperparameters, values=oracle.values_of_ranges)
        plan: Plan = oracle.plan(space)
        settings = Settings(
            space=oracle.hyperparameters,
            objective=oracle.objective,
            executions=tuner.executions_per_trial,
            retries=oracle.max_retries_per_trial,
            folds=tuner.cv,
            seed=oracle.seed or 0,
            max_model_size=tuner.max_model_size,
            allows_new=oracle.allow_new_entries,
            tunes_new=oracle.tune_new_entries,
        )
        return Job(
            trainable=make_trainable(tuner, settings, _module_of(tuner.program)),
            space=space,
            metric=oracle.objective.name,
            mode=oracle.objective.direction,
            data=lambda seed: given,  # noqa: ARG005
            searcher=plan.searcher,
            scheduler=plan.scheduler,
            finalists=tuner.finalists,
            num_samples=plan.trials,
            max_epochs=plan.max_epochs or fit.epochs,
            seed=oracle.seed or 0,
        )

    @property
    def _profile(self) -> Profile:
        """The machines; a program that reports only at its end may be silent for long."""
        profile = self._project.profile
        return replace(profile, max_silence_minutes=LONGEST_SILENCE) if self._is_free else profile

    @property
    def _is_free(self) -> bool:
        return self._tuner.is_free

    def _listeners(self, job: Job, fit: Fit) -> list[Listener]:
        """Return a view, unless the program wants to be quiet, and what counts failures."""
        most = self._tuner.oracle.max_consecutive_failed_trials
        views = [] if fit.given.get("verbose") == 0 else [_view_of(job)]
        return views if most is None else [*views, FailureCount(most)]

    def _grow(self, error: JobError) -> dict[str, object]:
        """Let hyperparameters join the space that a worker has met; return their defaults.

        Raises:
            JobError: if the run has ended for another reason.
            FatalError: if the program has raised it.
        """
        if (fatal := fatal_in(error)) is not None:
            raise fatal from error
        declared = declared_in(error)
        if declared is None:
            raise error
        added = [read_described(each) for each in declared]
        oracle = self._tuner.oracle
        oracle.hyperparameters = oracle.hyperparameters.joined(added)
        oracle.joined |= {each.name: each.default for each in added}
        logger.warning(
            f"the program asks for {', '.join(repr(each.name) for each in added)}, which probing "
            "has not found; from now on the space has it, and the search continues"
        )
        space = to_space(oracle.hyperparameters, values=oracle.values_of_ranges)
        return dict(_defaults_in(space, added))

    def _ask_fit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Let hyperparameters join the space that a program's ``fit`` asks for before it trains."""
        tuner, oracle = self._tuner, self._tuner.oracle
        if tuner.runs_own_trials or not has_own_fit(tuner.hypermodel):
            return
        if oracle.allow_new_entries and oracle.tune_new_entries:
            added = ask_fit(tuner, oracle.hyperparameters, args, kwargs)
            if added:
                oracle.hyperparameters = oracle.hyperparameters.joined(added)

    def _check_objective(self, fit: Fit) -> None:
        oracle = self._tuner.oracle
        if self._is_free:
            return
        if oracle.objective.is_default:
            raise JobError(
                "the objective is missing; name a metric, such as 'val_loss', or return a number "
                "from HyperModel.fit"
            )
        check_reported(self._tuner, oracle.hyperparameters, oracle.objective, fit)

    def _list_unused(self) -> list[str]:
        """Return a warning for each hyperparameter that nothing reads."""
        if self._tuner.is_free:
            return []
        hp = self._tuner.oracle.hyperparameters
        found = [
            f"hyperparameter {each.name!r} has no effect: search trains with its own {each.name}; "
            f"define HyperModel.fit, and pass {each.name}=hp.get({each.name!r}) to model.fit there"
            for each in hp.space
            if each.name in OF_FIT
        ]
        found += [
            f"hyperparameter {name!r} has no effect: the model that build returns is the same with "
            "all its values"
            for name in hp.unread
            if name not in OF_FIT
        ]
        return found

    def _check_end(self) -> None:
        """Raise what ended the search; warn if its objective has told it nothing.

        Raises:
            KeyboardInterrupt: if a signal has ended it.
            RuntimeError: if all trials failed alike.
        """
        summary = self._project.experiment.summary
        if summary is not None and summary.outcome == "interrupted":
            raise KeyboardInterrupt(
                f"{self._project.name} was interrupted; search again to continue"
            )
        if summary is not None and summary.outcome == "same error":
            raise ConsecutiveFailuresError(
                f"the search has ended, since its trials fail alike: {cause(summary.error or '')}"
            )
        oracle = self._tuner.oracle
        if warning := find_constant(oracle.trials.values(), oracle.objective.name):
            logger.warning(warning)


class FailureCount:
    """Ends the search when too many trials in a row have failed.

    Args:
        most: how many may.
    """

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0
        self._last = ""

    def __call__(self, event: Event | None) -> None:
        """Count a trial that has ended; end the search between two events of trials.

        Tune takes what is raised at an event of a trial for the failure of that trial.

        Raises:
            ConsecutiveFailuresError: if as many have failed as may.
        """
        if event is None and self._count >= self._most:
            raise ConsecutiveFailuresError(
                f"{self._count} trials in a row have failed, and max_consecutive_failed_trials is "
                f"{self._most}; the last: {self._last}"
            )
        if isinstance(event, TrialEnd) and event.state != "unfinished":
            is_failure = event.state == "failed" and event.failure != "divergence"
            self._count = self._count + 1 if is_failure else 0
            self._last = cause(event.error or "")


def _defaults_in(space: Space, added: Sequence[Declaration]) -> Iterator[tuple[str, Value]]:
    """Yield the defaults of hyperparameters by all dotted names that they have in a space."""
    for label, _ in walk(space):
        for each in added:
            if label == each.name or label.endswith(f".{each.name}"):
                yield label, each.default


def _view_of(job: Job) -> Listener:
    return choose_view(job.num_trials, job.max_epochs, job.goal)


def _pack(args: Sequence[Any], kwargs: Mapping[str, Any], fit: Fit) -> Given:
    """Return the arguments as they travel to the workers.

    Raises:
        JobError: if a dataset can be neither sent nor read.
    """
    steps, held = fit.given.get("steps_per_epoch"), fit.given.get("validation_steps")
    try:
        kwargs = {
            name: pack(each, steps=held if name == "validation_data" else steps, name=name)
            for name, each in kwargs.items()
        }
        return Given(tuple(pack(each, steps=steps) for each in args), kwargs)
    except DatasetError as error:
        raise JobError(f"search: {error}") from None


def _module_of(program: Any) -> str:
    """Return the name of the module that a program is written in."""
    found = getattr(program, "__module__", None) or type(program).__module__
    module = inspect.getmodule(program)
    return str(module.__name__ if module is not None else found)


def _keep_ray(stack: ExitStack, profile: Profile, job: Job) -> None:
    """Start Ray, if it is not running yet, and keep it and its workers for later searches."""
    from tune_jobs.engine.cluster.connection import ray_of
    from tune_jobs.engine.runs.start_ray import find_preload, import_roots

    stack.enter_context(ray_of(profile, import_roots(job), find_preload(job), is_kept=True))
