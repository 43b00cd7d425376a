"""What several test folders share: one Ray for all tests that need one."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tune_jobs.engine.cluster.connection import connect, ray_of
from tune_jobs.engine.cluster.kept import end_kept
from tune_jobs.engine.cluster.local_ray import stop_local
from tune_jobs.engine.job.profile import Profile


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs in a folder of these tests, which all their processes share."""
    if "TUNE_JOBS_CACHE" not in os.environ:
        os.environ["TUNE_JOBS_CACHE"] = folder = tempfile.mkdtemp(prefix="tune-jobs-tests-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of this machine with warm workers; a test may end those, and the Ray stays."""
    end_kept()  # that of an earlier test
    connect(Profile(), [])
    with ray_of(Profile(), [], is_kept=True):
        yield
    stop_local()
