"""Take a job's functions to the workers, and say in one line if they cannot be imported there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.job.companions import LIBRARY

REGISTRATION = f"{LIBRARY}.registered"

# The thread in which a trainable's ``preload`` imports Keras.
PRELOAD = "preload"


@dataclass(frozen=True)
class Shipped:
    """Functions of a job as bytes: a worker that gets them has imported nothing of it yet.

    Attributes:
        content: the functions, and what their module registers with Keras, by value or by the
            names of modules.
    """

    content: bytes

    def unpack(self) -> Any:
        """Import the functions, and register what goes with them.

        Raises:
            JobError: if this process cannot import what they need.
        """
        from ray import cloudpickle

        _await_preload()
        try:
            found, registered = cloudpickle.loads(self.content)
        except (Exception, SystemExit) as error:
            raise JobError(
                f"workers cannot import the trainable: {type(error).__name__}: {reason_of(error)}; "
                "on this machine its module lies beside the job or the script, elsewhere it is "
                "submitted with the job or installed"
            ) from error
        if registered:
            import_module(REGISTRATION).register(registered)
        return found


def _await_preload() -> None:
    """Wait for the import of Keras that began when the worker started.

    What is unpacked may import it too, in parts, and of two imports at once both may fail.
    """
    for thread in threading.enumerate():
        if thread.name == PRELOAD:
            thread.join()


def ship(functions: Any, *, of: Callable[..., Any]) -> Shipped:
    """Pack functions for the workers, with what modules register that go there by value.

    These are the module ``of`` one of the functions, a script or a notebook, and files of jobs.
    """
    from ray import cloudpickle

    by_value = cloudpickle.list_registry_pickle_by_value()
    modules = {of.__module__, "__main__", *by_value}
    found = import_module(REGISTRATION).registered_in(modules)
    registered = {name: thing for name, thing in found.items() if _can_be_sent(thing)}
    return Shipped(cloudpickle.dumps((functions, registered)))


def _can_be_sent(thing: Any) -> bool:
    """Return whether something can be pickled; in a notebook it may belong to another job."""
    from ray import cloudpickle

    try:
        cloudpickle.dumps(thing)
    except Exception:  # noqa: BLE001  # of whatever it holds
        return False
    return True
