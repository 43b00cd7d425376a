"""What several test folders share: one Ray for all tests that need one."""

from collections.abc import Iterator

import pytest
import ray

from tune_jobs.engine.cluster.connection import connect
from tune_jobs.engine.job.profile import Profile


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of this machine, started once and ended by this process alone."""
    connect(Profile(), [])
    yield
    ray.shutdown()
