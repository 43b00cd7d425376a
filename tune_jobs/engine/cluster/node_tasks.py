"""Run a function on nodes of a cluster, each within a time limit, whatever is installed there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tune_jobs.engine.cluster.capacity import Node
from tune_jobs.engine.errors import reason_of
from tune_jobs.engine.ray_internals import SETUP_HOOK

MOST_TEXT = 300

Result = TypeVar("Result")


@dataclass(frozen=True)
class NoAnswer:
    """The reason why a node did not do what it was asked."""

    reason: str


def ask(
    nodes: Sequence[Node], function: Callable[..., Result], *arguments: object, limit: float
) -> dict[str, Result | NoAnswer]:
    """Call a function on each node; return results, or a :class:`NoAnswer`, by node id.

    The function travels by value, so it must not refer to this package; the worker processes that
    run it skip what a trial's do first (importing Keras), and none of the node's CPUs is needed.
    """
    if not nodes:  # of which Ray need not know
        return {}
    import ray

    references = _send(nodes, function, arguments)
    done, late = ray.wait(
        list(references), num_returns=len(references), timeout=limit, fetch_local=False
    )
    answers: dict[str, Result | NoAnswer] = {
        references[reference]: _fetch(reference, limit) for reference in done
    }
    for reference in late:
        ray.cancel(reference, force=True)
        answers[references[reference]] = NoAnswer(f"no answer within {limit:g} s")
    return {node.id: answers[node.id] for node in nodes}


def _send(
    nodes: Sequence[Node], function: Callable[..., object], arguments: tuple[object, ...]
) -> dict[Any, str]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(function)
    how = {
        "num_cpus": 0,
        "max_retries": 0,
        "runtime_env": {"env_vars": {SETUP_HOOK: ""}},
    }
    module = sys.modules[function.__module__]
    ray.cloudpickle.register_pickle_by_value(module)
    try:
        return {
            task.options(
                **how, scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
            ).remote(*arguments): node.id
            for node in nodes
        }
    finally:
        ray.cloudpickle.unregister_pickle_by_value(module)


def _fetch(reference: Any, limit: float) -> Any:
    import ray

    try:
        return ray.get(reference, timeout=limit)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        return NoAnswer(f"{type(cause).__name__}: {reason_of(cause)}"[:MOST_TEXT])
    except ray.exceptions.RayError as error:
        return NoAnswer(f"{type(error).__name__}: {reason_of(error)}"[:MOST_TEXT])
