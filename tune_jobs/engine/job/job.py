"""A job: the declaration of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from tune_jobs.engine.data.given.recipe import as_recipe, read_data
from tune_jobs.engine.data.own_data import OwnData, ReadSets
from tune_jobs.engine.errors import JobError, check_whole_number, reason_of
from tune_jobs.engine.goal import COMMON, Goal, Mode, mode_of
from tune_jobs.engine.job.companions import beside
from tune_jobs.engine.job.finalists import Finalists
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.job.stage import Stage, check_stages
from tune_jobs.engine.names import nearest
from tune_jobs.engine.plain import whole
from tune_jobs.engine.search.schedulers import check_scheduler
from tune_jobs.engine.search.searchers import Auto, MakeSearcher, RandomSearch
from tune_jobs.engine.search.space_searcher import RandomDraws
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.checks import check_space
from tune_jobs.engine.space.configs import IN_STEP, Config
from tune_jobs.engine.space.domains import Space, has_domain, is_grid
from tune_jobs.engine.space.encoding import can_be_learnt, dimensions
from tune_jobs.engine.space.grid import count_points
from tune_jobs.engine.space.membership import (
    NO_DEFAULTS,
    Defaults,
    NotInSpaceError,
    from_json,
)

if TYPE_CHECKING:
    from ray import tune

    from tune_jobs.engine.data.dataset import Dataset
    from tune_jobs.engine.data.evaluation import Evaluation

MakeScheduler = Callable[[int], TrialScheduler]
MakeTuner = Callable[[Profile, str], "tune.Tuner"]

# What the job and its data say to a trainable, beside the hyperparameters.
RESERVED = frozenset(
    ["max_epochs", "epochs", "seed", "metric", "mode", "rungs", "pauses", "finalist_batch"]
    + [IN_STEP]
    + ["task", "input_shape", "outputs", "rows", "categories", "maximum"]
    + ["target_mean", "target_scale"]
)


@dataclass(frozen=True)
class Job:
    """A search: a space, the data, a metric and a budget.

    ``trainable(config, data)`` fits one configuration and reports every epoch. ``data`` is called
    with a seed and gives a :class:`~.data.dataset.Dataset`, or arrays that the trainable gets as
    they are (:class:`~.data.own_data.OwnData`); or it is data, of which such a recipe is made: a
    DataFrame with its ``target``, ``(X, y)``, ``tf.data`` datasets (:mod:`~.data.given.recipe`).
    Without it the trainable gets None. ``mode``, ``min`` or ``max``, is inferred from the metric
    unless given; ``goal`` has both. ``searcher``
    is called with a seed, ``scheduler`` with ``max_epochs``; both return
    Ray's own objects. ``evaluation`` makes each trial fit several replicas of its config, on folds
    or with several seeds. ``finalists`` says how the winner is chosen among the best trials; with
    None it is the best of the search, whose score is optimistic. ``points_to_evaluate`` are whole
    configs of the space, tried first. ``stages`` divide the search into a wide, cheap beginning and
    narrower, more expensive parts; they then say how many trials there are. With
    ``stop_when_done`` the search ends early once more trials are expected to improve the metric by
    less than its noise. All seeds derive from ``seed``.

    Raises:
        JobError: for a field that is not as it must be.
    """

    trainable: Callable[[Config, Any], Any]
    space: Space
    metric: str = "val_loss"
    mode: Mode | None = None
    data: Any = None
    searcher: MakeSearcher = field(default_factory=Auto)
    scheduler: MakeScheduler | None = None
    evaluation: Evaluation | None = None
    finalists: Finalists | None = field(default_factory=Finalists)
    num_samples: int = 10
    max_epochs: int = 10
    seed: int = 0
    points_to_evaluate: Sequence[Config] = ()
    stages: Sequence[Stage] = ()
    stop_when_done: bool = False
    target: InitVar[str | Sequence[str] | None] = None  # of data without one

    def __post_init__(self, target: str | Sequence[str] | None) -> None:
        object.__setattr__(self, "data", as_recipe(self.data, target))
        _check_fields(self)
        check_space(self.space)
        if taken := RESERVED & self.space.keys():
            raise JobError(
                f"the space must not define {min(taken)!r}: the job or the data sets its value"
            )
        searcher = self.make_searcher(self.seed)
        if not isinstance(searcher, Searcher):
            raise JobError(
                f"searcher(seed) returned a {type(searcher).__name__}, but must return a Ray Tune "
                "Searcher; for random and grid search use RandomSearch()"
            )
        if not isinstance(searcher, RandomDraws):
            dimensions(self.space)
        for index, point in enumerate(self.points_to_evaluate):
            try:
                from_json(self.space, point)
            except NotInSpaceError as reason:
                raise JobError(f"points_to_evaluate[{index}]: {reason}") from None
        if self.stop_when_done and not can_be_learnt(self.space):
            raise JobError(
                "stop_when_done does not apply: no model can learn the space, which has a grid, "
                "sample_from or no choices"
            )
        check_stages(self.stages, self.max_epochs)
        if self.scheduler is not None:
            for epochs in {stage.max_epochs for stage in self.stages} | {self.max_epochs}:
                check_scheduler(self.scheduler(epochs or self.max_epochs))

    def make_searcher(self, seed: int) -> Searcher:
        """Build the searcher of a run; ``Auto`` draws at random from a space no model can learn."""
        if isinstance(self.searcher, Auto) and not can_be_learnt(self.space):
            return RandomSearch()(seed)
        return self.searcher(seed)

    def tuner(self, profile: Profile | None = None, name: str | None = None) -> tune.Tuner:
        """Build a plain ``ray.tune.Tuner`` that writes its history to the profile's storage."""
        from tune_jobs.engine.trials.tuner import tuner_of  # the one import of a higher room

        return tuner_of(self, profile or Profile(), name)

    def load_data(self) -> Dataset | OwnData | None:
        """Read and split the data, with a seed derived from the job's, into folds if it has any.

        Raises:
            JobError: if they cannot be read, or an evaluation cannot be applied to them.
        """
        if self.data is None:
            return None
        seed = derive(self.seed, "split")
        if self.evaluation is None:
            return read_data(self.data, seed)
        found = read_data(self.evaluation.arrange(self.data), seed)
        if isinstance(found, OwnData):
            raise JobError(
                f"{self.evaluation!r} does not apply to arrays of one's own ({found}); remove it, "
                "or let data(seed) return a Dataset, as table(...) and images(...) do"
            )
        return self.evaluation.apply(found, self.seed)

    def constants(self, dataset: Dataset | None) -> Config:
        """Return what every config of the job holds in addition to its hyperparameters."""
        return {
            **(dataset.signature if dataset else {}),
            "max_epochs": self.max_epochs,
            "seed": derive(self.seed, "model"),
            "metric": self.metric,
            "mode": self.goal.mode,
            "rungs": self.rungs,
            **({"pauses": True} if self.pauses else {}),
        }

    def read_config(self, stored: Any, defaults: Defaults = NO_DEFAULTS) -> Config:
        """Return the config of the space that a history or another search has stored.

        A function ``migrate(config)`` beside the trainable turns a config of an earlier form of the
        space into one of the present form.

        Raises:
            NotInSpaceError: if it is not of the space.
            JobError: if ``migrate`` raises another exception.
        """
        if migrate := _migration_of(self.trainable):
            try:
                stored = migrate(stored)
            except JobError:
                raise
            except Exception as error:
                raise JobError(
                    f"migrate(config) raised {type(error).__name__}: {reason_of(error)}"
                ) from error
        config: Config = from_json(self.space, stored, defaults)
        return config

    @property
    def goal(self) -> Goal:
        """The metric, and whether it is minimised or maximised."""
        return Goal(self.metric, self.mode or self.usual_mode or "min")

    @property
    def usual_mode(self) -> Mode | None:
        """The mode that the metric's name says, None if it says none; of a scorer, "max"."""
        is_scored = self.evaluation is not None and self.metric in self.evaluation.metrics
        return "max" if is_scored else mode_of(self.metric)

    @property
    def pauses(self) -> bool:
        """True if the scheduler pauses trials and lets some of them continue."""
        return bool(getattr(self.scheduler, "resume", False))

    @property
    def rungs(self) -> list[int] | None:
        """The epochs at which the scheduler may stop trials, None if it may after any epoch."""
        if self.scheduler is None:
            return []
        rungs = getattr(self.scheduler, "rungs", None)
        return rungs(self.max_epochs) if rungs else None

    @property
    def num_trials(self) -> int:
        """The number of trials that the search will run."""
        samples = sum(stage.num_samples for stage in self.stages) or self.num_samples
        return samples * self.points

    @property
    def points(self) -> int:
        """The number of points that the grids of the space have, 1 without a grid."""
        return prod(count_points(part) for part in self.space.values() if is_grid(part))

    @property
    def warnings(self) -> list[str]:
        """Settings that are allowed but probably a mistake."""
        found = []
        scored = self.evaluation.metrics if self.evaluation else ()
        usual = self.usual_mode
        if usual and usual != self.goal.mode:
            better = "higher" if usual == "max" else "lower"
            often = "" if self.metric in scored else "usually "
            found.append(
                f"{better} is {often}better for metric {self.metric!r}, but mode is {self.mode!r}"
            )
        if scored and self.metric not in scored:
            found.append(
                f"the evaluation computes {', '.join(scored)}, but the metric is {self.metric}; to "
                f"optimise one of them, set metric={scored[0]!r}"
            )
        if not has_domain(self.space):
            found.append("the space has no choices: all trials are the same")
        return found


