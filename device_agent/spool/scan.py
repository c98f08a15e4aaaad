"""Reader of one segment's bytes (no I/O): envelopes, notices and damage, in log order.

Promises: never raises and never loops, whatever the bytes; every number of `base`..`end` - 1 is in an envelope, in a jump, or reported as
damaged; what it returns depends on the bytes alone, so an envelope has the same first number, last number and blocks at every scan.

How: records one behind the other; where one is damaged, on at the next sound header (`record.find`). Sequence numbers have no holes, so
a hole is damage. Records from `end` on are leftovers of a failed write that was done again in the next segment: ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from device_agent.spool import record
from device_agent.spool.record import Header, Kind


class Entry(NamedTuple):
    """An envelope (`notice` 0) or a notice (1) in a segment."""

    first: int
    numbers: int  # how many
    time: int
    size: int  # bytes of the blocks
    position: int  # of the first DATA record, or of the NOTICE or JUMP record
    stop: int  # behind its last record
    notice: int

    @property
    def last(self) -> int:
        """Last sequence number."""
        return self.first + self.numbers - 1


#: Why the end of a log is damaged that a crash left: nobody was told that it is kept.
HALF_WRITTEN: Final = "half-written"


class Damage(NamedTuple):
    """Bytes that are not what was written, and the numbers lost with them (`last` < `first`: none)."""

    first: int
    last: int
    position: int
    length: int
    why: str


@dataclass(slots=True)
class Opened:
    """The envelope that is not closed yet."""

    first: int
    time: int
    position: int
    stop: int = 0
    count: int = 0
    size: int = 0

    def entry(self) -> Entry:
        """Return the envelope as it is when no border follows."""
        return Entry(self.first, self.count, self.time, self.size, self.position, self.stop, 0)


@dataclass(slots=True)
class Scan:
    """What a segment holds."""

    entries: list[Entry] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    open: Opened | None = None  # the envelope that no border closes; only where the caller did not say where the segment ends
    header: Header | None = None
    epoch: str = ""
    machine: bytes = b""
    next: int = 0  # the number after the last one that is accounted for
    valid: int = 0  # bytes up to the end of the last sound record


#: No segment ends here.
UNKNOWN: Final = 2**63


def scan(data: bytes, *, number: int, base: int, end: int = UNKNOWN, middle: bool = False) -> Scan:
    """Read segment `number`, which begins with sequence number `base`.

    `end` is the base of the next segment. Without it (the last segment) the envelope at the end is reported as open, and nothing that
    follows the last sound record counts as damage: it is a torn tail. `middle`: the bytes do not begin with the segment, and so perhaps
    within an envelope.
    """
    return _Scanner(data, number, base, end, middle=middle).run()


class _Scanner:
    def __init__(self, data: bytes, number: int, base: int, end: int, *, middle: bool) -> None:
        self._data, self._number, self._end = data, number, end
        self._middle = base if middle else -1  # while no number after this one was seen, an envelope may have begun before the data
        self._out = Scan(next=base)
        self._bad: tuple[int, int] | None = None  # damaged bytes from, to, whose numbers are not known yet

    def run(self) -> Scan:
        position = 0
        while position < len(self._data):
            header = record.header_at(self._data, position)
            if header is None or header.segment != self._number or position + header.size > len(self._data):
                following = record.find(self._data, position + 1, self._number)
                if following < 0:
                    break
                self._damaged(position, following)
                position = following
                continue
            self._record(position, header)
            position += header.size
        return self._finish()

    def _damaged(self, start: int, stop: int) -> None:
        self._bad = (self._bad[0] if self._bad else start, stop)

    def _record(self, position: int, header: Header) -> None:
        body = record.body_at(self._data, position, header)
        if header.last >= self._end and header.kind not in {Kind.NOTICE, Kind.SEGMENT}:
            return
        if body is None:
            self._damaged(position, position + header.size)
            if header.kind == Kind.NOTICE:
                self._notice(position, header)  # which numbers it speaks for is known; why is lost
            return
        if header.kind == Kind.DATA:
            if self._overlaps(header):
                self._damaged(position, position + header.size)
                return
            self._data_record(position, header)
        elif header.kind == Kind.BORDER:
            self._border(position, header, body)
        elif header.kind in {Kind.JUMP, Kind.NOTICE}:
            self._notice(position, header)
        elif header.kind == Kind.SEGMENT and len(body) == 24:
            self._out.header = header
            self._out.epoch, self._out.machine = record.read_segment_body(body)
        self._report()
        self._out.valid = position + header.size

    def _overlaps(self, header: Header) -> bool:
        """Whether a record belongs to an envelope that began among numbers of another: with it a reader would get these twice."""
        begins, envelope = header.first - header.offset, self._out.open
        if self._out.next == self._middle:
            return False
        return begins < self._out.next <= header.first and (envelope is None or envelope.first != begins)

    def _data_record(self, position: int, header: Header) -> None:
        if header.first < self._out.next or not header.numbers:
            return
        begins = header.first - header.offset
        envelope = self._out.open
        if envelope is not None and envelope.first != begins:
            self._close()
            envelope = None
        self._lost(header.first)
        if envelope is None:
            envelope = self._out.open = Opened(begins, header.time, position)
        envelope.count = header.first + header.numbers - begins
        envelope.size += header.length
        envelope.stop = position + header.size
        self._out.next = header.first + header.numbers

    def _border(self, position: int, header: Header, body: bytes) -> None:
        envelope = self._out.open
        if envelope is not None and (header.first < envelope.first or header.last < self._out.next - 1):
            return  # a stray copy of an earlier one ends nothing: the envelope would begin twice, with two contents
        if envelope is not None and envelope.first != header.first:
            self._close()
            envelope = None
        self._lost(header.first + header.numbers)
        if envelope is None or len(body) != 8:
            return  # nothing of it is left, or an implied border had closed it
        back, size = record.read_border_body(body)
        self._out.open = None
        self._out.entries.append(Entry(header.first, header.numbers, header.time, size, max(0, position - back), position + header.size, 0))

    def _notice(self, position: int, header: Header) -> None:
        if not header.numbers:
            return
        if header.kind == Kind.JUMP:
            if header.first < self._out.next:
                return
            self._close()
            self._lost(header.first)
            self._out.next = header.first + header.numbers
        self._out.entries.append(Entry(header.first, header.numbers, header.time, 0, position, position + header.size, 1))

    def _close(self) -> None:
        """End the open envelope without a border: what follows belongs to another."""
        envelope, self._out.open = self._out.open, None
        if envelope is not None:
            self._out.entries.append(envelope.entry())

    def _lost(self, until: int) -> None:
        """Report the numbers from the next expected up to `until` - 1, if any, with the damaged bytes before this place."""
        if until > self._out.next:
            start, stop = self._bad or (0, 0)
            why = "record does not match its checksum" if self._bad else "record is missing"
            self._out.damage.append(Damage(self._out.next, until - 1, start, stop - start, why))
            self._out.next = until
            self._bad = None

    def _report(self) -> None:
        """Damaged bytes that took no numbers with them: a border, a notice."""
        if self._bad:
            start, stop = self._bad
            self._out.damage.append(Damage(0, -1, start, stop - start, "record does not match its checksum"))
            self._bad = None

    def _finish(self) -> Scan:
        if self._end != UNKNOWN:
            self._close()
            self._lost(self._end)
            self._report()
        return self._out
