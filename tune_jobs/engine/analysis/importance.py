"""Importance: how much of the differences between trials each hyperparameter explains.

With early stopping the completed trials are few and alike, so all trials are compared at the first
epoch that they have in common. Effects are effects on the metric at that epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.engine.analysis.factors import INACTIVE, Factor, find_factors
from tune_jobs.engine.analysis.interactions import FEWEST_TRIALS as FEWEST_TRIALS_OF_PAIRS
from tune_jobs.engine.analysis.interactions import measure_pair, pair_factors
from tune_jobs.engine.experiments.history.replicas import average_replicas
from tune_jobs.engine.goal import Goal

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

LEVEL = 0.05
FEWEST_TRIALS = 10
NEARLY_ALL = 0.95
# Over this many trials in a row a searcher that learns draws from about the same distribution.
STRETCH = 10
PERMUTATIONS, AT_ONCE = 2000, 250


@dataclass(frozen=True)
class Effect:
    """The effect of one hyperparameter.

    Attributes:
        name: its dotted name.
        share: the share of the variance that it explains, from 0 to 1.
        p_value: how often chance explains at least as much.
        is_noise: whether it is not significant.
    """

    name: str
    share: float
    p_value: float
    is_noise: bool


@dataclass(frozen=True)
class Importance:
    """The effects of all hyperparameters, the largest first.

    Attributes:
        about: what they are effects on, or why nothing can be said.
        epoch: the epoch at which the trials are compared, 0 if there is no such epoch.
        trials: how many trials are compared.
        effects: one for each hyperparameter that differs between at least 10 of them.
        interactions: one for each pair of the most important ones that all trials use, named
            ``one and other``: what both explain beyond the sum of what each does.
    """

    about: str
    epoch: int
    trials: int
    effects: tuple[Effect, ...]
    interactions: tuple[Effect, ...] = ()


def measure_importance(
    trials: pd.DataFrame,
    epochs: pd.DataFrame,
    *,
    goal: Goal,
    rungs: Sequence[int] | None,
) -> Importance:
    """Measure the effects of hyperparameters at the first epoch that the trials have in common.

    The values are replaced by the normal scores of their ranks, so that neither their scale nor a
    loss of 1e30 matters; a trial that diverged ranks last. The share is eta squared over at most 8
    groups, less its mean under permutation. Values are compared, and permuted, within stretches of
    10 trials, since a searcher that learns draws good values together with whatever else it draws
    at the time. Conditional hyperparameters are compared among the trials in which they are active
    and within one branch, so that they get nothing of their parent's effect; the share is of the
    variance of all trials. ``is_noise`` corrects the p-values for the number of hyperparameters by
    Holm's method: the probability that any hyperparameter without effect is called significant is
    at most 5 %.

    Args:
        trials: an experiment's: ``trial``, ``state`` and ``config.<name>``.
        epochs: an experiment's: ``trial``, ``replica``, ``epoch`` and the metric.
        goal: what was sought.
        rungs: the epochs at which trials were stopped early; the first counts. Without rungs it is
            the last epoch that at least 95 % of the trials with a value reached.
    """
    values, epoch = _values_in_common(trials, epochs, goal, rungs)
    about = _about(goal.words, epoch, len(values), len(trials))
    if len(values) < FEWEST_TRIALS:
        about = f"{about}: at least {FEWEST_TRIALS} are needed to measure effects"
        return Importance(about, epoch, len(values), ())
    if len(np.unique(values)) == 1:
        return Importance(f"{about}: all are equal", epoch, len(values), ())
    compared = trials.set_index("trial").loc[values.index]
    factors, scores = find_factors(compared), _normal_scores(values.to_numpy())
    effects = _effects(factors, scores)
    return Importance(about, epoch, len(values), effects, _interactions(factors, effects, scores))


def _about(metric: str, epoch: int, compared: int, count: int) -> str:
    if not epoch:
        return f"no trial has a {metric}"
    which = f"all {count}" if compared == count else f"{compared} of {count}"
    return f"{metric} after {epoch} epoch{'s' if epoch > 1 else ''}, {which} trials"


def _values_in_common(
    trials: pd.DataFrame,
    epochs: pd.DataFrame,
    goal: Goal,
    rungs: Sequence[int] | None,
) -> tuple[pd.Series, int]:
    """Return each trial's loss at the common epoch, smaller being better, and that epoch.

    A trial that completed earlier, since it ran out of patience, counts with its best value. One
    that diverged is infinitely bad.
    """
    import pandas as pd

    nothing = pd.Series(dtype=float), 0
    if goal.metric not in epochs.columns:
        return nothing
    curves = average_replicas(epochs, goal).sort_values(["trial", "epoch"])
    losses = curves[goal.metric].astype(float) * goal.sign
    curves["loss"] = losses.where(losses.abs() < math.inf, math.inf)
    states = trials.set_index("trial")["state"]
    curves = curves[curves["trial"].isin(states.index)]
    finite = curves[curves["loss"] < math.inf]
    if finite.empty:
        return nothing
    last = curves.groupby("trial").last()
    state = states.reindex(last.index)
    has_diverged = (state == "failed") & (last["loss"] == math.inf)
    ended = has_diverged | (state == "complete")
    reached = last["epoch"].where(~ended, math.inf)
    epoch = min(rungs) if rungs else _last_of_nearly_all(reached, finite["epoch"])
    until = curves[curves["epoch"] <= epoch]
    there = until[until["epoch"] == epoch].set_index("trial")["loss"]
    earlier = last[ended & (last["epoch"] < epoch)].index
    best = until.groupby("trial")["loss"].min().reindex(earlier)
    best = best.where(~has_diverged.reindex(earlier), math.inf)
    return pd.concat([there, best]).sort_index(), int(epoch)


def _last_of_nearly_all(reached: pd.Series, epochs: pd.Series) -> int:
    candidates = sorted(set(epochs), reverse=True)
    enough = (e for e in candidates if (reached >= e).mean() >= NEARLY_ALL)
    return int(next(enough, candidates[-1]))


def _interactions(
    factors: list[Factor], effects: Sequence[Effect], scores: Array
) -> tuple[Effect, ...]:
    """Measure what pairs of the most important factors explain together, by Holm's method too."""
    if len(scores) < FEWEST_TRIALS_OF_PAIRS:
        return ()
    order = [effect.name for effect in effects]
    known = sorted((f for f in factors if f.name in order), key=lambda f: order.index(f.name))
    stretches = _stretches(len(scores))
    tested = {
        f"{one.name} and {other.name}": measure_pair((one, other), scores, stretches)
        for one, other in pair_factors(known)
    }
    real = _holm({name: p_value for name, (_, p_value) in tested.items()})
    found = [Effect(name, share, p, name not in real) for name, (share, p) in tested.items()]
    return tuple(sorted(found, key=lambda e: (-e.share, e.p_value, e.name)))


