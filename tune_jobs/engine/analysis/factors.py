"""Hyperparameters of past trials as groups of trials, for an analysis of variance.

Numbers are cut at their quantiles, each text is a group, and which branch of a choice a config took
is seen by the hyperparameters that it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Codes = np.ndarray[Any, Any]
Patterns = dict[str, Codes]

MOST_GROUPS, LEAST_GROUPS = 8, 3
TRIALS_A_GROUP = 5
RARE = 3  # texts that fewer trials have are one group
INACTIVE = -1


@dataclass(frozen=True)
class Factor:
    """A hyperparameter as groups of trials.

    Attributes:
        name: its dotted name; or that of a choice between sub-spaces whose options have no
            distinguishing text, such as ``layers``.
        groups: the group of each trial, -1 if the hyperparameter is inactive in it.
        strata: which branches of the choices around it each trial took. Differences between
            branches are not this hyperparameter's effect.
        is_text: whether it is anything but a number.
    """

    name: str
    groups: Codes
    strata: Codes
    is_text: bool


def find_factors(trials: pd.DataFrame) -> list[Factor]:
    """Find the hyperparameters that differ between trials, each once.

    Args:
        trials: with columns ``config.<name>``, missing if a hyperparameter is inactive.
    """
    columns = {
        str(name).removeprefix("config."): trials[name]
        for name in trials.columns
        if str(name).startswith("config.") and trials[name].notna().any()
    }
    active = {name: _is_active(name, column) for name, column in columns.items()}
    patterns = _patterns({name: column.notna().to_numpy() for name, column in columns.items()})
    factors = [_factor(columns[name], name, active[name], patterns) for name in columns]
    # A name identifies branches better than their keys do, and texts better than numbers.
    factors.sort(key=lambda factor: not factor.is_text)
    factors += [_choice_factor(label, codes, patterns) for label, codes in patterns.items()]
    kept: list[Factor] = []
    for factor in factors:
        if _differs(factor.groups) and not any(_repeats(factor, other) for other in kept):
            kept.append(factor)
    return kept


def _is_active(name: str, column: pd.Series) -> Codes:
    """Return the trials in which it is active: at the top of a space all, None being a value."""
    there: Codes = column.notna().to_numpy()
    return there if "." in name else np.ones(len(column), bool)


def _patterns(present: dict[str, Codes]) -> Patterns:
    """Return for each choice between sub-spaces a code of the keys that each trial has of it."""
    children: dict[str, dict[str, Codes]] = {}
    for name, there in present.items():
        parts = name.split(".")
        for depth in range(len(parts)):
            within = children.setdefault(".".join(parts[:depth]), {})
            child = ".".join(parts[: depth + 1])
            within[child] = within.get(child, False) | there
    found: Patterns = {
        name: there.astype(int)
        for name, there in children.pop("", {}).items()
        if name in children and not there.all()
    }
    for label, within in children.items():
        there = np.any(list(within.values()), axis=0)
        codes = np.full(len(there), INACTIVE)
        codes[there] = combine(keys[there] for keys in within.values())
        if codes.max() > 0:
            found[label] = codes
    return found


def combine(codes: Iterable[Codes]) -> Codes:
    """Return one code for each combination of codes."""
    rows = np.stack(list(codes), axis=1)
    found: Codes = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
    return found


def _factor(column: pd.Series, name: str, active: Codes, patterns: Patterns) -> Factor:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    is_text = is_bool_dtype(column.dtype) or not is_numeric_dtype(column.dtype)
    groups = np.full(len(column), INACTIVE)
    groups[active] = group_texts(column[active]) if is_text else group_numbers(column[active])
    around = [codes for label, codes in patterns.items() if name.startswith(f"{label}.")]
    if is_text:
        around = [codes for codes in around if not _determines(groups, codes)]
    return Factor(name, groups, _strata(around, len(column)), is_text)


def _choice_factor(label: str, codes: Codes, patterns: Patterns) -> Factor:
    around = [outer for name, outer in patterns.items() if label.startswith(f"{name}.")]
    return Factor(label, codes, _strata(around, len(codes)), is_text=True)


def _strata(around: list[Codes], count: int) -> Codes:
    return combine(around) if around else np.zeros(count, int)


def group_numbers(column: pd.Series) -> Codes:
    """Group numbers into groups of about the same size; each of few distinct values is a group."""
    values = column.to_numpy(dtype=float, na_value=np.nan)
    known = values[~np.isnan(values)]
    most = int(np.clip(len(known) // TRIALS_A_GROUP, LEAST_GROUPS, MOST_GROUPS))
    distinct = np.unique(known)
    edges = distinct[1:]
    if len(distinct) > most:
        edges = np.unique(np.quantile(known, np.arange(1, most) / most))
    groups: Codes = np.searchsorted(edges, values, side="right")
    groups[np.isnan(values)] = len(edges) + 1
    return groups


def group_texts(column: pd.Series) -> Codes:
    """Group equal values, the rare ones together."""
    texts = column.astype(object).where(column.notna(), None).map(repr)
    counts = texts.value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    own = [text for text, count in counts.items() if count >= RARE][:MOST_GROUPS]
    if len(counts) > len(own) == MOST_GROUPS:
        own.pop()
    places = {text: place for place, text in enumerate(own)}
    return np.array([places.get(text, len(own)) for text in texts])


def _differs(groups: Codes) -> bool:
    return len(np.unique(groups[groups != INACTIVE])) > 1


def _repeats(factor: Factor, other: Factor) -> bool:
    """Return whether a text beside a factor, or an equal factor, has the same information."""
    beside = _around(other.name) in (_around(factor.name), factor.name)
    if not beside or not _determines(other.groups, factor.groups):
        return False
    return other.is_text or _determines(factor.groups, other.groups)


def _around(name: str) -> str:
    return name.rpartition(".")[0]


def _determines(groups: Codes, codes: Codes) -> bool:
    """Return whether all trials of a group have the same code; inactive ones may have any."""
    there = codes != INACTIVE
    if (groups[there] == INACTIVE).any():
        return False
    pairs = combine([groups[there], codes[there]])
    return len(np.unique(pairs)) == len(np.unique(groups[there]))
