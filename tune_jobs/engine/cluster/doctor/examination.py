"""Everything that is checked before a run, on this machine or on the nodes of a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence

from tune_jobs.engine.cluster.autoscaler import find_autoscaler
from tune_jobs.engine.cluster.capacity import Autoscaler, Node, alive_nodes, free_nodes
from tune_jobs.engine.cluster.doctor.check import Check
from tune_jobs.engine.cluster.doctor.clocks import compare_clocks
from tune_jobs.engine.cluster.doctor.machines import survey
from tune_jobs.engine.cluster.doctor.probe import Machine, describe
from tune_jobs.engine.cluster.doctor.resources import check_free, check_room
from tune_jobs.engine.cluster.doctor.storage_check import check_storage
from tune_jobs.engine.cluster.doctor.versions import compare, missing
from tune_jobs.engine.cluster.machine import local_resources
from tune_jobs.engine.cluster.node_tasks import NoAnswer, ask
from tune_jobs.engine.formatting import count, duration, listed
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.storage.folder import Folder, open_folder

NOTICE = 15.0  # seconds until a cluster knows that a node is gone
LIMIT = 60.0  # seconds for a node to answer, a worker process that starts included


def _in_silence(_: str) -> None:
    """Ignore what is waited for."""


def examine(
    profile: Profile,
    folder: Folder | None = None,
    *,
    limit: float = LIMIT,
    announce: Callable[[str], None] = _in_silence,
) -> Iterator[Check]:
    """Check what a run of the profile needs, and say each thing as soon as it is known.

    A profile of a cluster is examined in a process that has joined it; nothing of what is written
    to ``folder`` (by default the profile's storage) is left behind.

    Args:
        profile: the machines.
        folder: the storage to check.
        limit: seconds for a node to answer.
        announce: called with what is checked next, before a check that may have to wait.

    Raises:
        JobError: for storage that pyarrow does not know.
    """
    folder = folder or open_folder(profile.storage)
    here = describe()
    if profile.address == "local":
        announce(f"reading and writing {folder.uri}")
        yield from _examine_machine(profile, folder, here)
        return
    nodes = alive_nodes()
    announce(f"asking {count(len(nodes), 'node')} for versions and devices{_at_most(limit)}")
    answers = ask(nodes, describe, limit=limit)
    gone = _find_gone([node for node in nodes if isinstance(answers[node.id], NoAnswer)])
    if gone:
        left = listed([node.label for node in gone])
        yield Check("nodes", "warning", f"{left} left the cluster during the check")
    nodes = [node for node in nodes if node not in gone]
    described = [(node, answers[node.id]) for node in nodes]
    answering = [(node, said) for node, said in described if not isinstance(said, NoAnswer)]
    yield from _miss(described)
    yield from missing(here)
    yield from compare(here, answering)
    yield from survey(answering)
    reachable = [node for node, _ in answering]
    announce(f"comparing the clocks{_at_most(limit)}")
    yield from compare_clocks(reachable, limit)
    announce(f"reading and writing {folder.uri} on every node{_at_most(limit)}")
    yield from check_storage(folder, reachable, limit)
    announce("looking for an autoscaler and for room")
    yield from check_room(profile, nodes, find_autoscaler(limit))
    yield from check_free(profile, nodes, free_nodes(nodes))


def _at_most(limit: float) -> str:
    return f" (at most {duration(limit)})"


def _examine_machine(profile: Profile, folder: Folder, here: Machine) -> Iterator[Check]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    node = Node("", "this machine", {**local_resources(), "memory": memory})
    yield from missing(here)
    yield from compare(here, [])
    yield from survey([(node, here)])
    yield from check_storage(folder, [], LIMIT)
    yield from check_room(profile, [node], Autoscaler())


def _find_gone(silent: Sequence[Node]) -> list[Node]:
    """Return which silent nodes have left, once the cluster has noticed it."""
    end = time.monotonic() + NOTICE
    while True:
        there = {node.id for node in alive_nodes()} if silent else set()
        gone = [node for node in silent if node.id not in there]
        if len(gone) == len(silent) or time.monotonic() > end:
            return gone
        time.sleep(0.5)


def _miss(described: Sequence[tuple[Node, Machine | NoAnswer]]) -> Iterator[Check]:
    """Report the nodes that could not run a task, those with the same reason together."""
    silent: dict[str, list[str]] = {}
    for node, said in described:
        if isinstance(said, NoAnswer):
            silent.setdefault(said.reason, []).append(node.label)
    for reason, labels in silent.items():
        yield Check(
            "nodes",
            "failure",
            f"{listed(labels)} cannot run a task ({reason}): see ray status and the node's "
            "raylet.out, or remove the node from the cluster",
        )
