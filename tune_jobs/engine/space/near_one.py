"""A domain for numbers close to one."""

from __future__ import annotations

from typing import Any

from ray import tune
from ray.tune.search.sample import Float, Sampler

from tune_jobs.engine.errors import JobError


def near_one(lower: float, upper: float) -> Float:
    """Return a number whose distance from one is log-uniform, as suits momentum and Adam's betas.

    ``near_one(0.9, 0.999)`` gives 0.9 to 0.99 and 0.99 to 0.999 the same share.

    Raises:
        JobError: unless 0 <= lower < upper < 1.
    """
    if not 0 <= lower < upper < 1:
        raise JobError(f"near_one({lower}, {upper}) needs 0 <= lower < upper < 1")
    return NearOne(lower, upper)


class NearOne(Float):  # type: ignore[misc]  # Ray's are untyped
    """A Ray domain on [lower, upper], log-uniform in ``1 - value``."""

    class _DistanceLogUniform(Sampler):  # type: ignore[misc]
        def sample(
            self, domain: NearOne, config: Any = None, size: int = 1, random_state: Any = None
        ) -> Any:
            """Draw ``size`` values, a single one as a plain number, as Ray's samplers do."""
            distance = domain.distance.sample(config, size, random_state=random_state)
            return 1 - distance if size == 1 else [1 - d for d in distance]

    default_sampler_cls = _DistanceLogUniform

    @property
    def distance(self) -> Float:
        """The domain of ``1 - value``."""
        return tune.loguniform(1 - self.upper, 1 - self.lower)
