"""Interactions: what two hyperparameters explain together beyond what each explains alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from tune_jobs.engine.analysis.factors import INACTIVE, Factor, combine

Array = np.ndarray[Any, Any]

# Hyperparameters whose pairs are tested: the ones that explain the most.
MOST = 6
# Levels of a hyperparameter in a pair, and the fewest trials for that.
LEVELS, FEWEST_TRIALS = 3, 24
# Degrees of freedom that have to be left for the noise.
FEWEST_LEFT = 8
# A direction is none if its columns are this small, beside columns of ones.
SMALLEST = 1e-9


def pair_factors(factors: Sequence[Factor]) -> list[tuple[Factor, Factor]]:
    """Return the pairs of factors that are active in all trials, with few levels each."""
    everywhere = [f for f in factors if (f.groups != INACTIVE).all() and not f.strata.any()]
    return list(combinations([_coarsen(factor) for factor in everywhere[:MOST]], 2))


def _coarsen(factor: Factor) -> Factor:
    """Merge neighbouring groups until there are few; those of a text stay."""
    groups = np.unique(factor.groups, return_inverse=True)[1]
    amount = int(groups.max()) + 1
    if not factor.is_text and amount > LEVELS:
        groups = groups * LEVELS // amount
    return Factor(factor.name, groups, factor.strata, factor.is_text)


def measure_pair(
    pair: tuple[Factor, Factor], scores: Array, stretches: Array
) -> tuple[float, float]:
    """Return the share of the variance that a pair explains beyond its factors, and its p-value.

    The p-value is that of the F-test of two nested linear models: the scores are normal ones.

    Args:
        pair: both factors.
        scores: of each trial.
        stretches: the stretch of each trial, whose mean is taken out.
    """
    from scipy.stats import f

    within = _centred(scores[:, None], stretches)[:, 0]
    alone = _basis([factor.groups for factor in pair], stretches)
    cells = _basis([combine(factor.groups for factor in pair)], stretches)
    more = cells.shape[1] - alone.shape[1]
    left = len(scores) - len(np.unique(stretches)) - cells.shape[1]
    if more < 1 or left < FEWEST_LEFT:
        return 0.0, 1.0
    whole, explained = float(within @ within), float(np.sum((within @ cells) ** 2))
    gained, noise = explained - float(np.sum((within @ alone) ** 2)), (whole - explained) / left
    if not noise > 0 or not whole > 0:
        return 0.0, 1.0
    share = max(gained - more * noise, 0.0) / whole
    return min(share, 1.0), float(f.sf(gained / more / noise, more, left))


def _basis(codes: Sequence[Array], stretches: Array) -> Array:
    """Return an orthonormal basis of the functions that depend on single codes additively.

    Means of stretches are taken out of them: a column per stretch would do the same, but with
    thousands of trials there are hundreds of stretches.
    """
    columns = [(code[:, None] == np.unique(code)).astype(float) for code in codes]
    centred = _centred(np.concatenate(columns, axis=1), stretches)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    basis: Array = left[:, sizes > SMALLEST * math.sqrt(len(centred))]
    return basis


def _centred(columns: Array, stretches: Array) -> Array:
    """Return columns less their means in each stretch."""
    places = np.unique(stretches, return_inverse=True)[1]
    sums = np.zeros((places.max() + 1, columns.shape[1]))
    np.add.at(sums, places, columns)
    centred: Array = columns - (sums / np.bincount(places)[:, None])[places]
    return centred
