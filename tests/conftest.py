"""What several test folders share: one Ray for all tests that need one."""

from collections.abc import Iterator

import pytest

from tune_jobs.engine.cluster.connection import ray_of
from tune_jobs.engine.job.profile import Profile


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of this machine, started once and ended by this process alone."""
    with ray_of(Profile(), [], is_kept=True):
        yield