def _migration_of(trainable: Callable[..., Any]) -> Callable[[Any], Any] | None:
    own = getattr(trainable, "migrate", None)
    return own if callable(own) else beside(trainable, "migrate")


def _finalists_for(value: object) -> str:
    """Say how to write a number of finalists."""
    if type(value) is not int or value < 0:
        return ""
    return f"; write Finalists(count={value})" if value else "; None is no finals"


def _check_parts(job: Job) -> None:
    from tune_jobs.engine.data.evaluation import Evaluation

    parts = (("finalists", Finalists), ("evaluation", Evaluation))
    for name, kind in parts:
        value = getattr(job, name)
        if value is not None and not isinstance(value, kind):
            hint = _finalists_for(value) if kind is Finalists else ""
            raise JobError(f"{name} is {value!r}, but must be {kind.__name__}(...) or None{hint}")
    for name in ("stages", "points_to_evaluate"):
        if not isinstance(getattr(job, name), list | tuple):
            raise JobError(f"{name} is {getattr(job, name)!r}, but must be a list")
    for place, stage in enumerate(job.stages):
        if not isinstance(stage, Stage):
            raise JobError(f"stages[{place}] is {stage!r}, but must be Stage(...)")
    if not isinstance(job.stop_when_done, bool):
        raise JobError(f"stop_when_done is {job.stop_when_done!r}, but must be True or False")


