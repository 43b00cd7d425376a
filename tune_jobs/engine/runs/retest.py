"""Retest a config in use: is it still the best one on today's data?

A retest is an ordinary run of the job on today's data, with a small search. Its first configs are
the incumbent, its neighbours, the best of the earlier search and some at random: the searcher
learns from their scores of today, since earlier scores are of other data. In the finals the best of
them challenge the incumbent on the same fresh seeds and folds; then comes the answer
(:mod:`~tune_jobs.engine.runs.retest_answers`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tune_jobs.engine.analysis.estimates import LEVEL
from tune_jobs.engine.deadline import deadline_after
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import RETEST
from tune_jobs.engine.experiments.lease import leased
from tune_jobs.engine.finals.candidates import choose_candidates
from tune_jobs.engine.job.changes import DECISIVE, differing
from tune_jobs.engine.job.describing import describe_settings
from tune_jobs.engine.job.finalists import Finalists
from tune_jobs.engine.job.job import Job
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.outcome import EXIT_CODES
from tune_jobs.engine.runs.retest_answers import (
    file_answer,
    find_incumbent,
    folder_of,
    is_answered,
    make_answer,
    read_answers,
)
from tune_jobs.engine.runs.run import run
from tune_jobs.engine.search.space_searcher import RandomDraws
from tune_jobs.engine.seeds import derive
from tune_jobs.engine.space.configs import Config
from tune_jobs.engine.space.membership import (
    NotInSpaceError,
    from_json,
    identity,
    members_from_json,
)
from tune_jobs.engine.space.neighbours import as_choices, neighbours
from tune_jobs.engine.storage.folder import Folder

logger = logging.getLogger(__name__)

SAMPLES = 20

# The shares of neighbours of the incumbent, of the best of the earlier search, and of random
# configs, in case the best are elsewhere now; the searcher suggests the rest.
NEIGHBOURS, EARLIER, RANDOM = 0.2, 0.2, 0.25

# Hours to wait for another process that answers the same retest.
PATIENCE = 1 / 120

# What a retest expects to be the same, unlike the data.
OF_THE_JOB = ("trainable", "source", "evaluation")

# Exit codes of runs that have an answer.
ANSWERED = (EXIT_CODES["complete"], EXIT_CODES["some trials failed"])


@dataclass(frozen=True)
class Challenge:
    """The settings of a retest.

    Attributes:
        samples: configs of the small search, including the incumbent.
        finalists: how many of them challenge it.
        scores: fresh scores of each that choose the challenger; as many again judge it.
        level: of the interval of the gain, which must lie above 0 for ``replace``.
        least_gain: how much better the challenger must be, in units of the metric.
        only_incumbent: whether to retest the incumbent alone: no search, no challenger.

    Raises:
        JobError: if a number is too small or too large.
    """

    samples: int = SAMPLES
    finalists: int = 4
    scores: int = 8
    level: float = LEVEL
    least_gain: float = 0.0
    only_incumbent: bool = False

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise JobError(f"num_samples is {self.samples}, but must be at least 2")
        self.as_finalists({})

    @property
    def trials(self) -> int:
        """The number of configs to search."""
        return 1 if self.only_incumbent else self.samples

    def as_finalists(self, incumbent: Config) -> Finalists:
        """Return the finals of the retest of an incumbent."""
        return Finalists(
            count=1 if self.only_incumbent else self.finalists,
            scores=self.scores,
            level=self.level,
            incumbent=incumbent,
            least_gain=self.least_gain,
        )


def retest(
    earlier: Experiment,
    job: Job,
    challenge: Challenge | None = None,
    *,
    profile: Profile | None = None,
    name: str | None = None,
    promote: bool = False,
    command: Mapping[str, Any] | None = None,
    **how: Any,
) -> Experiment:
    """Retest the config that an experiment chose, on the data of a job.

    Args:
        earlier: the experiment whose winner is in use, or whose challenger was promoted since.
        job: that experiment's job, with today's data.
        challenge: the settings of the retest.
        profile: where to run; the default is this machine and the folder ``results``.
        name: of the retest's experiment; the default is the earlier one's name and the time.
        promote: whether a challenger that replaces the incumbent is the incumbent of the next
            retest.
        command: the options of the command line, to repeat it.
        how: further arguments of :func:`~tune_jobs.engine.runs.run.run`, such as ``slot``.

    Returns:
        The retest's experiment. Its ``retest`` has the answer, None if the run was cut off before
        it; resume it then.

    Raises:
        JobError: as for a run; and if the experiment has no config, or another metric.
        TakenError: if another run continues the retest before it is answered.
    """
    challenge, profile = challenge or Challenge(), profile or Profile()
    for fact in ("metric", "mode"):
        before, now = getattr(earlier.description, fact), getattr(job.goal, fact)
        if before != now:
            raise JobError(
                f"{earlier.name} has {fact} {before!r}, but the job has {now!r}: "
                "they cannot be compared"
            )
    if promote and challenge.only_incumbent:
        raise JobError("--promote does not go with --only-incumbent, which trains no challenger")
    _say_changes(earlier, job)
    answers = folder_of(earlier, profile.storage)
    incumbent = find_incumbent(earlier, answers)
    template = name or f"{earlier.name}-retest-{'{slot}' if how.get('slot') else _now()}"
    found = run(
        retest_job(job, earlier, incumbent, challenge),
        profile=profile,
        name=template,
        command={**(command or {}), "retest_of": earlier.folder.uri},
        compared_with=earlier,
        **how,
    )
    with leased(found.folder, waits=True, deadline=deadline_after(PATIENCE)) as lease:
        held = replace(found, folder=found.folder.fenced(lease))
        if held.exit_code in ANSWERED:
            _answer(held, earlier, incumbent, answers, only_incumbent=challenge.only_incumbent)
        if answer := Experiment(found.folder).retest:
            file_answer(answer, answers.fenced(lease), promote=promote)
    return Experiment(found.folder, found.trusted)


def _say_changes(earlier: Experiment, job: Job) -> None:
    """Warn if the job's code or evaluation is not the one that the incumbent was chosen with."""
    changed = differing(earlier.description, describe_settings(job))
    named = [DECISIVE[name] for name in OF_THE_JOB if name in changed]
    if named:
        logger.warning(
            f"since {earlier.name}, {' and '.join(named)} changed, so its scores of then may "
            "differ for that reason alone; the retest trains all configurations with today's"
        )


