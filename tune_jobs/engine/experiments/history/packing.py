"""The files of a history: their names, their heads, and how lines are packed into them.

A segment is called ``<attempt>-<first>-<last>.jsonl``, or ``....jsonl.gz`` if it holds everything.
Its first line, the head, says how many records follow, with their checksum, and whose they are.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tune_jobs.engine.experiments.files import HISTORY, MIRROR
from tune_jobs.engine.plain import parse_json
from tune_jobs.engine.serialization import parse, serialize
from tune_jobs.engine.storage.folder import Folder

NAME = re.compile(r"(\d{4})-(\d{8})-(\d{8})\.jsonl(\.gz)?")

# Bytes of a file that hold its head.
HEAD = 2**16

# The last number of each attempt.
Ends = Mapping[int, int]


@dataclass(frozen=True)
class Segment:
    """A segment, as its name says.

    Attributes:
        name: the file's.
        attempt: the run that wrote it.
        first: the number of its first flush.
        last: the number of its last flush.
    """

    name: str
    attempt: int
    first: int
    last: int

    @property
    def is_whole(self) -> bool:
        """True if it holds everything up to its last flush, earlier attempts included."""
        return self.name.endswith(".gz")


@dataclass(frozen=True, kw_only=True)
class Head:
    """The first line of a segment; its fields are the line's keys.

    Attributes:
        records: how many lines follow.
        sha256: their checksum.
        experiment_id: whose they are, None if an earlier version wrote them.
        after: the last number of every earlier attempt that its run had read.
    """

    records: int
    sha256: str
    experiment_id: str | None = None
    after: Mapping[str, int] = field(default_factory=dict)

    @property
    def ends(self) -> dict[int, int]:
        """The last number of each earlier attempt."""
        return {int(attempt): end for attempt, end in self.after.items()}


def list_segments(inside: Folder) -> list[Segment]:
    """List the segments of a history and of its copies, in the order of their numbers."""
    names = {*inside.names(), *inside.child(MIRROR).names()}
    matches = [(name, NAME.fullmatch(name)) for name in names]
    segments = [Segment(name, *map(int, m.groups()[:3])) for name, m in matches if m]
    return sorted(segments, key=lambda s: (s.attempt, s.first, -s.last, s.name))


def newest_attempt(folder: Folder) -> int:
    """Return the number of the latest run that has written to a history; 0 if none has."""
    matches = map(NAME.fullmatch, folder.child(HISTORY).names())
    return max((int(match[1]) for match in matches if match), default=0)


def pack(lines: Sequence[str], after: Ends, experiment_id: str | None) -> bytes:
    """Return the content of a segment, before it is compressed."""
    body = "".join(f"{line}\n" for line in lines).encode()
    head = Head(
        records=len(lines),
        sha256=hashlib.sha256(body).hexdigest(),
        experiment_id=experiment_id,
        after={str(attempt): end for attempt, end in after.items()},
    )
    return json.dumps({"after": {}, **serialize(head)}).encode() + b"\n" + body


def unpack(content: bytes, *, is_compressed: bool) -> tuple[Head, list[str]]:
    """Return the head and the lines of a segment.

    Raises:
        ValueError: if it is no segment, or its checksum is not that of the lines.
        OSError: if it is not compressed as it should be.
    """
    try:
        content = gzip.decompress(content) if is_compressed else content
    except (EOFError, zlib.error) as error:
        raise ValueError(str(error)) from None
    first, _, body = content.partition(b"\n")
    head = parse(Head, parse_json(first))
    if hashlib.sha256(body).hexdigest() != head.sha256:
        raise ValueError("the checksum does not match")
    if not all(map(str.isdecimal, head.after)):
        raise ValueError("an earlier attempt is not a number")
    return head, body.decode().splitlines()


def read_head(place: Folder, segment: Segment) -> Head | None:
    """Read the head of a segment, without the rest; None if it is missing or damaged."""
    try:
        start = place.read(segment.name, most=HEAD)
        if segment.is_whole:
            start = zlib.decompressobj(wbits=31).decompress(start)
        return parse(Head, parse_json(start.partition(b"\n")[0]))
    except (OSError, ValueError, zlib.error):
        return None
