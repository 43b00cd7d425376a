"""When the parameters of a process are fitted, and to which configs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tune_jobs.engine.search.gaussian.curve_process import Numbers, Points, fit, make_prior

# The parameters are fitted anew when the number of trials has grown by this factor.
REFIT = 1.15
FIT_STEPS = 40

# Up to this number of trials, a fit starts from short lengths too.
FEW = 60


@dataclass
class Fit:
    """Parameters, and the number of configs that they were fitted to."""

    count: int = 0
    parameters: Numbers = field(default_factory=lambda: np.zeros(0))

    def to(self, count: int, observe: Callable[[int], tuple[Points, Numbers]]) -> Numbers:
        """Return the parameters fitted to the first ``count`` configs, which are then kept."""
        if self.count != count:
            points, losses = observe(count)
            groups = int(points.groups.max()) + 1 if len(points.groups) else 0
            mean = make_prior(groups).mean
            short = mean - np.where(np.arange(len(mean)) < groups, 1, 0)
            starts = [mean, short] if count < FEW else [mean]
            self.count, self.parameters = count, fit(points, losses, starts, FIT_STEPS)
        return self.parameters


def last_refit(count: int) -> int:
    """Return the largest number of a geometric row from 2 that is no more than a count."""
    at = 2
    while math.ceil(at * REFIT) <= count:
        at = math.ceil(at * REFIT)
    return at
