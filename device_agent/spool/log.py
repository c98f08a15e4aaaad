"""One log: the segments of one epoch of one stream, as its readers see them. The writing half is `appender`.

Invariants
1. `segments` are in order of number; the last one is being written; a segment ends where the next begins (`base`).
2. An entry (envelope or notice) becomes visible only after its border, or the header of the next segment, has been synced.
3. `settled` in memory may be ahead of the journal; the journal never says settled for numbers whose notice is not synced yet.
4. A segment that `state` gave up is deleted only when no notice is still to be written.
5. `lock` is held for memory only, never during input or output.

`state` holds the rest, in memory, with the invariants of its own. An index that it forgot is made again from the segment when needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from device_agent.ports import Block, Border
from device_agent.spool import segment as segments
from device_agent.spool.files import Files
from device_agent.spool.journal import Journal, Snapshot
from device_agent.spool.scan import Damage, Entry, Scan, scan
from device_agent.spool.segment import Segment
from device_agent.spool.state import Flight, Owed, State, entry_key, is_of, key_of
from device_agent.wire.ranges import Ranges


class Log:
    """Readers' half. Safe from every thread."""

    def __init__(
        self,
        *,
        stream: str,
        epoch: str,
        directory: str,
        files: Files,
        journal: Journal,
        changed: Callable[[], None],
        ready: Callable[[], None],
        spoiled: Callable[[str, str, int, Damage, bytes], None],
    ) -> None:
        """Make an empty log.

        Args:
            stream: name of the stream.
            epoch: epoch of all its numbers.
            directory: where its segments are.
            files: the file system.
            journal: loaded.
            changed: called without the lock held when there is work for the writer (a notice, a dead segment).
            ready: called without the lock held when something can be taken that could not be before.
            spoiled: called with stream, epoch, segment number, damage and bytes when damage is found.
        """
        self.stream, self.epoch, self.directory = stream, epoch, directory
        self.lock = threading.Lock()
        self.former = False  # of a former epoch: nothing is added, and in the end the whole log is deleted
        self.state = State(stream, epoch)
        self._files, self.journal, self._changed, self._ready, self._spoiled = files, journal, changed, ready, spoiled

    # Taking

    def take(self, *, fresh: bool) -> Border | None:
        """Take the oldest free entry, or the newest. Raises OSError."""
        while True:
            with self.lock:
                segment, at = self.state.find(fresh=fresh)
                if segment is None:
                    return None
                flight = None
                if at >= 0:
                    assert segment.entries is not None
                    entry = segment.entries[at]
                    if entry.notice and entry_key(entry) in self.state.flights:
                        segment.untold -= 1  # its twin, left by a write that failed and was done again, is being told
                        self.state.check(segment)
                        continue
                    flight = self.state.fly(segment, at, entry)
            if flight is None:
                self.load(segment)
            elif not flight.border.reason:
                return flight.border
            else:
                return self._with_reason(flight)

    def _with_reason(self, flight: Flight) -> Border:
        """Read why from the notice's record."""
        try:
            reason, detail = segments.reason(self._files, flight.segment.path, flight.position)
        except OSError:
            self.give_back(flight.border)
            raise
        border = flight.border
        flight.border = Border(
            stream=border.stream, epoch=border.epoch, first=border.first, last=border.last, time=border.time, size=0,
            reason=reason, detail=detail,
        )  # fmt: skip
        return flight.border

    # Loading an index

    def load(self, segment: Segment) -> None:
        """Read a closed segment and make its index; what turns out damaged is settled and owed a notice. Raises OSError."""
        with self.lock:
            following = self.state.following(segment)
        if following is None:
            return
        data = segments.read(self._files, segment.path)
        found = scan(data, number=segment.number, base=segment.base, end=following.base)
        if found.epoch not in {"", self.epoch}:  # another log's file in place of ours
            found = scan(b"", number=segment.number, base=segment.base, end=following.base)
        with self.lock:
            if segment.dead or segment not in self.state.segments:
                return
            first_time = segment.free is None
            self.state.install(segment, found)
            lost = [damage for damage in found.damage if first_time]
            owed = self.state.lose(lost)
            self.state.check(segment)
        for damage in lost:
            self._spoil(segment, damage, data)
        if owed or segment.dead:
            self._changed()

    def resume(self, found_segments: list[Segment], found: Scan, data: bytes) -> None:
        """Take over what opening found: the segments, of which the last was scanned."""
        last = found_segments[-1]
        with self.lock:
            self.state.segments = found_segments
            if found_segments[0].base > 1:
                self.state.lose([Damage(1, found_segments[0].base - 1, 0, 0, "segment is missing")])
            self.state.install(last, found)
            self.state.loaded.remove(last)
            owed = self.state.lose(found.damage)
        for damage in found.damage:
            self._spoil(last, damage, data)
        if owed:
            self._changed()

    def _spoil(self, segment: Segment, damage: Damage, data: bytes) -> None:
        if damage.length:
            self._spoiled(self.stream, self.epoch, segment.number, damage, data[damage.position : damage.position + damage.length])

    # Reading

    def read(self, border: Border) -> list[Block]:
        """Return the blocks of a taken border; what is damaged is left out, settled, and owed a notice."""
        if border.reason:
            return []
        with self.lock:
            flight = self.state.flights.get(key_of(border))
        if flight is None:
            raise LookupError(f"{border.stream} {border.first}-{border.last} is read without being taken")
        data = segments.read(self._files, flight.segment.path, flight.position, flight.stop)
        blocks, holes = segments.blocks(data, border, flight.segment.number)
        if holes:
            with self.lock:
                owed = self.state.lose(holes)
                self.state.landed(flight)
            for hole in holes:
                self._spoil(flight.segment, hole, data)
            if owed or flight.segment.dead:
                self._changed()
        return blocks

    # Settling

    def delivered(self, border: Border, first: int, last: int) -> None:
        """Note that the cloud has these numbers, or this notice."""
        if border.reason:
            self._told(border)
            return
        with self.lock:
            self.state.settled.add(first, last)
            flight = self.state.flights.get(key_of(border))
            if flight is not None:
                self.state.landed(flight)
        self.journal.settled(first, last)
        if self.journal.wants_rewrite or (flight is not None and (flight.segment.dead or self.former)):
            self._changed()

    def _told(self, border: Border) -> None:
        with self.lock:
            flight = self.state.flights.pop(key_of(border), None)
            if flight is None:
                return
            segment = flight.segment
            self.state.told[border.first, border.last] = segment.number
            segment.flying -= 1
            segment.untold -= 1
            self.state.check(segment)
        self.journal.told(border.first, border.last, segment.number)
        if segment.dead or self.former:
            self._changed()

    def set_apart(self, border: Border, first: int, last: int, detail: str) -> None:
        """Settle numbers that are in quarantine now, and owe a notice for them."""
        if border.reason:
            self._told(border)
            return
        with self.lock:
            self.state.settled.add(first, last)
            self.state.owed.append(Owed(first, last, "quarantined", detail))
            flight = self.state.flights.get(key_of(border))
            if flight is not None:
                self.state.landed(flight)
        self._changed()

    def give_back(self, border: Border) -> bool:
        """Make a taken entry free again; False if it was settled meanwhile."""
        with self.lock:
            flight = self.state.flights.pop(key_of(border), None)
            if flight is None:
                return False
            flight.segment.flying -= 1
            segment = flight.segment
            if segment.entries is None or segment.free is None or not is_of(segment.entries[flight.at], border):
                segment.free = None  # scanned again: the numbering of its entries may have changed
            else:
                segment.free.add(flight.at)
            return True

    # For the writer

    def visible(self, segment: Segment, entries: list[Entry]) -> None:
        """Make entries of the segment that is being written free to be taken: their borders are on the disk."""
        with self.lock:
            self.state.add(segment, entries)
        self._ready()

    def rolled(self, new: Segment, implied: Entry | None) -> None:
        """A new segment's header is on the disk: the one before is closed, and with it the envelope that was open in it."""
        with self.lock:
            old = self.state.segments[-1] if self.state.segments else None
            if old is not None and implied is not None:
                self.state.add(old, [implied])
            self.state.segments.append(new)
            if old is not None:
                self.state.keep(old)
                self.state.check(old)
        if implied is not None:
            self._ready()
        if old is not None and old.dead:
            self._changed()

    def owed(self) -> list[Owed]:
        """Return the notices that have still to be written."""
        with self.lock:
            return list(self.state.owed)

    def written(self, count: int) -> list[Owed]:
        """The first `count` notices owed are on the disk: now the journal may say that their numbers are settled."""
        with self.lock:
            done, self.state.owed = self.state.owed[:count], self.state.owed[count:]
        for owed in done:
            self.journal.settled(owed.first, owed.last)
        return done

    def waiting(self) -> bool:
        """Whether a closed envelope, or a segment nobody has looked into, waits to be taken."""
        with self.lock:
            return any(not one.dead and (one.free is None or bool(one.free)) for one in self.state.segments)

    def dead(self) -> list[Segment]:
        """Return the segments to delete; none while a notice is still to be written."""
        with self.lock:
            return [] if self.state.owed else [one for one in self.state.segments if one.dead]

    def forget(self, segment: Segment) -> None:
        """A segment has been deleted."""
        with self.lock:
            self.state.segments.remove(segment)
            if segment in self.state.loaded:
                self.state.loaded.remove(segment)
            for key in [key for key, number in self.state.told.items() if number == segment.number]:
                del self.state.told[key]

    def finished(self) -> bool:
        """Whether nothing in the whole log is wanted any more: only for the log of a former epoch."""
        with self.lock:
            state = self.state
            last = state.segments[-1] if state.segments else None
            return len(state.segments) <= 1 and not (
                state.flights or state.owed or (last is not None and (last.free is None or last.free or last.untold))
            )

    def snapshot(self) -> Snapshot:
        """Return what the journal should say: not yet the numbers whose notice is still to be written."""
        with self.lock:
            owed = Ranges((one.first, one.last) for one in self.state.owed)
            settled = [part for first, last in self.state.settled for part in owed.missing(first, last)]
            return settled, dict(self.state.told)

    def status(self, last: int) -> dict[str, Any]:
        """Return figures that cost no reading; `last` is the last number on disk.

        `envelopes` counts only segments that were looked into; then `exact` is False.
        """
        with self.lock:
            state = self.state
            first = state.segments[0].base if state.segments else 1
            missing = state.settled.missing(first, last) if last >= first else ()
            return {
                "segments": len(state.segments),
                "bytes": sum(one.allocated for one in state.segments),
                "envelopes": sum(len(one.free) for one in state.segments if one.free is not None),
                "exact": all(one.free is not None for one in state.segments),
                "readings": sum(b - a + 1 for a, b in missing),
                "flights": len(state.flights),
                "oldest": self.state.oldest(),
            }

    @property
    def used(self) -> int:
        """Bytes that the segments take."""
        with self.lock:
            return sum(one.allocated for one in self.state.segments)
