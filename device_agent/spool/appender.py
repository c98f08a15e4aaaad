"""The writing half of a log: blocks, borders and notices into the last segment, synced, before anybody is told.

Used by the writer's thread only (and by opening, before that thread runs).

Invariants
1. `_end` is the position behind the last byte that a successful fdatasync covers; `next` the number after the last reading there. Nothing
   behind them is ever trusted.
2. A draft is what one write will add. It becomes state only after its fdatasync; if write or fdatasync fails it is thrown away, the segment
   is sealed at `_end`, and the readings are encoded again for a new segment. Linux marks pages clean after a failed fsync: another fsync of
   the same file could succeed with the bytes lost (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
3. An envelope never spans segments: sealing ends the open one, as the scan does when it finds a new segment behind it.
4. Readings leave the last `CONTROL` bytes of a segment to borders and notices.
"""

from __future__ import annotations

import contextlib
import errno
from dataclasses import replace
from typing import Final

from device_agent import events
from device_agent.clock import Clock
from device_agent.metrics import StreamMetrics
from device_agent.spool import record
from device_agent.spool.budget import CONTROL, pages
from device_agent.spool.chunk import DataBlock, Feed, Filler
from device_agent.spool.draft import Draft, Envelope
from device_agent.spool.files import Files
from device_agent.spool.index import Entries, Free
from device_agent.spool.log import Log
from device_agent.spool.making import create, cut, grow
from device_agent.spool.record import BORDER_SIZE, HEADER_SIZE, Kind, Record
from device_agent.spool.room import Full, Room
from device_agent.spool.segment import Segment
from device_agent.spool.state import Owed
from device_agent.wire.limits import MAX_DECODED, MAX_READINGS

#: An envelope with less room than this part of its budget is full: another block would cost more than it fills.
_FULL: Final = 1 / 20
#: Readings of an envelope of which each becomes a message of its own: settling is per border, so they stay small.
UNPACKED: Final = 1000
#: Bytes that one write holds at most, about: bounds memory while it is made.
WRITE: Final = 1024 * 1024


