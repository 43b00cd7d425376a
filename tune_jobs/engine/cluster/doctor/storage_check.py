"""Storage: whether every node can write to it, and sees what is written elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from uuid import uuid4

from tune_jobs.engine.cluster.capacity import Node
from tune_jobs.engine.cluster.doctor.check import Check
from tune_jobs.engine.cluster.doctor.probe import Exchange, read_soon, use_storage
from tune_jobs.engine.cluster.node_tasks import NoAnswer, ask
from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.formatting import count, listed
from tune_jobs.engine.storage.folder import Folder

NAME = "storage"
MARKER = "marker"

REMEDY = "mount the same file system there, or use an s3:// or gs:// URI as storage"

# What to say of a node that could not read a marker as it was written.
UNSHARED = {"missing": "does not see what", "other content": "sees something else than what"}

Answers = Sequence[tuple[Node, Exchange | NoAnswer]]


def check_storage(folder: Folder, nodes: Sequence[Node], limit: float) -> Iterator[Check]:
    """Write here and read on every node, then the reverse; nothing is left behind."""
    place = folder.child(f".doctor-{uuid4().hex}")
    was_there = folder.exists()
    try:
        yield from _exchange(folder, place, nodes, limit)
    except (JobError, OSError) as error:
        reason = reason_of(error).replace(place.uri, folder.uri)
        text = f"storage {folder.uri} cannot be used from here: {reason}"
        yield Check(NAME, "failure", text)
    finally:
        with suppress(OSError):
            place.delete_folder()
            if not was_there:
                folder.delete_if_empty()


def _exchange(
    folder: Folder, place: Folder, nodes: Sequence[Node], limit: float
) -> Iterator[Check]:
    content = uuid4().hex
    place.create()
    place.write(MARKER, content.encode())
    place.read(MARKER)
    asked = ask(nodes, use_storage, place.uri, MARKER, content, limit=limit)
    answers = [(node, asked[node.id]) for node in nodes]
    faults = list(_find_faults(place, answers, folder.uri))
    yield from faults or [Check(NAME, "ok", _say_shared(folder, nodes))]


def _find_faults(place: Folder, answers: Answers, name: str) -> Iterator[Check]:
    """Yield what keeps nodes from using the storage, those with the same fault together."""
    faults: dict[str, list[str]] = {}
    for node, answer in answers:
        if fault := _find_fault(place, answer):
            faults.setdefault(fault.replace(place.uri, name), []).append(node.label)
    for fault, labels in faults.items():
        yield Check(NAME, "failure", fault.replace("{storage}", name).replace("{}", listed(labels)))


def _find_fault(place: Folder, answer: Exchange | NoAnswer) -> str | None:
    """Say what is wrong on a node, with ``{}`` for its label and ``{storage}`` for the folder."""
    if isinstance(answer, NoAnswer):
        return f"storage {{storage}} cannot be used on {{}}: {answer.reason}"
    if answer["problem"] in UNSHARED:
        return (
            f"storage is not shared: {{}} {UNSHARED[answer['problem']]} was written to {{storage}} "
            f"here; {REMEDY}"
        )
    if answer["problem"]:
        return f"storage {{storage}} is {answer['problem']} on {{}}"
    try:
        arrived = read_soon(place.filesystem, f"{place.path}/{answer['wrote']}")
    except OSError:
        arrived = b""
    if arrived.decode(errors="replace") != answer["content"]:
        return (
            f"storage is not shared: what {{}} wrote to {{storage}} is not visible here; {REMEDY}"
        )
    return None


def _say_shared(folder: Folder, nodes: Sequence[Node]) -> str:
    where = f" and on {count(len(nodes), 'node')}, each sees what the others write" if nodes else ""
    return f"{folder.uri}: read and written here{where}"
