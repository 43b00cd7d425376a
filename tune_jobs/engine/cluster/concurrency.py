"""The number of trials of a profile that run at once."""

from __future__ import annotations

from collections.abc import Sequence

import ray

from tune_jobs.engine.cluster.autoscaler import find_autoscaler
from tune_jobs.engine.cluster.capacity import (
    Autoscaler,
    Node,
    NodeType,
    alive_nodes,
    trials_at_once,
    trials_with_all,
)
from tune_jobs.engine.cluster.machine import local_node
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.profile import Profile


def check_fits(profile: Profile) -> None:
    """Refuse a profile of which no trial fits, before anything is started, as far as is known.

    Raises:
        JobError: if not one trial fits this machine, or the Ray that was joined already.
    """
    if ray.is_initialized():
        find_concurrency(profile)
    elif profile.address == "local":
        concurrency_of(profile, [local_node()])


def find_concurrency(profile: Profile) -> int:
    """Return how many trials run at once on the Ray that this process has joined.

    Raises:
        JobError: if not even one fits on a node that is there or may be started.
    """
    autoscaler = Autoscaler() if profile.address == "local" else find_autoscaler()
    return concurrency_of(profile, alive_nodes(), autoscaler)


def concurrency_of(
    profile: Profile, nodes: Sequence[Node], autoscaler: Autoscaler | None = None
) -> int:
    """Return how many trials run at once on nodes and on those that an autoscaler may start.

    Raises:
        JobError: if not even one fits on a node, which Ray would leave pending forever.
    """
    autoscaler = autoscaler or Autoscaler()
    most = trials_with_all(nodes, autoscaler, profile.resources)
    limit = profile.max_concurrent_trials or max(1, trials_at_once(nodes, profile.resources))
    if autoscaler.problem:  # what may be started is not known
        return limit
    if not most:
        raise JobError(_explain_lack(profile, [*nodes, *autoscaler.types]))
    return min(most, limit)


def _explain_lack(profile: Profile, places: Sequence[Node | NodeType]) -> str:
    for unit, wanted in profile.resources.items():
        largest = max((place.resources.get(unit.upper(), 0) for place in places), default=0)
        if wanted > largest:
            return (
                f"{unit}s_per_trial is {wanted:g}, but {profile.place} has {largest:g} "
                f"{unit.upper()}s{'' if profile.address == 'local' else ' on a node'}: "
                "no trial could start"
            )
    return (
        f"no node of {profile.place} has both the {profile.cpus_per_trial:g} CPUs and the "
        f"{profile.gpus_per_trial:g} GPUs of a trial: no trial could start"
    )
