"""A draft (no I/O): the records that one write will add to a segment, and the open envelope as it will be then.

It becomes the state of the log only after its fdatasync, or it is thrown away: see `appender`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from device_agent.spool import record
from device_agent.spool.record import Kind, Record
from device_agent.spool.scan import Entry


@dataclass(slots=True)
class Envelope:
    """The open envelope."""

    first: int
    time: int
    since: float  # monotonic time of its first reading
    position: int
    count: int = 0
    size: int = 0
    decoded: int = 0
    stop: int = 0

    def entry(self, stop: int) -> Entry:
        """Return it closed."""
        return Entry(self.first, self.count, self.time, self.size, self.position, stop, 0)


@dataclass(slots=True)
class Draft:
    """What one write adds to the segment of that number."""

    segment: int
    position: int
    next: int
    open: Envelope | None
    parts: list[bytes] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    notices: int = 0
    full: bool = False  # the segment is: roll before going on
    size: int = 0

    def border(self) -> None:
        """Close the open envelope."""
        envelope = self.open
        assert envelope is not None
        body = record.border_body(self.position - envelope.position, envelope.size)
        self.add(Record(kind=Kind.BORDER, first=envelope.first, count=envelope.count, time=envelope.time, body=body))
        self.entries.append(envelope.entry(self.position))
        self.open = None

    def notice(self, notice: Record) -> None:
        """Add a notice, or a jump, which is one."""
        position = self.position
        self.add(notice)
        self.entries.append(Entry(notice.first, notice.count, notice.time, 0, position, self.position, 1))

    def add(self, one: Record) -> None:
        """Add a record."""
        self.parts.append(one.encode(self.segment))
        self.position += one.size
        self.size += one.size