class Appender:
    """Writes one log."""

    def __init__(
        self, *, log: Log, files: Files, clock: Clock, room: Room, metrics: StreamMetrics, budget: int, pack: bool, machine: bytes
    ) -> None:
        self._log, self._files, self._clock, self._room, self._metrics = log, files, clock, room, metrics
        self._budget, self._machine, self._fd = budget, machine, -1
        self._readings = MAX_READINGS if pack else UNPACKED
        self._filler = Filler()
        self._segment: Segment | None = None
        self._start = self._end = 0  # behind the segment's header; behind what is synced
        self._sealed = False
        self._limit = room.share.segment - CONTROL
        self._control_only = False  # the segment is for notices: readings would use the last room that these have
        self.next = 1
        self.open: Envelope | None = None
        self.jump: tuple[int, int] | None = None  # numbers used by dropped readings, not on disk yet

    def resume(self, segment: Segment, *, end: int, start: int, following: int, envelope: Envelope | None) -> None:
        """Go on in the last segment as opening found it; `hold` came before."""
        self._segment, self._end, self._start, self.next, self.open = segment, end, start, following, envelope

    def hold(self, fd: int) -> None:
        """Close a file with the appender: the last segment's, while it is not known yet whether the log goes on in it."""
        self._fd = fd

    def begin(self, *, number: int, base: int) -> None:
        """Make the first segment of a log; where there is no room for it, a small one that takes no readings yet. Raises OSError."""
        self.next = base
        try:
            self._room.ask(self._room.share.segment, control=False)
        except Full:
            self._create(number, control=True, size=0)
        else:
            self._create(number, control=False)

    def reserve(self) -> None:
        """Give the segment that opening found its whole size again; without room for it, take no readings until there is."""
        segment = self._writable()
        if self._sealed:
            return
        try:
            self._room.ask(self._room.share.segment - segment.allocated, control=True)
        except Full:
            self._limit, self._control_only = self._start, True
        else:
            grow(self._files, segment, self._fd, self._room.share.segment)

    def leave(self) -> None:
        """No reading is added any more: give back what the segment does not use, and the descriptor. Notices may still be written."""
        segment = self._writable()
        if segment.allocated > pages(self._end):
            cut(self._files, segment, self._fd, self._end)
        self.close()

    def supersede(self) -> None:
        """Begin a small segment for notices, so that the one before may give way. Raises OSError."""
        old, fd = self._writable(), self._fd
        self._create(old.number + 1, control=True, size=0)
        self._files.close(fd)

    def _writable(self) -> Segment:
        """Return the segment that is written, open."""
        assert self._segment is not None
        if self._fd < 0:
            self._fd = self._files.open(self._segment.path, write=True)
        return self._segment

    # Writing

    def commit(self, feed: Feed, *, close: bool) -> None:
        """Bring the feed's readings and what notices are owed to the disk; `close` ends the open envelope with them.

        Whatever was synced before an error is marked in the feed and stays.

        Raises:
            Full: no room, or the stream is stopped; the feed is rewound to its mark.
            OSError: the disk fails, also for a new segment; likewise.
        """
        failed = False
        if feed.more:
            self._room.admit()
        while True:
            if self._sealed:
                self._roll(control=not feed.more)
            draft = self._draft()
            self._fill(draft, feed, close=close)
            try:
                self._flush(draft)
            except OSError as error:
                feed.rewind()
                self.seal(error)
                if failed:
                    raise
                failed = True
                continue
            readings, size = feed.mark()
            self._metrics.committed += readings
            self._metrics.committed_bytes += size
            if draft.full:
                self._roll(control=not feed.more)
            elif not feed.more:
                return

    def _draft(self) -> Draft:
        assert self._segment is not None
        return Draft(self._segment.number, self._end, self.next, replace(self.open) if self.open is not None else None)

    def _fill(self, draft: Draft, feed: Feed, *, close: bool) -> None:
        if self.jump is not None and feed.more and self._no_room(draft):
            draft.full = True  # the jump goes on growing in memory until a reading can follow it
            return
        self._control(draft)
        while feed.more and not draft.full and draft.size < WRITE:
            if self._no_room(draft):
                draft.full = True
                return
            block = self._block(draft, feed)
            if block is not None:
                self._data(draft, block)
            elif draft.open is not None:
                draft.border()
            elif draft.position > self._start or self._control_only:
                draft.full = True
            else:
                self._refuse(draft, feed)
        if close and not feed.more and draft.open is not None:
            draft.border()

    def _no_room(self, draft: Draft) -> bool:
        """Whether the next envelope should begin in a new segment."""
        return draft.open is None and (draft.position > self._start or self._control_only) and self._limit - draft.position < self._wanted

    @property
    def _wanted(self) -> int:
        """Room that a new envelope asks of a segment, so that it can be filled."""
        return min(self._budget + 8 * HEADER_SIZE, self._room.share.segment - CONTROL - self._start)

    def _block(self, draft: Draft, feed: Feed) -> DataBlock | None:
        envelope = draft.open
        segment = self._limit - draft.position - HEADER_SIZE
        if envelope is None:
            room = min(self._budget, segment)
            return self._filler.block(feed, room=room, readings=self._readings, decoded=MAX_DECODED, largest=segment)
        return self._filler.block(
            feed,
            room=min(self._budget - envelope.size, segment),
            readings=self._readings - envelope.count,
            decoded=MAX_DECODED - envelope.decoded,
        )

    def _data(self, draft: Draft, block: DataBlock) -> None:
        envelope = draft.open
        if envelope is None:
            envelope = draft.open = Envelope(draft.next, block.time, block.since, draft.position)
        draft.add(
            Record(kind=Kind.DATA, first=draft.next, count=block.count, time=block.time, body=block.data, offset=envelope.count),
        )
        envelope.count += block.count
        envelope.size += len(block.data)
        envelope.decoded += block.decoded
        envelope.stop = draft.position
        draft.next += block.count
        full = self._budget - envelope.size < self._budget * _FULL or MAX_DECODED - envelope.decoded < MAX_DECODED * _FULL
        if full or envelope.count >= self._readings:
            draft.border()

    def _refuse(self, draft: Draft, feed: Feed) -> None:
        """Count off a reading that fits no segment; `Sink.max_reading` keeps such readings out, this keeps the log going."""
        feed.advance(1)
        body = record.notice_body("dropped", "larger than the log takes")
        draft.notice(Record(kind=Kind.JUMP, first=draft.next, count=1, time=self._clock.now(), body=body))
        draft.next += 1
        self._metrics.dropped += 1

    def _control(self, draft: Draft) -> None:
        """Add the jump and the notices that are owed, as many as there is room for."""
        now = self._clock.now()
        last = self._room.share.segment - 2 * BORDER_SIZE
        if self.jump is not None:
            first, count = self.jump
            body = record.notice_body("dropped", "the spool was full")
            if draft.position + HEADER_SIZE + len(body) + BORDER_SIZE > last:
                draft.full = True
                return
            if draft.open is not None:
                draft.border()
            draft.notice(Record(kind=Kind.JUMP, first=first, count=count, time=now, body=body))
            draft.next = first + count
        for owed in self._log.owed():
            body = record.notice_body(owed.reason, owed.detail)
            if draft.position + HEADER_SIZE + len(body) > last:
                draft.full = True
                return
            draft.notice(Record(kind=Kind.NOTICE, first=owed.first, count=owed.last - owed.first + 1, time=now, body=body))
            draft.notices += 1

    def _flush(self, draft: Draft) -> None:
        """One write, one fdatasync; then the draft is state."""
        segment = self._writable()
        if draft.parts:
            self._files.pwrite(self._fd, b"".join(draft.parts), self._end)
            self._files.datasync(self._fd)
            self._metrics.commits += 1
            self._metrics.written_bytes += draft.size
            segment.allocated = max(segment.allocated, pages(draft.position))
        self._end, self.next, self.open = draft.position, draft.next, draft.open
        if self.jump is not None and draft.next >= sum(self.jump):
            self.jump = None
        if draft.entries:
            self._metrics.closed += sum(not entry.notice for entry in draft.entries)
            self._log.visible(segment, draft.entries)
        if draft.notices:
            for owed in self._log.written(draft.notices):
                self._count(owed)

    def _count(self, owed: Owed) -> None:
        if owed.again:
            return
        if owed.reason == "damaged":
            self._metrics.damaged += owed.last - owed.first + 1
        elif owed.reason == "dropped":
            self._metrics.dropped += owed.last - owed.first + 1

    def admit(self) -> None:
        """Ask whether readings may be written at all. Raises Full: the stream is stopped."""
        self._room.admit()

    # Segments

    def seal(self, error: OSError) -> None:
        """Never write to this segment again, and cut what may or may not be there."""
        assert self._segment is not None
        events.spool_sealed(self._segment.path, self._end, error)
        self._sealed = True
        with contextlib.suppress(OSError):  # the scan ignores what is behind the next segment's base, cut or not
            self._files.truncate(self._fd, self._end)

    def make_room(self) -> None:
        """Try to get a new segment although nothing is to be written, to find out whether the stream can be opened again."""
        self._room.admit()
        if self._sealed or self._control_only or self._limit - self._end < self._wanted:
            self._roll(control=False)

    def _roll(self, *, control: bool) -> None:
        """Close the segment and begin the next; `control`: for borders and notices, which may use the last part of the share.

        Raises:
            Full: the cap, or the file system, has no room.
            OSError: the disk fails.
        """
        assert self._segment is not None
        size = self._room.share.segment
        if self._control_only and not control and not self._sealed and self._room.fits(2 * size - self._segment.allocated):
            self._take_over()
            return
        self._room.ask(size, control=control)
        old, fd, end = self._writable(), self._fd, self._end
        try:
            self._create(old.number + 1, control=control)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise Full("the spool is full: no space left on the file system") from error
            raise
        cut(self._files, old, fd, end)
        self._files.close(fd)

    def _take_over(self) -> None:
        """Let readings into a segment that was made for notices: there is room again."""
        grow(self._files, self._writable(), self._fd, self._room.share.segment)
        self._limit, self._control_only = self._room.share.segment - CONTROL, False

    def _create(self, number: int, *, control: bool, size: int | None = None) -> None:
        """Make a segment of `size` bytes whose header and name are on the disk, and write there from now on."""
        size = self._room.share.segment if size is None else size
        head = Record(
            kind=Kind.SEGMENT, first=self.next, count=0, time=self._clock.now(), body=record.segment_body(self._log.epoch, self._machine)
        ).encode(number)
        path, fd = create(self._files, self._log.directory, number=number, base=self.next, head=head, size=size)
        segment = Segment(number, self.next, path, max(size, pages(len(head))), Entries(), Free())
        envelope, self.open = self.open, None
        self._fd, self._segment, self._start, self._end, self._sealed = fd, segment, len(head), len(head), False
        self._limit = self._start if control else self._room.share.segment - CONTROL
        self._control_only = control
        self._log.rolled(segment, envelope.entry(envelope.stop) if envelope is not None else None)

    @property
    def following(self) -> int:
        """Sequence number of the next reading."""
        return self.next if self.jump is None else sum(self.jump)

    def drop(self, count: int) -> None:
        """Use up `count` numbers for readings that are dropped."""
        first, before = self.jump or (self.next, 0)
        self.jump = (first, before + count)
        self._metrics.dropped += count

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1
