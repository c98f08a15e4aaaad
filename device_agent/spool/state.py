"""What is known of one log, in memory (no I/O): its segments, which entries are free, taken or settled, which notices are owed.

Invariants
1. An entry (envelope or notice) is in exactly one of: its segment's `free`, `flights`, settled (an envelope: all its numbers in `settled`;
   a notice: in `told`).
2. A segment is given up for deletion only when all its numbers are settled, all its notices told, nothing of it is in flight, and it is not
   the last.
3. At most `_LOADED` indexes of closed segments are in memory, whatever the backlog.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from device_agent.ports import Border
from device_agent.spool.index import Entries, Free
from device_agent.spool.journal import Told
from device_agent.spool.scan import Damage, Entry, Scan
from device_agent.spool.segment import Segment
from device_agent.wire.ranges import Ranges

_LOADED: Final = 3


#: First number, and of a notice the last: several may begin with one number, and each is told.
Key = tuple[int, int]


@dataclass(slots=True, eq=False)
class Flight:
    """An entry that somebody has taken."""

    border: Border
    segment: Segment
    at: int  # number of the entry
    position: int
    stop: int  # position behind its last record


@dataclass(frozen=True, slots=True)
class Owed:
    """A notice that has still to be written."""

    first: int
    last: int
    reason: str
    detail: str
    again: bool = False  # written before, in a segment that is about to be deleted


@dataclass(slots=True)
class State:
    """All of it. Every method is called under the log's lock."""

    stream: str
    epoch: str
    segments: list[Segment] = field(default_factory=list)
    settled: Ranges = field(default_factory=Ranges)
    told: Told = field(default_factory=Told)
    flights: dict[Key, Flight] = field(default_factory=dict)
    owed: list[Owed] = field(default_factory=list)
    loaded: list[Segment] = field(default_factory=list)  # closed ones with entries in memory, least recently used first

    def find(self, *, fresh: bool) -> tuple[Segment | None, int]:
        """Return a segment and the number of an entry now taken out of its `free`; -1: the segment must be loaded first."""
        for segment in reversed(self.segments) if fresh else iter(self.segments):
            if segment.dead:
                continue
            if segment.free is None or (segment.free and segment.entries is None):
                return segment, -1
            if segment.free:
                return segment, segment.free.newest() if fresh else segment.free.oldest()
        return None, -1

    def fly(self, segment: Segment, at: int, entry: Entry) -> Flight:
        """Note that somebody has taken an entry."""
        border = Border(
            stream=self.stream, epoch=self.epoch, first=entry.first, last=entry.last, time=entry.time, size=entry.size,
            reason="?" if entry.notice else "",
        )  # fmt: skip
        flight = Flight(border, segment, at, entry.position, entry.stop)
        self.flights[key_of(border)] = flight
        segment.flying += 1
        return flight

    def following(self, segment: Segment) -> Segment | None:
        """Return the segment behind one, if there is any."""
        every = self.segments
        return next((following for one, following in pairwise(every) if one is segment), None)

    def install(self, segment: Segment, found: Scan) -> None:
        """Give a segment its index, with what is settled or taken left out of `free`."""
        segment.entries, segment.free, segment.untold = Entries(found.entries), Free(), 0
        for at, entry in enumerate(segment.entries):
            if entry.notice:
                told = (entry.first, entry.last) in self.told
                segment.untold += not told
            else:
                told = self.settled.covers(entry.first, entry.last)
            if not told and entry_key(entry) not in self.flights:
                segment.free.add(at)
        self.keep(segment)

    def keep(self, segment: Segment) -> None:
        """Count a closed segment's index as used just now, and forget the one that was not used for longest."""
        loaded = self.loaded
        if segment in loaded:
            loaded.remove(segment)
        loaded.append(segment)
        if len(loaded) > _LOADED:
            loaded.pop(0).entries = None

    def lose(self, damage: list[Damage]) -> list[Owed]:
        """Settle damaged numbers that are not settled yet, and owe a notice for them."""
        owed = []
        for one in damage:
            if one.last >= one.first:
                for first, last in list(self.settled.missing(one.first, one.last)):
                    owed.append(Owed(first, last, "damaged", one.why))
        for notice in owed:
            self.settled.add(notice.first, notice.last)
        self.owed += owed
        return owed

    def landed(self, flight: Flight) -> None:
        """Take an envelope out of flight if all its numbers are settled."""
        border = flight.border
        key = key_of(border)
        if self.settled.covers(border.first, border.last) and key in self.flights:
            del self.flights[key]
            flight.segment.flying -= 1
            self.check(flight.segment)

    def check(self, segment: Segment) -> None:
        """Give a segment up if nothing in it is wanted any more."""
        if segment.dead or segment.flying or segment.untold or segment.free is None or segment.free:
            return
        following = self.following(segment)
        if following is None:
            return
        if following.base == segment.base or self.settled.covers(segment.base, following.base - 1):
            segment.dead = True

    def add(self, segment: Segment, entries: list[Entry]) -> None:
        """Add entries that became visible."""
        assert segment.entries is not None
        assert segment.free is not None
        for entry in entries:
            if entry.notice:
                segment.untold += 1
            elif self.settled.covers(entry.first, entry.last):
                segment.entries.append(entry)
                continue
            segment.entries.append(entry)
            segment.free.add(len(segment.entries) - 1)

    def oldest(self) -> int | None:
        """Time of the oldest envelope that is free or in flight, as far as it is in memory."""
        times = [flight.border.time for flight in self.flights.values() if not flight.border.reason]
        for segment in self.segments:
            if segment.free and segment.entries is not None:
                times.append(segment.entries[segment.free.first].time)
                break
        return min(times, default=None)


def key_of(border: Border) -> Key:
    """Return what a border is found by in `flights`."""
    return border.first, border.last if border.reason else 0


def entry_key(entry: Entry) -> Key:
    """Return what the border of an entry is found by."""
    return entry.first, entry.last if entry.notice else 0


def is_of(entry: Entry, border: Border) -> bool:
    """Whether an entry is the one that a border was made from."""
    return entry_key(entry) == key_of(border)
