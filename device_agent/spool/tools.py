"""For people: look into a spool, check it, take readings out. Only reads, and may run beside the agent; `mending` is the tool that writes.

`places` finds the files and copes with an agent that writes them meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from device_agent.ports import Block, Border
from device_agent.spool import segment as segments
from device_agent.spool.files import Files, RealFiles
from device_agent.spool.mending import repair
from device_agent.spool.places import Place, Progress, scanned, streams, torn, with_progress
from device_agent.spool.scan import UNKNOWN, Damage, Entry, Scan
from device_agent.wire import block
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.ranges import Ranges

__all__ = [
    "DAMAGE",
    "FOREIGN",
    "TORN",
    "UNREADABLE",
    "UNSOUND",
    "Listed",
    "Problem",
    "Reading",
    "cat",
    "content_of",
    "ls",
    "repair",
    "streams",
    "verify",
]

#: What is wrong with a last segment that a crash interrupted.
HALF: Final = "half-written end"
DAMAGE: Final = (
    "Nothing needs to be done for the agent: it sets the bytes aside (`device-agent quarantine ls`), tells the cloud which readings are "
    "missing, and goes on. `device-agent spool export` takes out the rest. Look at the card: `dmesg`, or a new one."
)
TORN: Final = (
    "What a crash leaves of readings that were never acknowledged; without a crash, the card lost something. The next start of the agent "
    "cuts it off and keeps a copy; "
    "`device-agent spool repair` does it now, while no agent runs."
)
UNSOUND: Final = (
    "The next start of the agent keeps a copy of the bytes and goes on behind them, in a new epoch if readings may have stood there; "
    "`device-agent spool repair` leaves them as they are. Look at the card: `dmesg`, or a new one."
)
FOREIGN: Final = "A file of another log was put here. Move it away while no agent runs; its readings are numbered for the other log."
UNREADABLE: Final = (
    "The bytes are as they were written, but this version cannot decode them. The agent goes on; keep a copy of the file and report it, "
    "or look with the version that wrote it."
)


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


def ls(directory: str, *, stream: str = "", files: Files | None = None, progress: Progress | None = None) -> list[Listed]:
    """List all segments, in order of stream, epoch and number. Raises `SpoolError` as `streams` does."""
    return list(_look(directory, stream, files or RealFiles(), progress, decode=False))


def verify(directory: str, *, stream: str = "", files: Files | None = None, progress: Progress | None = None) -> list[Listed]:
    """Like `ls`, and decode every block: `problems` says what is wrong with a segment."""
    return list(_look(directory, stream, files or RealFiles(), progress, decode=True))


def _look(directory: str, stream: str, files: Files, progress: Progress | None, *, decode: bool) -> Iterator[Listed]:
    for place in with_progress(directory, stream, files, progress):
        looked = scanned(files, place)
        if looked is not None:
            yield listed(place, *looked, decode=decode)


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
    files = files or RealFiles()
    tell = problem or (lambda _sentence: None)
    for place in with_progress(directory, stream, files, progress):
        if (epoch and place.epoch != epoch) or place.base > last or (place.end != UNKNOWN and place.end <= first):
            continue
        looked = scanned(files, place)
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


def listed(place: Place, data: bytes, found: Scan, *, decode: bool) -> Listed:
    """Return what a segment's bytes say."""
    damage = [_damage(place, one) for one in found.damage]
    problems = [one for one in damage if one.length or one.lost]
    half = torn(data, found) if place.end == UNKNOWN else 0
    if half and found.valid:
        problems.append(Problem(position=found.valid, length=half, what=HALF, lost=(), advice=TORN))
    elif half:
        problems.append(Problem(position=0, length=half, what="nothing in it is sound", lost=(), advice=UNSOUND))
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