def _answer(
    found: Experiment,
    earlier: Experiment,
    incumbent: Config,
    answers: Folder,
    *,
    only_incumbent: bool,
) -> None:
    """Write the answer of a retest that has ended, unless it has one."""
    verdict = found.verdict
    judged = verdict.challenge if verdict else None
    if verdict is None or judged is None or is_answered(found.retest, verdict, judged):
        return
    history = [each for each in read_answers(earlier, answers) if each.name != found.name]
    answer = make_answer(
        found,
        earlier,
        verdict,
        judged,
        incumbent,
        history=history,
        only_incumbent=only_incumbent,
    )
    found.write(RETEST, answer)


def retest_job(job: Job, earlier: Experiment, incumbent: Config, challenge: Challenge) -> Job:
    """Return the job of a retest: a small search that starts from configs known to be good."""
    space = as_choices(job.space)
    part = replace(job, space=space, num_samples=challenge.trials, stages=())
    part = replace(part, points_to_evaluate=(), finalists=challenge.as_finalists(incumbent))
    try:
        own = from_json(space, incumbent)
    except NotInSpaceError as reason:
        if challenge.only_incumbent:
            raise JobError(
                f"the incumbent does not fit the search space of the job: {reason}"
            ) from None
        return replace(part, points_to_evaluate=_points(part, earlier, None))
    part = replace(part, finalists=challenge.as_finalists(own))
    points = [own] if challenge.only_incumbent else _points(part, earlier, own)
    return replace(part, points_to_evaluate=points)


def _points(job: Job, earlier: Experiment, incumbent: Config | None) -> list[Config]:
    """Return the configs to try first, each once."""
    count, seed = job.num_samples, derive(job.seed, "retest")
    own = [] if incumbent is None else [incumbent]
    near = [
        neighbour
        for config in own
        for neighbour in neighbours(job.space, config, round(NEIGHBOURS * count), seed)
    ]
    best = [each.config for each in choose_candidates(earlier, job, round(EARLIER * count) + 1)]
    draws = RandomDraws(seed)
    draws.set_search_properties(job.metric, job.goal.mode, job.space)
    drawn = [draws.suggest("") for _ in range(round(RANDOM * count))]
    found = [*own, *near, *members_from_json(job.space, best), *drawn]
    return list({identity(config): config for config in found}.values())[:count]


def _now() -> str:
    return time.strftime("%Y%m%d-%H%M%S")