def _effects(factors: list[Factor], scores: Array) -> tuple[Effect, ...]:
    whole = scores - _means(scores, _stretches(len(scores)))
    known = [f for f in factors if (f.groups != INACTIVE).sum() >= FEWEST_TRIALS]
    permutations = max(PERMUTATIONS, math.ceil(2 * len(known) / LEVEL))
    tested: dict[str, tuple[float, float]] = {}
    for alike in _measured_alike(known):
        measured = _test(alike, scores, float(whole @ whole), permutations)
        tested |= dict(zip((factor.name for factor in alike), measured, strict=True))
    real = _holm({name: p_value for name, (_, p_value) in tested.items()})
    effects = [Effect(name, share, p, name not in real) for name, (share, p) in tested.items()]
    return tuple(sorted(effects, key=lambda e: (-e.share, e.p_value, e.name)))


def _normal_scores(values: Array) -> Array:
    """Return the quantiles of the normal distribution at the ranks of the values."""
    import pandas as pd

    ranks = pd.Series(values).rank()
    return np.array([NormalDist().inv_cdf((rank - 0.5) / len(ranks)) for rank in ranks])


def _measured_alike(factors: list[Factor]) -> Iterator[list[Factor]]:
    """Yield the factors that are active in the same trials and have the same strata, together."""
    found: dict[bytes, list[Factor]] = {}
    for factor in factors:
        active = factor.groups != INACTIVE
        key = active.tobytes() + np.where(active, factor.strata, 0).tobytes()
        found.setdefault(key, []).append(factor)
    yield from found.values()


