"""Opening: from a directory, in whatever state a crash left it, to logs that can be read and written.

Promises
1. Every complete record is kept, whether or not its write was acknowledged; what is kept is synced before anybody sees it.
2. The half-written end of the last segment is cut; a copy is set aside. Damage before it becomes a notice; the bytes are set aside.
3. The envelope that was open is closed at once: what was written of it keeps one id and one content for ever.
4. It never refuses to start for what is in the files or cannot be read of them, and it reads one segment a log, whatever the backlog: file
   names say the rest.
5. A number is not used again although the file that showed its use is damaged or gone: where the journal knows of later numbers than the
   log, or the journal itself is lost, or the end of the log cannot be read, or nothing of a segment with readings is sound, a new epoch
   begins.

Layout of the directory (`docs/spool.md`):

    lock                                          flock; holds the pid of the agent that has it
    streams/<stream>/<ordinal>-<epoch>/           one log; the highest ordinal is written
        <segment>-<base>.log
        delivered.journal
    quarantine/                                   see `quarantine`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from device_agent import events
from device_agent.clock import Clock
from device_agent.metrics import StreamMetrics
from device_agent.spool.appender import Appender
from device_agent.spool.budget import pages
from device_agent.spool.chunk import Feed
from device_agent.spool.draft import Envelope
from device_agent.spool.files import Files, whole_or_zeros
from device_agent.spool.index import Entries, Free
from device_agent.spool.journal import Journal
from device_agent.spool.log import Log
from device_agent.spool.record import HEADER_SIZE
from device_agent.spool.room import Full, Room
from device_agent.spool.scan import HALF_WRITTEN, Damage, Scan, scan
from device_agent.spool.segment import Segment, file_name, parse_name, read
from device_agent.wire.limits import MAX_DECODED

_EPOCH_DIRECTORY: Final = re.compile(r"([0-9]{6})-([0-9a-f]{16})", re.ASCII)
UNKNOWN_MACHINE: Final = bytes(16)
_MOVED: Final = "the log was made on another board"
_END_LOST: Final = "the end of the log is lost"
_HEAD: Final = HEADER_SIZE + 24  # bytes of a segment's first record: see `record.segment_body`


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every log of a stream needs."""

    stream: str
    files: Files
    clock: Clock
    room: Room
    metrics: StreamMetrics
    budget: int  # bytes of data blocks in an envelope
    pack: bool
    machine: bytes  # 16 bytes, all zero: unknown
    random: Callable[[int], bytes]
    changed: Callable[[], None]
    ready: Callable[[], None]
    spoiled: Callable[[str, str, int, Damage, bytes], None]
    moved: Callable[[], None]  # called when the log was made on another board


@dataclass(slots=True, eq=False)
class Epoch:
    """One log with both halves."""

    log: Log
    appender: Appender
    journal: Journal
    machine: bytes = field(default=UNKNOWN_MACHINE)  # the one that began the last segment
    over: str = ""  # why no more numbers of it may be given

    def leave(self) -> None:
        """Nothing is added any more but notices: keep no descriptor, and no more room than is used."""
        self.log.former = True
        self.appender.leave()
        self.journal.close()

    def close(self) -> None:
        """Close its files."""
        self.appender.close()
        self.journal.close()


def epoch_of(name: str) -> str:
    """Return the epoch that a log's directory is named after; "" for another directory."""
    match = _EPOCH_DIRECTORY.fullmatch(name)
    return match[2] if match else ""


def open_epochs(directory: str, setting: Setting) -> Iterator[Epoch]:
    """Open all logs of a stream and yield each, oldest first; the last one is to be written.

    The others keep no descriptor and no more room than they use: a board that gets a new epoch at every start has many of them. What
    was yielded must count in `setting.room.used` before the next is asked for. Raises OSError.
    """
    files = setting.files
    files.make_directory(directory)
    found = []
    for entry in files.list(directory):
        match = _EPOCH_DIRECTORY.fullmatch(entry.name)
        if match and entry.directory:
            found.append((int(match[1]), match[2], f"{directory}/{entry.name}"))
    found.sort()
    last, why = None, "there is no log"
    for ordinal, epoch, path in found:
        last = open_epoch(path, epoch, setting)
        yield last
        why = _why_over(last, setting) if ordinal == found[-1][0] else "another follows"
        if why:
            last.leave()
    if last is not None and not why:
        last.appender.reserve()
        return
    epoch = setting.random(8).hex()
    path = f"{directory}/{(found[-1][0] if found else 0) + 1:06d}-{epoch}"
    files.make_directory(path)
    files.sync_directory(directory)
    yield open_epoch(path, epoch, setting, new=True)
    events.spool_new_epoch(setting.stream, epoch, why)
    if why == _MOVED:
        setting.moved()


def _why_over(last: Epoch, setting: Setting) -> str:
    """Say why the last log is not gone on with; "" if it is."""
    if UNKNOWN_MACHINE not in {last.machine, setting.machine} and last.machine != setting.machine:
        return _MOVED
    if last.over == _END_LOST and last.appender.following > 1:  # otherwise a crash while it was made looks the same, and is harmless
        events.spool_end_lost(setting.stream, last.log.epoch, last.appender.following)
    return last.over


