"""Records on disk: lines of JSON in immutable segments, each with a checksum and a second copy.

A segment is called ``<attempt>-<first>-<last>.jsonl``: the run that wrote it (an experiment that is
continued has several attempts), and the numbers of its first and last flush. Its first line holds
the number of records that follow, their checksum and the experiment's id, so a torn file is never
taken for a segment, nor one of another experiment; its copy in ``mirror`` is read instead. Many
small segments are merged into one, and all into one ``....jsonl.gz`` at the end. Each segment names
the last segment of every earlier attempt: whatever those write later, by a run that has lost the
experiment without knowing it, is ignored.

A line has the record's fields as its keys. An optional field that is None is left out. Unknown
keys, of a newer version, are ignored; a record of an unknown kind is kept as it is. A few lines
here do that rather than :mod:`~tune_jobs.engine.serialization`, which checks each value: a search
may have 100,000 epochs, and the checksums guard them.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, dataclass, field, fields
from operator import itemgetter
from typing import Any, get_args

from tune_jobs.engine.experiments.files import HISTORY, MIRROR
from tune_jobs.engine.experiments.history.packing import (
    Ends,
    Segment,
    list_segments,
    pack,
    unpack,
)
from tune_jobs.engine.experiments.history.record_checks import Check, checks_of
from tune_jobs.engine.experiments.history.records import (
    Epoch,
    Event,
    HistoryRecord,
    ImportedResult,
    KnownRecord,
    SearchStart,
    UnknownRecord,
)
from tune_jobs.engine.experiments.identity import Identity, identify
from tune_jobs.engine.plain import checked_depth, parse_json, plain
from tune_jobs.engine.storage.folder import AT_ONCE, ATTEMPTS, Folder

# This many small segments are merged into one.
MERGED = 64

# Lines that are parsed at once: much faster than one by one, and little memory.
BLOCK = 1000

# The share of the driver's time that writing may take, the seconds in excess that are forgiven, and
# the seconds between two segments if it takes more.
SHARE, CREDIT, PAUSE = 0.02, 1.0, 1.0

# A run that has written within so many seconds was not suspended long enough to lose its lease. An
# object store, where it takes requests to look, is not asked more often.
AWAKE = 5.0

Getter = Callable[[Mapping[str, Any]], tuple[Any, ...]]

# The optional fields of each kind of record and event.
_OPTIONAL: dict[type[Event], list[str]] = {
    each: [field.name for field in fields(each) if field.default is not MISSING]
    for each in get_args(Event)
}


def _name_required(record: type[KnownRecord]) -> list[str]:
    return [field.name for field in fields(record) if field.default is MISSING]


# By kind: the class, what gets its required fields from JSON, its optional fields, and the checks
# of all. With the kind, a getter returns a tuple even for a single field.
_READERS: dict[str, tuple[Callable[..., HistoryRecord], Getter, list[str], list[Check]]] = {
    each.kind: (
        each,
        itemgetter(*_name_required(each), "kind"),
        _OPTIONAL[each],
        checks_of(each, [*_name_required(each), *_OPTIONAL[each]]),
    )
    for each in get_args(KnownRecord)
}


def parse_record(facts: Any) -> HistoryRecord:
    """Make a record of its JSON.

    Raises:
        ValueError: if it is no object, or a value is not of its field's type; or KeyError, if it
            lacks a key of its kind.
    """
    if type(facts) is not dict:
        raise ValueError("a record is an object")
    kind = facts.get("kind", "")
    reader = _READERS.get(kind) if type(kind) is str else None
    if reader is None:
        return UnknownRecord(facts)
    record, required, optional, checks = reader
    *values, _ = required(facts)
    values += map(facts.get, optional)
    if not all(check(value) for check, value in zip(checks, values, strict=True)):
        raise ValueError(f"a value of a record {kind!r} is not of its type")
    return record(*values)


def parse_lines(lines: Sequence[str]) -> Iterator[HistoryRecord]:
    """Make records of lines of JSON, in their order; what is none is passed over."""
    for start in range(0, len(lines), BLOCK):
        block = lines[start : start + BLOCK]
        try:
            yield from [parse_record(facts) for facts in parse_json(f"[{','.join(block)}]")]
        except (ValueError, KeyError):
            yield from filter(None, map(_parse_line, block))


def _parse_line(line: str) -> HistoryRecord | None:
    """Make a record of a line, None if it is none: it was written by nobody who knows records."""
    try:
        return parse_record(checked_depth(parse_json(line)))
    except (ValueError, KeyError):
        return None


def to_json(record: Event) -> dict[str, Any]:
    """Return a record or an event as JSON."""
    if isinstance(record, UnknownRecord):
        return dict(record.facts)
    facts = {"kind": record.kind, **vars(record)}
    for name in _OPTIONAL[type(record)]:
        if facts[name] is None:
            del facts[name]
    if isinstance(record, SearchStart):
        facts["told"] = facts.pop("imported")
        if record.best is not None:
            facts["best"] = vars(record.best)
    return facts


def as_line(record: HistoryRecord, time: float) -> str:
    """Return a record as a line of JSON, written at a time in seconds since 1970."""
    facts = to_json(record)
    facts["time"] = time
    # An epoch, of which there are most, holds numbers alone, and names.
    if isinstance(record, Epoch) and all(map(str.isascii, record.metrics)):
        return json.dumps(facts, default=plain)
    return json.dumps(plain(facts))


@dataclass
class Found:
    """The history in a folder.

    Attributes:
        lines: the segments that count, in order, with their lines.
        problems: what is wrong with others, one line each.
        ends: the last number of each attempt.
        foreign: the paths of files of another experiment.
    """

    lines: list[tuple[Segment, list[str]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)

    def has(self, segment: Segment) -> bool:
        """Return whether everything in a segment has been found already."""
        return segment.last <= self.ends.get(segment.attempt, -1)

    def records(self) -> Iterator[HistoryRecord]:
        """Return every record, in the order in which they were written."""
        for _, lines in self.lines:
            yield from parse_lines(lines)

    def imported(self) -> Iterator[ImportedResult]:
        """Return the results of other searches, without parsing what is none."""
        word = f'"{ImportedResult.kind}"'
        for _, lines in self.lines:
            for record in parse_lines([line for line in lines if word in line]):
                if isinstance(record, ImportedResult):
                    yield record


@dataclass
class _Reading:
    """What was read of a segment.

    Attributes:
        content: the last number of each earlier attempt, and its lines; None if it is ignored.
        problem: what is wrong with it, empty if nothing is.
        foreign: the paths of copies of another experiment.
    """

    content: tuple[Ends, list[str]] | None = None
    problem: str = ""
    foreign: list[str] = field(default_factory=list)


class SegmentWriter:
    """Appends records to the history in a folder, as one attempt.

    Args:
        folder: of the history.
        experiment_id: stands in every segment.
    """

    def __init__(self, folder: Folder, experiment_id: str | None = None) -> None:
        folder.child(HISTORY).child(MIRROR).create()
        self._fence = folder.fence
        self._folder = folder.fenced(None).child(HISTORY)
        self._id = experiment_id
        found = read_segments(folder)
        taken = [segment.attempt for segment in list_segments(self._folder)]
        self.attempt = max([*found.ends, *taken], default=0) + 1
        if folder.fence is not None:
            folder.fence.note_attempt(folder, self.attempt)
        self._after = found.ends
        self._number = 0
        self._waiting: list[str] = []
        self._small: list[tuple[Segment, list[str]]] = []
        self._last = time.monotonic()
        self._debt = 0.0  # seconds that writing took beyond its share

    @property
    def pause(self) -> float:
        """The seconds to wait between two segments: 0, unless writing keeps the driver busy."""
        return 0.0 if self._debt < CREDIT else PAUSE

    def append(self, record: HistoryRecord) -> None:
        """Add a record, stamped with the time; it is durable after the next ``flush``."""
        self._waiting.append(as_line(record, time.time()))

    def flush(self, *, after: float = 0.0) -> None:
        """Write the waiting records as one segment, at least ``after`` seconds after the last.

        Raises:
            OSError: if it cannot be written; the records keep waiting.
            JobError: if another run has taken over while this one was suspended.
        """
        silent = time.monotonic() - self._last
        if not self._waiting or silent < after:
            return
        if self._fence is not None and (self._folder.local_path or silent > AWAKE):
            self._fence.check()
        self._debt = max(0.0, self._debt - SHARE * (time.monotonic() - self._last))
        self._last = time.monotonic()
        segment = self._write(self._number, self._number, self._waiting)
        self._debt += time.monotonic() - self._last
        self._small.append((segment, self._waiting))
        self._waiting, self._number = [], self._number + 1
        if len(self._small) == MERGED:
            self._merge()

    def _merge(self) -> None:
        parts, self._small = self._small, []
        lines = [line for _, some in parts for line in some]
        self._write(parts[0][0].first, parts[-1][0].last, lines)
        _delete(self._folder, [segment.name for segment, _ in parts])

    def _write(self, first: int, last: int, lines: list[str]) -> Segment:
        name = f"{self.attempt:04d}-{first:08d}-{last:08d}.jsonl"
        content = pack(lines, self._after, self._id)
        self._folder.write(name, content)
        self._folder.child(MIRROR).write(name, content)
        return Segment(name, self.attempt, first, last)


def merge_all(folder: Folder) -> Found:
    """Merge all segments into one, and only then delete them; return what they hold.

    Files of another experiment stay: they may be the only ones.
    """
    identity = identify(folder)
    inside, found = folder.child(HISTORY), read_segments(folder, identity)
    if not found.lines or (len(found.lines) == 1 and found.lines[0][0].is_whole):
        return found
    attempt = max(found.ends)
    lines = [line for _, some in found.lines for line in some]
    before = {number: end for number, end in found.ends.items() if number < attempt}
    name = f"{attempt:04d}-{0:08d}-{found.ends[attempt]:08d}.jsonl.gz"
    content = gzip.compress(pack(lines, before, identity.id), mtime=0)
    old = [segment.name for segment in list_segments(inside)]
    inside.write(name, content)
    inside.child(MIRROR).write(name, content)
    _delete(inside, [other for other in old if other != name], found.foreign)
    return found


def read_segments(folder: Folder, identity: Identity | None = None) -> Found:
    """Read the segments in a folder, and name torn and foreign ones, which are left out.

    If a running search merges some of them meanwhile, the folder is listed and read again.
    """
    identity = identity or identify(folder)
    inside = folder.child(HISTORY)
    listed = list_segments(inside)
    found = _read_listed(inside, listed, identity)
    for _ in range(ATTEMPTS):
        if not found.problems or listed == (listed := list_segments(inside)):
            break
        found = _read_listed(inside, listed, identity)
    return found


def _read_listed(inside: Folder, segments: list[Segment], identity: Identity) -> Found:
    found, after = Found(), dict[int, Ends]()
    whole = _newest_whole(inside, segments, found, identity)
    if whole is not None:
        segment, (earlier, lines) = whole
        found.lines.append((segment, lines))
        after[segment.attempt] = earlier
        found.ends = {**earlier, segment.attempt: segment.last}
    newest = whole[0].attempt if whole else 0
    parts = [s for s in segments if not s.is_whole and s.attempt >= newest]
    parts = [s for s in parts if not found.has(s)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        readings = list(pool.map(lambda segment: _read(inside, segment, identity), parts))
    for segment, reading in zip(parts, readings, strict=True):
        found.foreign |= set(reading.foreign)
        if found.has(segment):
            continue
        if reading.problem:
            found.problems.append(reading.problem)
        if reading.content is not None:
            after[segment.attempt], lines = reading.content
            found.ends[segment.attempt] = segment.last
            found.lines.append((segment, lines))
    _leave_out_late_ones(found, after)
    return found


def _leave_out_late_ones(found: Found, after: dict[int, Ends]) -> None:
    """Drop what an attempt wrote after a later one had taken over."""
    for attempt, ends in after.items():
        for segment, lines in list(found.lines):
            if segment.attempt < attempt and segment.last > ends.get(segment.attempt, -1):
                found.lines.remove((segment, lines))
                found.problems.append(
                    f"{segment.name} was written after another run had taken over; ignored"
                )


def _newest_whole(
    inside: Folder, segments: list[Segment], found: Found, identity: Identity
) -> tuple[Segment, tuple[Ends, list[str]]] | None:
    for segment in sorted(segments, key=lambda s: (s.attempt, s.last), reverse=True):
        if not segment.is_whole:
            continue
        reading = _read(inside, segment, identity)
        found.foreign |= set(reading.foreign)
        if reading.problem:
            found.problems.append(reading.problem)
        if reading.content is not None:
            return segment, reading.content
    return None


def _read(inside: Folder, segment: Segment, identity: Identity) -> _Reading:
    """Read a segment, or its copy if it is damaged or of another experiment."""
    reading = _Reading()
    states = []
    for place in (inside, inside.child(MIRROR)):
        try:
            head, lines = unpack(place.read(segment.name), is_compressed=segment.is_whole)
        except (OSError, ValueError):
            states.append("is damaged or missing")
            continue
        if identity.owns(head.experiment_id):
            reading.content = head.ends, lines
            break
        reading.foreign.append(place.child(segment.name).path)
        states.append("is of another experiment")
    if reading.content is None:
        main, copy = states
        both = "and so is its copy" if main == copy else f"and its copy {copy}"
        reading.problem = f"{HISTORY}/{segment.name} {main}, {both}; ignored"
    elif reading.foreign:
        reading.problem = f"{HISTORY}/{segment.name} is of another experiment; its copy is used"
    return reading


def _delete(inside: Folder, names: Iterable[str], kept: Collection[str] = ()) -> None:
    """Delete segments and their copies, but for those at some paths of the file system."""
    places = [place for name in names for place in (name, f"{MIRROR}/{name}")]
    inside.delete_all([place for place in places if f"{inside.path}/{place}" not in kept])
