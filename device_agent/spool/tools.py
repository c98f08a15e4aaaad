"""For people: look into a spool, check it, take readings out, mend it. All but `repair` only read, and may run beside the agent.

Beside a running agent a segment may vanish (everything in it was delivered) and the last one may end in half a record: neither is an error.
Readers open files for reading only, so a card that is mounted read-only, in another machine, can be looked into as well.
"""

from __future__ import annotations

import base64
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from device_agent.errors import SpoolError
from device_agent.ports import Block, Border
from device_agent.spool import segment as segments
from device_agent.spool.files import Files, RealFiles
from device_agent.spool.journal import NAME, entries
from device_agent.spool.opening import epoch_of
from device_agent.spool.quarantine import DAMAGED, Quarantine
from device_agent.spool.scan import UNKNOWN, Damage, Entry, Scan, scan
from device_agent.wire import block, envelope
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.ranges import Ranges

#: Told (bytes done, bytes of all) after each segment.
Progress = Callable[[int, int], None]

DAMAGE: Final = (
    "Nothing needs to be done for the agent: it sets the bytes aside (`device-agent quarantine ls`), tells the cloud which readings are "
    "missing, and goes on. `device-agent spool export` takes out the rest. Look at the card: `dmesg`, or a new one."
)
TORN: Final = (
    "A crash left half a record, of readings that were never acknowledged. The next start of the agent cuts it off and keeps a copy; "
    "`device-agent spool repair` does it now, while no agent runs."
)
FOREIGN: Final = "A file of another log was put here. Move it away while no agent runs; its readings are numbered for the other log."
UNREADABLE: Final = (
    "The bytes are as they were written, but this version cannot decode them. The agent goes on; keep a copy of the file and report it, "
    "or look with the version that wrote it."
)

#: A last segment that ends in half a record is looked at again so often, so far apart (seconds): a running agent may be writing it.
_LOOKS: Final = 4
_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a segment that should not be there, or is missing from it."""

    position: int  # bytes from the start of the file
    length: int  # bytes; 0: nothing is damaged, something is missing
    what: str
    lost: tuple[tuple[int, int], ...]  # sequence numbers, first and last, that were not delivered before
    advice: str

    def __str__(self) -> str:
        """Return what and where, one line."""
        where = f"{self.length:,} bytes at {self.position:,}: " if self.length else ""
        lost = ", ".join(f"{first:,}" if first == last else f"{first:,} to {last:,}" for first, last in self.lost)
        return f"{where}{self.what}" + (f"; lost: {lost}" if lost else "")


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
    waiting: int  # readings that are still to be sent
    damaged: int  # readings lost to damage
    problems: tuple[Problem, ...]


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


class ReadOnly(RealFiles):
    """For looking: opens nothing for writing."""

    def open(self, path: str, *, create: bool = False) -> int:
        """See `Files`."""
        assert not create, "nothing is made by looking"
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


@dataclass(frozen=True, slots=True)
class Place:
    """A segment's file: `base` is its first number, `end` the first of the next segment's (`UNKNOWN`: there is none yet)."""

    stream: str
    epoch: str
    number: int
    base: int
    end: int
    path: str
    size: int
    settled: Ranges


def streams(directory: str, *, files: Files | None = None) -> list[str]:
    """Return the names of the streams that have a log.

    Raises:
        SpoolError: there is no spool, or it may not be read.
    """
    files = files or ReadOnly()
    root = directory.rstrip("/")
    try:
        if not any(found.name == "streams" and found.directory for found in files.list(root)):
            raise SpoolError(f"{directory}: there is no spool here (no directory `streams` in it); name the agent's spool.directory")
        return [found.name for found in files.list(f"{root}/streams") if found.directory]
    except PermissionError:
        raise SpoolError(f"{directory}: user {os.geteuid()} may not read there; run this as the agent's user, or as root") from None
    except OSError as error:
        raise SpoolError(f"{directory}: cannot be read: {error.strerror or error}") from None


def ls(directory: str, *, stream: str = "", files: Files | None = None, progress: Progress | None = None) -> list[Listed]:
    """List all segments, in order of stream, epoch and number. Raises `SpoolError` as `streams` does."""
    return list(_look(directory, stream, files or ReadOnly(), progress, decode=False))


def verify(directory: str, *, stream: str = "", files: Files | None = None, progress: Progress | None = None) -> list[Listed]:
    """Like `ls`, and decode every block: `problems` says what is wrong with a segment."""
    return list(_look(directory, stream, files or ReadOnly(), progress, decode=True))


def _look(directory: str, stream: str, files: Files, progress: Progress | None, *, decode: bool) -> Iterator[Listed]:
    for place in _with_progress(directory, stream, files, progress):
        looked = _scanned(files, place)
        if looked is not None:
            yield _listed(place, *looked, decode=decode)


def cat(
    directory: str, stream: str = "", *, epoch: str = "", first: int = 1, last: int = UNKNOWN, files: Files | None = None,
    problem: Callable[[str], None] | None = None, progress: Progress | None = None,
) -> Iterator[Reading]:  # fmt: skip
    """Yield the readings that are on disk, delivered ones included, in order of stream, epoch and number.

    Args:
        directory: `spool.directory`.
        stream: one stream; empty: all.
        epoch: one epoch; empty: all.
        first: lowest sequence number.
        last: highest sequence number.
        files: the file system.
        problem: told a sentence for whatever of these numbers is on disk and cannot be read.
        progress: told how far it is.

    Raises:
        SpoolError: there is no spool, or it may not be read.
    """
    files = files or ReadOnly()
    tell = problem or (lambda _sentence: None)
    for place in _with_progress(directory, stream, files, progress):
        if (epoch and place.epoch != epoch) or place.base > last or (place.end != UNKNOWN and place.end <= first):
            continue
        looked = _scanned(files, place)
        if looked is not None:
            yield from (one for one in content_of(place, *looked, first=first, last=last, tell=tell) if first <= one.seq <= last)


def content_of(
    place: Place, data: bytes, found: Scan, *, first: int, last: int, tell: Callable[[str], None]
) -> Iterator[Reading]:  # fmt: skip
    """Yield the readings in a segment's bytes; whole envelopes, so a few may lie outside `first` to `last`."""
    for damage in found.damage:
        if first <= damage.last and damage.first <= min(last, damage.last):
            tell(f"{place.stream} {damage.first}-{damage.last}: {damage.why}, in {place.path}")
    for entry in found.entries + ([found.open.entry()] if found.open else []):
        if not entry.notice and entry.first <= last and entry.last >= first:
            yield from _readings(place, data, entry, tell)