def _test(
    factors: list[Factor], scores: Array, whole: float, permutations: int
) -> list[tuple[float, float]]:
    """Return share and p-value of factors that are measured alike, by the same permutations."""
    active = factors[0].groups != INACTIVE
    stretches = _stretches(int(active.sum()))
    rest = scores[active] - _means(scores[active], factors[0].strata[active])
    rest -= _means(rest, stretches)
    members = [_membership(factor.groups[active]) for factor in factors]
    found = _between(rest[None], members)[0]
    random = np.random.default_rng(0)
    by_chance = np.concatenate(
        [
            _between(_permuted(rest, stretches, count, random), members)
            for count in _batches(permutations)
        ]
    )
    # The mean of a stretch, which is subtracted, contains a share of the effect.
    kept = (len(rest) - len(np.unique(stretches))) / (len(rest) - 1)
    shares = np.minimum(np.maximum(found - by_chance.mean(axis=0), 0) / whole / kept, 1)
    as_much = (by_chance >= found * (1 - 1e-9)).sum(axis=0)
    p_values = (1 + as_much) / (1 + permutations)
    return list(zip(shares.tolist(), p_values.tolist(), strict=True))


def _stretches(count: int) -> Array:
    """Return the stretch of each trial: trials in their order, by tens."""
    return np.arange(count) * max(1, count // STRETCH) // count


def _means(values: Array, codes: Array) -> Array:
    """Return for each value the mean of the values with the same code."""
    codes = np.unique(codes, return_inverse=True)[1]
    means: Array = (np.bincount(codes, values) / np.bincount(codes))[codes]
    return means


def _membership(groups: Array) -> Array:
    """Return one column per group, scaled so that squared sums are sums of squares between them."""
    columns = (groups[:, None] == np.unique(groups)).astype(float)
    scaled: Array = columns / np.sqrt(columns.sum(axis=0))
    return scaled


def _between(rows: Array, members: list[Array]) -> Array:
    """Return the sums of squares between groups, shape (rows, factors)."""
    squares = (rows @ np.concatenate(members, axis=1)) ** 2
    starts = np.cumsum([0] + [columns.shape[1] for columns in members[:-1]])
    sums: Array = np.add.reduceat(squares, starts, axis=1)
    return sums


def _permuted(values: Array, stretches: Array, count: int, random: np.random.Generator) -> Array:
    """Return the values in other orders, each staying in its stretch."""
    parts = np.split(values, np.flatnonzero(np.diff(stretches)) + 1)
    return np.concatenate(
        [random.permuted(np.tile(part, (count, 1)), axis=1) for part in parts], axis=1
    )


def _batches(count: int) -> list[int]:
    whole, rest = divmod(count, AT_ONCE)
    return [AT_ONCE] * whole + [rest] * bool(rest)


def _holm(p_values: dict[str, float]) -> set[str]:
    """Return the names with a significant effect, by Holm's step-down method (1979)."""
    real: set[str] = set()
    for name in sorted(p_values, key=lambda name: p_values[name]):
        if p_values[name] > LEVEL / (len(p_values) - len(real)):
            break
        real.add(name)
    return real
