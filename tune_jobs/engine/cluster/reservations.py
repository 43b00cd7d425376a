"""Workers that keep the resources that Tune has reserved for them, on clusters and with GPUs.

Tune reserves a placement group for each worker and gives it back with the worker. Ray assigns GPUs
to a process when it starts, and in a cluster it may start another one only if resources are free.
So a warm worker stays in its group, and the next search of the run gets both.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.ray_internals import RESERVATIONS, find

if TYPE_CHECKING:
    from ray.air.execution import ResourceManager

# Seconds after which a worker that no trial uses gives its resources back: the last trial of a
# search may take hours.
MOST_IDLE = 60.0


@dataclass(eq=False)
class Reservation:
    """A placement group, and the warm worker in it.

    Attributes:
        group: the placement group.
        worker: the actor.
        request: what Tune reserved; None until Tune has given it back.
        since: when Tune has.
    """

    group: Any
    worker: Any
    request: Any = None
    since: float = 0.0


class Reservations:
    """The reservations with a warm worker that no trial uses at the moment.

    Args:
        most_idle: seconds after which one is given back to the cluster.
    """

    def __init__(self, most_idle: float = MOST_IDLE) -> None:
        self._held: dict[Any, Reservation] = {}  # by the id of the group
        self._lock, self._most_idle = threading.Lock(), most_idle

    def hold(self, group: Any, worker: Any, request: Any = None) -> None:
        """Hold a worker that has no trial any more; Tune gives back its group later."""
        with self._lock:
            self._held[group.id] = Reservation(group, worker)
        if request is not None:
            self.keep(group, request)

    def drop(self, worker: Any) -> None:
        """Hold a worker no longer, if it was held."""
        with self._lock:
            for key in [k for k, each in self._held.items() if each.worker == worker]:
                del self._held[key]

    def keep(self, group: Any, request: Any) -> bool:
        """Keep a group that Tune gives back, if there is a warm worker in it."""
        with self._lock:
            found = self._held.get(group.id)
            if found is None:
                return False
            found.request, found.since = request, time.monotonic()
        timer = threading.Timer(self._most_idle, self.end, [self._most_idle])
        timer.daemon = True
        timer.start()
        return True

    def lend(self, request: Any) -> Any:
        """Return the group of a kept reservation to Tune; None if none is as requested."""
        with self._lock:
            for each in self._held.values():
                if each.request is not None and each.request == request:
                    each.request = None
                    return each.group
        return None

    def take_from(self, group: Any) -> Any:
        """Return the worker in a group, which is held no longer; None if there is none."""
        with self._lock:
            found = self._held.pop(group.id, None)
        return None if found is None else found.worker

    def take(self) -> Reservation | None:
        """Return a kept reservation, which is held no longer; None if there is none."""
        with self._lock:
            kept = next((k for k, each in self._held.items() if each.request is not None), None)
            return None if kept is None else self._held.pop(kept)

    def call(
        self, reservation: Reservation, method: str, *arguments: Any, timeout: float | None
    ) -> Any:
        """Call a worker that was taken, and keep it; one that is lost or called off ends.

        Raises:
            RayError: if the call is lost, called off or raises an exception.
        """
        import ray

        reference = getattr(reservation.worker, method).remote(*arguments)
        try:
            return ray.get(reference, timeout=timeout)
        except BaseException as error:
            if not isinstance(error, ray.exceptions.RayTaskError):
                give_back(reservation)
                reservation = replace(reservation, request=None)
            raise
        finally:
            if reservation.request is not None:
                self.hold(reservation.group, reservation.worker, reservation.request)

    def end(self, idle: float = 0.0) -> None:
        """Give back to the cluster what no trial has used for some seconds."""
        now = time.monotonic()
        with self._lock:
            ended = [
                key
                for key, each in self._held.items()
                if each.request is not None and now - each.since >= idle
            ]
            reservations = [self._held.pop(key) for key in ended]
        for each in reservations:
            give_back(each)


def give_back(reservation: Reservation) -> None:
    """End a worker, and give its resources back to the cluster."""
    import ray

    if not ray.is_initialized():  # else it would start a Ray
        return
    with suppress(Exception):  # of a cluster that is gone
        ray.kill(reservation.worker)
        ray.util.remove_placement_group(reservation.group)


def managed_by(reservations: Reservations) -> type[ResourceManager]:
    """Return the class of Tune's resource managers that reserve nothing twice."""

    class Manager(find(RESERVATIONS)):  # type: ignore[misc]  # Ray's
        """Tune's manager of placement groups, which leaves those with a warm worker as they are."""

        def request_resources(self, resource_request: Any) -> None:
            """Reserve resources, or take those that a worker of an earlier search has."""
            group = reservations.lend(resource_request)
            if group is None:
                super().request_resources(resource_request)
                return
            self._pg_to_request[group] = resource_request
            self._request_to_ready_pgs[resource_request].add(group)

        def free_resources(self, acquired_resource: Any) -> None:
            """Give resources back, unless a warm worker has them."""
            group = acquired_resource.placement_group
            if reservations.keep(group, acquired_resource.resource_request):
                self._acquired_pgs.remove(group)
                self._pg_to_request.pop(group)
            else:
                super().free_resources(acquired_resource)

    return Manager