def _check_fields(job: Job) -> None:
    for name, least in (("num_samples", 1), ("max_epochs", 1), ("seed", 0)):
        check_whole_number(name, getattr(job, name), least)
    if (
        isinstance(job.data, ReadSets)
        and not job.data.is_validated
        and job.metric.startswith("val_")
    ):
        raise JobError(
            f"metric is {job.metric!r}, but data has no validation set; give data=(train, "
            "validation), or another metric"
        )
    if job.evaluation is not None and job.data is None:
        raise JobError("the job has an evaluation but no data")
    if job.mode not in (None, "min", "max"):
        raise JobError(f"mode is {job.mode!r}, but must be 'min' or 'max'")
    if not isinstance(job.metric, str) or not job.metric:
        raise JobError(f"metric is {job.metric!r}, but must be the name of a reported metric")
    if whole(job.metric) != job.metric:
        raise JobError(f"metric is {job.metric!r}, but must be valid Unicode")
    for name in ("trainable", "searcher"):
        if not callable(getattr(job, name)):
            raise JobError(f"{name} is {getattr(job, name)!r}, but must be callable")
    if job.scheduler is not None and not callable(job.scheduler):
        raise JobError(f"scheduler is {job.scheduler!r}, but must be callable or None")
    _check_parts(job)
    if job.mode is None and job.usual_mode is None:
        known = nearest(job.metric, [f"val_{name}" for name in COMMON])
        raise JobError(
            f"metric {job.metric!r} does not say whether low or high values are good{known} "
            "Add mode='min' or mode='max'"
        )