def open_epoch(directory: str, epoch: str, setting: Setting, *, new: bool = False) -> Epoch:
    """Open one log, or make its first segment. Raises OSError."""
    journal = Journal(files=setting.files, directory=directory, epoch=epoch, limit=setting.room.share.journal, now=setting.clock.now)
    log = Log(
        stream=setting.stream, epoch=epoch, directory=directory, files=setting.files, journal=journal,
        changed=setting.changed, ready=setting.ready, spoiled=setting.spoiled,
    )  # fmt: skip
    appender = Appender(
        log=log, files=setting.files, clock=setting.clock, room=setting.room, metrics=setting.metrics, budget=setting.budget,
        pack=setting.pack, machine=setting.machine,
    )  # fmt: skip
    made = Epoch(log, appender, journal, setting.machine)
    try:
        _load(made, directory, setting, new=new)
    except BaseException:
        made.close()
        raise
    return made


def _load(made: Epoch, directory: str, setting: Setting, *, new: bool) -> None:
    log, appender, journal = made.log, made.appender, made.journal
    settled, told = journal.load()
    log.state.settled, log.state.told = settled, told
    segments = []
    for found in setting.files.list(directory):
        name = None if found.directory else parse_name(found.name)
        if name:
            segments.append(Segment(name[0], name[1], f"{directory}/{found.name}", max(found.allocated, pages(found.size))))
    segments.sort(key=lambda one: one.number)
    used = max((last for _, last in (*settled, *told)), default=0)
    if segments:
        _resume(made, segments, used, setting)
    else:
        if new:
            journal.rewrite(log.snapshot)
        else:
            made.over = _END_LOST
        appender.begin(number=1, base=used + 1)


def _resume(made: Epoch, segments: list[Segment], used: int, setting: Setting) -> None:
    """Take over the segments; read and mend the last one. `used`: the last number that the journal knows of."""
    last, files = segments[-1], setting.files
    fd = files.open(last.path, write=True)
    made.appender.hold(fd)
    data, whole = whole_or_zeros(files, fd, last.path)
    found = scan(data, number=last.number, base=last.base)
    if found.epoch not in {"", made.log.epoch}:
        found = Scan(next=last.base)  # another log's file in place of ours
    # a crash while it was made leaves no more than its header, and in the first segment of a log there is nothing to go on with
    spoilt = not found.valid and (last.base == 1 or made.journal.wants_rewrite or len(data.rstrip(b"\0")) > _HEAD)
    if made.journal.lost:  # it may have known of numbers behind the end of the log
        made.over = "the journal of the log is lost"
    if not whole or spoilt or used >= found.next:
        made.over = _END_LOST
        found.damage.append(Damage(found.next, used, 0, 0, _END_LOST))
        found.next = max(found.next, used + 1)
    if not found.valid:  # it was being made: its header had not reached the disk
        _trust_the_one_before(segments, found, setting)
        _replace(made, segments, found, data=data, setting=setting)
        return
    torn = data[found.valid :].rstrip(b"\0")
    if torn:
        _torn(made, last, found.valid, torn, setting)
    made.machine = found.machine or UNKNOWN_MACHINE
    made.log.resume(segments, found, data)
    start = found.header.size if found.header else 0
    envelope = None
    if found.open is not None:
        one = found.open
        # no further reading goes into it: what it decodes to is not known
        envelope = Envelope(one.first, one.time, 0.0, one.position, one.count, one.size, MAX_DECODED, one.stop)
    made.appender.resume(last, end=found.valid, start=start, following=found.next, envelope=envelope)
    try:
        if torn:
            setting.files.truncate(fd, found.valid)
            last.allocated = pages(found.valid)
        setting.files.datasync(fd)  # what is kept may have been in the kernel's cache only
        made.appender.commit(Feed([], made.appender.next), close=True)
    except Full as full:
        events.spool_blocked(setting.stream, f"closing the last envelope: {full}")
    except OSError as error:
        made.appender.seal(error)  # the writer goes on in a new segment as soon as the disk lets it


def _torn(made: Epoch, last: Segment, position: int, torn: bytes, setting: Setting) -> None:
    """Set aside what is about to be cut."""
    why = HALF_WRITTEN if not made.over else "not sound, at the end of a log whose end is lost"
    setting.metrics.torn_bytes += len(torn)
    events.spool_torn(last.path, len(torn), why)
    setting.spoiled(setting.stream, made.log.epoch, last.number, Damage(0, -1, position, len(torn), why), torn)


def _trust_the_one_before(segments: list[Segment], found: Scan, setting: Setting) -> None:
    """Do not believe the name of a segment without a sound record when it says that readings before it are none of the log's."""
    if len(segments) < 2:
        return
    last, before = segments[-1], segments[-2]
    real = scan(read(setting.files, before.path), number=before.number, base=before.base).next
    if real > last.base:
        path = f"{before.path.rpartition('/')[0]}/{file_name(last.number, real)}"
        setting.files.rename(last.path, path)
        last.path, last.base = path, real
        found.next = max(found.next, real)


def _replace(made: Epoch, segments: list[Segment], found: Scan, *, data: bytes, setting: Setting) -> None:
    """Go on in a new segment after one in which nothing is sound."""
    last = segments[-1]
    torn = data.rstrip(b"\0")
    if torn:
        _torn(made, last, 0, torn, setting)
    made.appender.close()
    last.entries, last.free = Entries(), Free()
    made.log.resume(segments, Scan(next=found.next, damage=found.damage), b"")
    made.appender.begin(number=last.number + 1, base=found.next)
