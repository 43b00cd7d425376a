"""Bayesian optimisation: where a Gaussian process expects the largest improvement."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from tune_jobs.engine.search.candidates import branch_to_visit, climb, prefer
from tune_jobs.engine.search.gaussian.curve_process import CurveProcess, Numbers, Points
from tune_jobs.engine.search.gaussian.hindsight import share_that_came
from tune_jobs.engine.search.gaussian.points import at_end, join, observe
from tune_jobs.engine.search.gaussian.refit import Fit, last_refit
from tune_jobs.engine.search.gaussian.success import estimate_success, penalise
from tune_jobs.engine.search.knowledge import Knowledge, Proposal
from tune_jobs.engine.space.coordinates import Rows

# The best configs near which candidates lie.
BEST = 5


@contextmanager
def in_one_thread() -> Iterator[None]:
    """Let a block, or a function, do linear algebra in one thread.

    The matrices are small and other cores are busy: several threads would wait for each other, 15 s
    in place of 0.2.
    """
    with threadpool_limits(1):
        yield


@dataclass
class CurveModel:
    """Chooses by expected improvement of the loss at the last epoch, and the chance to succeed.

    The improvement is on the lowest loss that the process predicts for the end of a known config,
    whether that ended there or was stopped, without what its trial had of luck.

    Parameters are fitted when the number of ended trials reaches 2, 3, 4 ... 9, 11, 13 ..., to that
    number of the first configs. So they follow from what is known: with one worker, a continued
    search has the parameters of one that was never interrupted; with more, a curve that was still
    growing at the last fit can be longer now. A process is conditioned on 350 points of 250 configs
    at most, which bounds the cost of a suggestion whatever the number of trials.
    """

    losses: Fit = field(default_factory=Fit)
    labels: Fit = field(default_factory=Fit)

    @in_one_thread()
    def choose(self, knowledge: Knowledge, random: np.random.Generator) -> Proposal | None:
        """Return the candidate with the largest expected improvement; None if all are known."""
        embedding = knowledge.embedding
        points, losses, process = self.condition(knowledge)
        means, _ = process.predict(at_end(embedding, knowledge.rows, first=-1))
        if len(knowledge.pending):
            pending = at_end(embedding, knowledge.pending, first=len(means))
            expected, _ = process.predict(pending)
            points, losses = join(points, pending), np.concatenate([losses, expected])
            process = CurveProcess(points, losses, self._parameters(knowledge))
        log_chance = estimate_success(embedding, knowledge, self.labels)

        def improvement(rows: Rows) -> Numbers:
            ends = at_end(embedding, rows, first=-1)
            mean, variance = process.predict(ends)
            found = log_expected_improvement(mean, np.sqrt(variance), float(means.min()))
            return found + penalise(log_chance(ends))

        branch = branch_to_visit(knowledge, random) if knowledge.max_epochs > 1 else None
        good = prefer(knowledge.rows[np.argsort(means, kind="stable")], branch)[:BEST]
        row = climb(knowledge, improvement, good, random, branch)
        return None if row is None else Proposal(row, "gp")

    def condition(self, knowledge: Knowledge) -> tuple[Points, Numbers, CurveProcess]:
        """Return the points of all curves, their scaled losses, and the process that knows them."""
        embedding = knowledge.embedding
        points, losses = observe(embedding, knowledge, knowledge.scored)
        return points, losses, CurveProcess(points, losses, self._parameters(knowledge))

    def _parameters(self, knowledge: Knowledge) -> Numbers:
        """Return the parameters fitted to the trials that there were at the last refit."""
        embedding = knowledge.embedding
        ended = sum(each.state == "ended" for each in knowledge.scored)
        count = last_refit(max(ended, 2))
        return self.losses.to(
            count, lambda first: observe(embedding, knowledge, knowledge.scored[:first])
        )


def log_expected_improvement(mean: Numbers, deviation: Numbers, best: float) -> Numbers:
    """Return the logarithm of the expected improvement on the best loss (Ament et al. 2023)."""
    z = (best - mean) / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    near = np.log(np.maximum(z * ndtr(z) + density, 1e-300))
    far = -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - 2 * np.log(np.maximum(-z, 1))
    found: Numbers = np.where(z > -5, near, far) + np.log(deviation)
    return found


@dataclass(frozen=True)
class Belief:
    """The beliefs of the process about losses at the last epoch, on its own scale.

    Attributes:
        mean: of the losses of some rows.
        covariance: of the same, without what a trial adds to its config.
        noise: the variance of trials of one config.
        lengths: of the columns; a short one matters much.
        ends: the scaled losses at which the known configs ended, by their losses.
        came: the improvements that came as a share of those that the process expected.
    """

    mean: Numbers
    covariance: Numbers
    noise: float
    lengths: Numbers
    ends: tuple[Numbers, Numbers]
    came: float


@in_one_thread()
def expect_ends(model: CurveModel, knowledge: Knowledge) -> Numbers:
    """Return the loss at the last epoch that is expected of each scored trial, on an own scale."""
    embedding, (_, _, process) = knowledge.embedding, model.condition(knowledge)
    return process.predict(at_end(embedding, knowledge.rows))[0]


@in_one_thread()
def believe(model: CurveModel, knowledge: Knowledge, rows: Rows) -> Belief:
    """Return what a process that knows all curves believes of rows."""
    embedding = knowledge.embedding
    points, losses, process = model.condition(knowledge)
    fresh = at_end(embedding, rows, first=len(knowledge.scored))
    mean, covariance = process.predict_jointly(fresh)
    last = np.flatnonzero(np.diff(points.trials, append=-1))
    tried = [knowledge.scored[trial] for trial in points.trials[last]]
    ends = np.array([each.curve[-1][1] for each in tried])
    as_ended = at_end(embedding, knowledge.stack(tried), first=len(knowledge.scored))
    has_ended = np.array([each.state == "ended" for each in tried])
    return Belief(
        mean=mean,
        covariance=covariance - process.own * np.eye(len(mean)),
        noise=process.own + process.noise,
        lengths=np.exp(model._parameters(knowledge)[embedding.columns]),
        ends=(ends, losses[last]),
        came=share_that_came(process, points, losses, as_ended, has_ended),
    )
