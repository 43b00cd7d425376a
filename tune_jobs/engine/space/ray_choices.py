"""Ray's choices, between options of which neighbours may be alike."""

from __future__ import annotations

from collections.abc import Sequence

from ray import tune
from ray.tune.search.sample import Categorical, Domain


class Ranked(Categorical):  # type: ignore[misc]  # Ray's are untyped
    """Ray's choice between options of which neighbours are alike, such as sizes by name."""

    is_ranked = True


def make_choice(options: Sequence[object], *, is_ranked: bool = False) -> Domain:
    """Make Ray's choice between options, or a :class:`Ranked` one."""
    return Ranked(options).uniform() if is_ranked else tune.choice(options)