def repair(directory: str, *, files: Files | None = None) -> list[str]:
    """Do what opening would do to the ends of the logs, without an agent; return what was done, a sentence each.

    Raises:
        SpoolError: there is no spool, or an agent is running.
    """
    files = files or RealFiles()
    streams(directory, files=files)
    root = directory.rstrip("/")
    fd = files.open(f"{root}/lock", create=True)
    try:
        if not files.lock(fd):
            pid = files.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            raise SpoolError(f"{directory}: an agent is running (pid {pid}); stop it before `repair`. Nothing was changed")
        aside = Quarantine(files=files, directory=f"{root}/quarantine", limit=UNKNOWN)  # the agent keeps to its limit from its start on
        aside.open()
        return [_cut(files, place, aside, root) for place in all_places(root, files) if place.end == UNKNOWN and _torn_end(files, place)]
    finally:
        files.close(fd)


def _torn_end(files: Files, place: Place) -> bool:
    data = segments.read(files, place.path)
    return _torn(data, scan(data, number=place.number, base=place.base)) > 0


def _cut(files: Files, place: Place, aside: Quarantine, root: str) -> str:
    data = segments.read(files, place.path)
    start = scan(data, number=place.number, base=place.base).valid
    torn = data[start:].rstrip(b"\0")
    name = f"{place.stream}-{place.epoch}-{place.number:012d}-{start}"
    content: dict[str, Any] = {
        "reason": "half-written end, cut by `spool repair`", "time": envelope.rfc3339(time.time_ns() // 1000), "stream": place.stream,
        "epoch": place.epoch, "segment": place.number, "position": start, "length": len(torn), "first": 0, "last": -1,
        "data_base64": base64.b64encode(torn).decode("ascii"),
    }  # fmt: skip
    aside.keep(DAMAGED, name, content)
    fd = files.open(place.path)
    try:
        files.truncate(fd, start)
        files.datasync(fd)
    finally:
        files.close(fd)
    return f"{place.path}: cut {len(torn):,} half-written bytes from {start:,} on; a copy is in {root}/quarantine/{DAMAGED}/{name}.json"


def _with_progress(directory: str, stream: str, files: Files, progress: Progress | None) -> Iterator[Place]:
    """Yield the segments that are there now; say after each how many bytes of them are done."""
    known = streams(directory, files=files)
    if stream and stream not in known:
        raise SpoolError(f"{directory}: there is no stream {stream!r}; there are: {', '.join(known) or 'none yet'}")
    places = list(all_places(directory, files, stream=stream))
    done, total = 0, sum(place.size for place in places)
    for place in places:
        yield place
        done += place.size
        if progress is not None:
            progress(done, total)


def all_places(directory: str, files: Files, *, stream: str = "") -> Iterator[Place]:
    """Yield the segments that are there now, in order of stream, epoch and number."""
    root = f"{directory.rstrip('/')}/streams"
    for folder in files.list(root):
        if not folder.directory or (stream and folder.name != stream):
            continue
        for log in files.list(f"{root}/{folder.name}"):
            epoch = epoch_of(log.name) if log.directory else ""
            if epoch:
                yield from _segments(files, folder.name, epoch, f"{root}/{folder.name}/{log.name}")


def _segments(files: Files, stream: str, epoch: str, directory: str) -> Iterator[Place]:
    named = sorted((place, found.name, found.size) for found in files.list(directory) if (place := segments.parse_name(found.name)))
    settled = Ranges()
    with contextlib.suppress(FileNotFoundError):  # then nothing is known to be delivered
        settled, _, _ = entries(segments.read(files, f"{directory}/{NAME}"), epoch)
    for at, ((number, base), file, size) in enumerate(named):
        end = named[at + 1][0][1] if at + 1 < len(named) else UNKNOWN
        yield Place(stream, epoch, number, base, end, f"{directory}/{file}", size, settled)


def _scanned(files: Files, place: Place) -> tuple[bytes, Scan] | None:
    """Return a segment's bytes and what is in them; None if it was delivered and deleted meanwhile.

    A half-written end is believed only when it stays as it is; while it changes, an agent is writing there, and the end is left out.
    """
    before = b""
    for look in range(_LOOKS):
        try:
            data = segments.read(files, place.path)
        except FileNotFoundError:
            return None
        found = scan(data, number=place.number, base=place.base, end=place.end)
        if place.end != UNKNOWN or not _torn(data, found):
            return data, found
        if look and data != before:
            return data[: found.valid], found
        before = data
        time.sleep(_PAUSE)
    return data, found


def _torn(data: bytes, found: Scan) -> int:
    """Bytes of the half-written end of a last segment."""
    return len(data[found.valid :].rstrip(b"\0"))


def _listed(place: Place, data: bytes, found: Scan, *, decode: bool) -> Listed:
    damage = [_damage(place, one) for one in found.damage]
    problems = [one for one in damage if one.length or one.lost]
    torn = _torn(data, found) if place.end == UNKNOWN else 0
    if torn:
        problems.append(Problem(position=found.valid, length=torn, what="half-written end", lost=(), advice=TORN))
    if found.epoch and found.epoch != place.epoch:
        problems.append(Problem(position=0, length=0, what=f"its header says epoch {found.epoch}", lost=(), advice=FOREIGN))
    envelopes = [entry for entry in found.entries if not entry.notice]
    for entry in [*envelopes, *([found.open.entry()] if found.open else [])] if decode else ():
        problems += _undecodable(place, data, entry)
    settled = Ranges(place.settled)
    for entry in found.entries:
        if entry.notice:
            settled.add(entry.first, entry.last)
    owed = sum(b - a + 1 for a, b in settled.missing(place.base, found.next - 1)) if found.next > place.base else 0
    lost = sum(b - a + 1 for one in damage for a, b in one.lost)
    return Listed(
        stream=place.stream, epoch=place.epoch, segment=place.number, path=place.path, first=place.base, last=found.next - 1,
        bytes=len(data), envelopes=len(envelopes), notices=len(found.entries) - len(envelopes),
        delivered=found.next - place.base - owed, waiting=max(0, owed - lost), damaged=lost, problems=tuple(problems),
    )  # fmt: skip


def _damage(place: Place, damage: Damage) -> Problem:
    lost = tuple(place.settled.missing(damage.first, damage.last)) if damage.last >= damage.first else ()
    return Problem(position=damage.position, length=damage.length, what=damage.why, lost=lost, advice=DAMAGE)


def _blocks(place: Place, data: bytes, entry: Entry) -> list[Block]:
    border = Border(stream=place.stream, epoch=place.epoch, first=entry.first, last=entry.last, time=entry.time, size=entry.size)
    return segments.blocks(data[entry.position : entry.stop], border, place.number)[0]


def _undecodable(place: Place, data: bytes, entry: Entry) -> Iterator[Problem]:
    for one in _blocks(place, data, entry):
        try:
            count = len(block.decode(one.data))
        except EnvelopeError as error:
            what = str(error)
        else:
            if count == one.count:
                continue
            what = f"{count} readings, and the record says {one.count}"
        yield Problem(position=entry.position, length=0, what=f"block of {one.first:,}: {what}", lost=(), advice=UNREADABLE)


def _readings(place: Place, data: bytes, entry: Entry, tell: Callable[[str], None]) -> Iterator[Reading]:
    for one in _blocks(place, data, entry):
        try:
            rows = block.decode(one.data).rows()
        except EnvelopeError as error:
            tell(f"{place.stream} {one.first}-{one.first + one.count - 1}: {error}, in {place.path}")
            continue
        for seq, (received, synced, topic, client, payload) in enumerate(rows, start=one.first):
            yield Reading(
                stream=place.stream, epoch=place.epoch, seq=seq, received=received, synced=synced, topic=topic, client=client,
                payload=payload, delivered=place.settled.covers(seq, seq),
            )  # fmt: skip
