"""A Ray with warm workers, for the searches of a run, or for the next run of this process.

The finals of a run find the workers of its search, and so does its export. Programs that call
``fit`` again and again, as under scikit-learn's ``cross_val_score``, would wait for Ray and for the
import of Keras each time: their Ray, if it is local, ends with the process, or when a run needs
another one.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_jobs.engine.cluster.local_ray import stop_local
from tune_jobs.engine.cluster.processes import is_alive
from tune_jobs.engine.cluster.reservations import Reservations
from tune_jobs.engine.cluster.worker_start import PRELOAD
from tune_jobs.engine.ray_internals import own_node

PATHS = "PYTHONPATH"
ANY = {PATHS: "", PRELOAD: ""}  # more paths do no harm, and a preload only saves time


@dataclass
class KeptRay:
    """A Ray that this process keeps, a local one or its connection to a cluster.

    Attributes:
        env: the environment of its workers.
        session: the folder of its logs, which says which Ray it is.
        is_owned: whether it ends with this; else somebody else in this process has started it.
        workers: handles of warm workers that no trial uses at the moment, outside of what Tune
            reserves.
        reservations: those within, on a cluster and with GPUs.
        starting: handles of workers that still import, and have no trial yet.
        memory: MiB of each worker after its first trial, by the name that trials report.
        users: how many runs use it at the moment.
    """

    env: Mapping[str, str]
    session: Path
    is_owned: bool
    workers: list[Any] = field(default_factory=list)
    starting: list[Any] = field(default_factory=list)
    reservations: Reservations = field(default_factory=Reservations)
    memory: dict[str, float] = field(default_factory=dict)
    users: int = 0

    def fits(self, env: Mapping[str, str]) -> bool:
        """Return whether its workers have the environment that a run needs, and still live."""
        same = {**self.env, **ANY} == {**env, **ANY}
        paths = {*self.env.get(PATHS, "").split(":")} >= {*env.get(PATHS, "").split(":")}
        return same and paths and self.lives

    def drop(self, worker: Any) -> None:
        """Keep a worker no longer, if it was kept."""
        for kept in (self.workers, self.starting):
            if worker in kept:
                kept.remove(worker)
        self.reservations.drop(worker)

    @property
    def lives(self) -> bool:
        """True if this process is connected to it, and none of its processes has ended."""
        node = own_node()
        if node is None or node.session != self.session:
            return False
        return all(map(is_alive, node.processes.values()))


# The one that this process keeps: Ray allows one connection per process.
_KEPT: list[KeptRay] = []


def kept_ray() -> KeptRay | None:
    """Return the Ray that this process keeps, None if it keeps none."""
    return _KEPT[0] if _KEPT else None


def keep(env: Mapping[str, str], *, is_owned: bool, is_cluster: bool = False) -> KeptRay | None:
    """Keep the Ray that this process is connected to; None for a local one of another process.

    Args:
        env: the environment of its workers.
        is_owned: whether it is ended with this process, or by whoever has started it.
        is_cluster: whether it is a cluster.
    """
    node = own_node()
    if node is None or not (node.processes or is_cluster):
        return None
    if not _KEPT:
        atexit.register(end_kept)
    kept = KeptRay(env, node.session, is_owned)
    _KEPT[:] = [kept]
    return kept


def end_kept() -> None:
    """End the Ray that this process keeps, if it keeps one, or else its warm workers."""
    import ray

    if not _KEPT:
        return
    (kept,) = _KEPT
    _KEPT.clear()
    atexit.unregister(end_kept)
    node = own_node()
    if node is None or node.session != kept.session:
        return
    if kept.is_owned:
        stop_local()
        return
    for worker in (*kept.workers, *kept.starting):
        ray.kill(worker)
    kept.reservations.end()


@contextmanager
def used(kept: KeptRay) -> Iterator[None]:
    """Use the kept Ray during a block: no other run ends it meanwhile."""
    kept.users += 1
    try:
        yield
    finally:
        kept.users -= 1
