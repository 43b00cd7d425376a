"""A tree-structured Parzen estimator over whole configs (Bergstra et al. 2011, Watanabe 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tune_jobs.engine.search.candidates import branch_to_visit, has, prefer
from tune_jobs.engine.search.knowledge import Knowledge, Proposal
from tune_jobs.engine.search.parzen import Bandwidth, KernelDensity, Numbers
from tune_jobs.engine.space.coordinates import Condition, Rows

# No more configs than this are good.
MOST_GOOD = 25

# Of more others, so many are kept, from the best to the worst: the cost of a suggestion is bounded.
MOST_OTHERS = 1000

CANDIDATES = 64

# Further rounds of candidates, if too few of the first are new.
ROUNDS, ENOUGH = 5, 8

# Of a finite space with more untried points, so many are compared.
MOST_POINTS = 128

# The power of the chance to succeed with which a candidate's ratio is multiplied.
CAUTION = 3.0

# Kernels for smooth numbers, as wide as the distance to their neighbours.
NEIGHBOURS = Bandwidth(most=0.3)

# Kernels for choices, steps, branches and noisy ranks.
WIDE = Bandwidth(share=0.15)


@dataclass(frozen=True)
class JointTPE:
    """Chooses where the good configs are densest compared with the others.

    Attributes:
        gamma: the share of the configs that are good.
        bandwidth: of kernels over numbers; None for the one that suits the space.
    """

    gamma: float = 0.15
    bandwidth: Bandwidth | None = None

    def choose(self, knowledge: Knowledge, random: np.random.Generator) -> Proposal | None:
        """Return the candidate with the largest ratio of both densities; None if all are known."""
        branch = branch_to_visit(knowledge, random)
        bandwidth = self.bandwidth or suited_bandwidth(knowledge)
        best, others = self._split(knowledge, branch)
        good = KernelDensity(knowledge.coordinates, best, bandwidth)
        rest = KernelDensity(knowledge.coordinates, others, bandwidth)
        candidates = _candidates(knowledge, good, branch, random)
        if not len(candidates):
            return None
        ratio = good.log_density(candidates) - rest.log_density(candidates)
        value = ratio + CAUTION * log_success(knowledge, candidates)
        return Proposal(candidates[int(np.argmax(value))], "tpe")

    def _split(self, knowledge: Knowledge, branch: Condition | None) -> tuple[Rows, Rows]:
        """Return the good rows and all others, those that failed or are running among these.

        The best of a visited branch are good too, however they compare with other branches.
        """
        rows = knowledge.rows[np.argsort(knowledge.losses, kind="stable")]
        is_good = np.arange(len(rows)) < min(math.ceil(self.gamma * len(rows)), MOST_GOOD)
        if branch:
            inside = np.flatnonzero(has(rows, branch))
            is_good[inside[: math.ceil(self.gamma * len(inside))]] = True
        others = np.concatenate([_thin(rows[~is_good]), _thin(knowledge.failed), knowledge.pending])
        return rows[is_good], others


def _thin(rows: Rows) -> Rows:
    """Return rows that are evenly spread over many, in their order."""
    kept = np.linspace(0, len(rows) - 1, min(len(rows), MOST_OTHERS)).astype(int)
    return np.asarray(rows[kept])


def suited_bandwidth(knowledge: Knowledge) -> Bandwidth:
    """Return narrow kernels for smooth numbers that are compared at one epoch, else wide ones.

    A number with up to 100 values, a choice, and trials that ended at different epochs all make
    kernels wide: what is learned there is coarse, and narrow kernels take luck for structure.
    """
    is_smooth = all(column.values is None for column in knowledge.coordinates.columns)
    ends = {each.curve[-1][0] for each in knowledge.scored if each.state == "ended"}
    return NEIGHBOURS if is_smooth and len(ends) <= 1 else WIDE


def log_success(knowledge: Knowledge, rows: Rows) -> Numbers:
    """Return the logarithm of each row's chance to succeed, by the configs around it."""
    if not len(knowledge.failed):
        return np.zeros(len(rows))
    failed, scored = (
        KernelDensity(knowledge.coordinates, found, Bandwidth()).log_density(rows)
        + math.log(len(found) + 1)
        for found in (knowledge.failed, knowledge.rows)
    )
    return np.asarray(-np.logaddexp(0, failed - scored))


def _candidates(
    knowledge: Knowledge, good: KernelDensity, branch: Condition | None, random: np.random.Generator
) -> Rows:
    """Return untried rows near good ones, of the visited branch if it has any."""
    if knowledge.points is not None:
        return _draw_points(knowledge.untried(knowledge.points), good, branch, random)
    return prefer(_draw_rows(knowledge, good, branch, random), branch)


def _draw_points(
    left: Rows, good: KernelDensity, branch: Condition | None, random: np.random.Generator
) -> Rows:
    """Return all points that are left, or many of them if they are more than can be compared."""
    left = prefer(left, branch)
    if len(left) <= MOST_POINTS:
        return left
    logs = good.log_density(left)
    weights = np.exp(logs - logs.max()) + 1e-9
    drawn = random.choice(len(left), MOST_POINTS, replace=False, p=weights / weights.sum())
    return left[drawn]


def _draw_rows(
    knowledge: Knowledge, good: KernelDensity, branch: Condition | None, random: np.random.Generator
) -> Rows:
    """Draw untried rows near good ones, and from the whole space if few of those are new."""
    found = knowledge.untried(good.draw(CANDIDATES, random))
    for _ in range(ROUNDS):
        if np.sum(has(found, branch)) >= ENOUGH:
            break
        more = [good.draw(CANDIDATES, random), knowledge.coordinates.draw(CANDIDATES, random)]
        found = knowledge.untried(np.concatenate([found, *more]))
    return found
