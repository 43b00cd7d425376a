"""How many trials of a profile are to run at once."""

from __future__ import annotations

import ray

from tune_jobs.engine.autoscaler import find_autoscaler
from tune_jobs.engine.machine import local_node
from tune_jobs.engine.placement import Autoscaler, alive_nodes
from tune_jobs.engine.profile import Profile


def check_fits(profile: Profile) -> None:
    """Refuse a profile of which no trial fits, before anything is started, as far as is known.

    Raises:
        JobError: where not one trial fits this machine, or the Ray that was joined already.
    """
    if ray.is_initialized():
        find_concurrency(profile)
    elif profile.address == "local":
        profile.concurrency([local_node()])


def find_concurrency(profile: Profile) -> int:
    """How many trials are to run at once on the Ray that this process has joined.

    Raises:
        JobError: if not even one fits on a node that is there or may be started.
    """
    autoscaler = Autoscaler() if profile.address == "local" else find_autoscaler()
    return profile.concurrency(alive_nodes(), autoscaler)
