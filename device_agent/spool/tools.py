"""For people: look into a spool, check it, take readings out, mend it. All but `repair` only read, and may run beside the agent.

Beside a running agent a segment may vanish (everything in it was delivered) and the last one may end in half a record: neither is an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from device_agent.errors import SpoolError
from device_agent.ports import Block, Border
from device_agent.spool import segment as segments
from device_agent.spool.files import Files, RealFiles
from device_agent.spool.journal import NAME, entries
from device_agent.spool.opening import epoch_of
from device_agent.spool.scan import UNKNOWN, Entry, Scan, scan
from device_agent.wire import block
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.ranges import Ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One segment, as `ls` and `verify` show it."""

    stream: str
    epoch: str
    segment: int
    path: str
    first: int
    last: int  # `first` - 1 if it is empty
    bytes: int
    envelopes: int
    notices: int
    delivered: int  # readings that need not be sent again
    damaged: int  # readings lost to damage
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading, as `cat` and `export` show it."""

    stream: str
    epoch: str
    seq: int
    received: int
    synced: bool
    topic: str | None
    client: str | None
    payload: block.Payload
    delivered: bool


@dataclass(frozen=True, slots=True)
class _Place:
    stream: str
    epoch: str
    number: int
    base: int
    end: int
    path: str
    settled: Ranges


def ls(directory: str, *, files: Files | None = None) -> list[Listed]:
    """List all segments, in order of stream, epoch and number."""
    files = files or RealFiles()
    found = []
    for place in _places(directory, files):
        data = _bytes(files, place)
        if data is not None:
            found.append(_listed(place, data, scan(data, number=place.number, base=place.base, end=place.end), decode=False))
    return found


def verify(directory: str, *, files: Files | None = None) -> list[Listed]:
    """Like `ls`, and decode every block: `problems` says what is wrong with a segment."""
    files = files or RealFiles()
    found = []
    for place in _places(directory, files):
        data = _bytes(files, place)
        if data is not None:
            found.append(_listed(place, data, scan(data, number=place.number, base=place.base, end=place.end), decode=True))
    return found


def cat(directory: str, stream: str, *, first: int = 1, last: int = UNKNOWN, files: Files | None = None) -> Iterator[Reading]:
    """Yield the readings of a stream that are on disk, delivered ones included, in order; of all its epochs."""
    files = files or RealFiles()
    for place in _places(directory, files, stream=stream):
        if place.base > last or (place.end != UNKNOWN and place.end <= first):
            continue
        data = _bytes(files, place)
        if data is None:
            continue
        found = scan(data, number=place.number, base=place.base, end=place.end)
        for entry in found.entries + ([found.open.entry()] if found.open else []):
            if not entry.notice:
                yield from (one for one in _readings(place, data, entry) if first <= one.seq <= last)


def repair(directory: str, *, files: Files | None = None) -> list[str]:
    """Do what opening would do to the ends of the logs, without an agent; return what was done, a sentence each.

    Raises:
        SpoolError: an agent is running.
    """
    files = files or RealFiles()
    fd = files.open(f"{directory}/lock", create=True)
    try:
        if not files.lock(fd):
            raise SpoolError(f"{directory}: an agent is running; stop it before `repair`")
        return list(_repair(directory, files))
    finally:
        files.close(fd)


def _repair(directory: str, files: Files) -> Iterator[str]:
    for place in _places(directory, files):
        if place.end != UNKNOWN:
            continue
        data = segments.read(files, place.path)
        found = scan(data, number=place.number, base=place.base)
        torn = data[found.valid :].rstrip(b"\0")
        if not torn:
            continue
        aside = f"{place.path}.torn"
        copy = files.open(aside, create=True)
        try:
            files.pwrite(copy, torn, 0)
            files.datasync(copy)
        finally:
            files.close(copy)
        fd = files.open(place.path)
        try:
            files.truncate(fd, found.valid)
            files.datasync(fd)
        finally:
            files.close(fd)
        yield f"{place.path}: cut {len(torn)} half-written bytes from {found.valid} on; they are in {aside}"


def _places(directory: str, files: Files, *, stream: str = "") -> Iterator[_Place]:
    root = f"{directory.rstrip('/')}/streams"
    for folder in files.list(root):
        if not folder.directory or (stream and folder.name != stream):
            continue
        for log in files.list(f"{root}/{folder.name}"):
            epoch = epoch_of(log.name) if log.directory else ""
            if epoch:
                yield from _segments(files, folder.name, epoch, f"{root}/{folder.name}/{log.name}")


def _segments(files: Files, stream: str, epoch: str, directory: str) -> Iterator[_Place]:
    named = sorted((place, found.name) for found in files.list(directory) if (place := segments.parse_name(found.name)))
    settled = Ranges()
    with contextlib.suppress(FileNotFoundError):  # then nothing is known to be delivered
        settled, _, _ = entries(segments.read(files, f"{directory}/{NAME}"), epoch)
    for at, ((number, base), file) in enumerate(named):
        end = named[at + 1][0][1] if at + 1 < len(named) else UNKNOWN
        yield _Place(stream, epoch, number, base, end, f"{directory}/{file}", settled)


def _bytes(files: Files, place: _Place) -> bytes | None:
    try:
        return segments.read(files, place.path)
    except FileNotFoundError:
        return None  # delivered and deleted meanwhile


def _listed(place: _Place, data: bytes, found: Scan, *, decode: bool) -> Listed:
    problems = []
    lost = 0
    for damage in found.damage:
        missing = list(place.settled.missing(damage.first, damage.last)) if damage.last >= damage.first else []
        lost += sum(last - first + 1 for first, last in missing)
        if damage.length or missing:
            problems.append(f"{damage.length} bytes at {damage.position}: {damage.why}" + "".join(f"; lost {a}-{b}" for a, b in missing))
    torn = len(data[found.valid :].rstrip(b"\0")) if place.end == UNKNOWN else 0
    if torn:
        problems.append(f"{torn} bytes at {found.valid}: half-written end")
    if found.epoch and found.epoch != place.epoch:
        problems.append(f"its header says epoch {found.epoch}")
    envelopes = [entry for entry in found.entries if not entry.notice]
    for entry in envelopes if decode else ():
        problems += _undecodable(place, data, entry)
    owed = place.settled.missing(place.base, found.next - 1) if found.next > place.base else ()
    return Listed(
        stream=place.stream, epoch=place.epoch, segment=place.number, path=place.path, first=place.base, last=found.next - 1,
        bytes=len(data), envelopes=len(envelopes), notices=len(found.entries) - len(envelopes),
        delivered=found.next - place.base - sum(b - a + 1 for a, b in owed), damaged=lost, problems=tuple(problems),
    )  # fmt: skip


def _blocks(place: _Place, data: bytes, entry: Entry) -> list[Block]:
    border = Border(stream=place.stream, epoch=place.epoch, first=entry.first, last=entry.last, time=entry.time, size=entry.size)
    return segments.blocks(data[entry.position : entry.stop], border, place.number)[0]


def _undecodable(place: _Place, data: bytes, entry: Entry) -> Iterator[str]:
    for one in _blocks(place, data, entry):
        try:
            count = len(block.decode(one.data))
        except EnvelopeError as error:
            yield f"block of {one.first}: {error}"
        else:
            if count != one.count:
                yield f"block of {one.first}: {count} readings, and its record says {one.count}"


def _readings(place: _Place, data: bytes, entry: Entry) -> Iterator[Reading]:
    for one in _blocks(place, data, entry):
        for seq, (received, synced, topic, client, payload) in enumerate(block.decode(one.data).rows(), start=one.first):
            yield Reading(
                stream=place.stream, epoch=place.epoch, seq=seq, received=received, synced=synced, topic=topic, client=client,
                payload=payload, delivered=place.settled.covers(seq, seq),
            )  # fmt: skip
