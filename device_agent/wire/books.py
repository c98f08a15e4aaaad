"""Books: what became of each sequence number of a line. Pure; the command `audit` and the functions that close and check share it.

Promises
1. Every number from 1 to the highest known one is in exactly one column, so the columns add up.
2. What was received counts as received, whatever else is said of it: a received reading beats a notice.

Columns, in this precedence: received (folded for good, or claimed by an object that is data), pending (claimed, its object not seen as
data: an invocation is at work on it, or failed and its message comes back), quarantined, damaged, dropped (the board said so), missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges

#: Why numbers did not come, in order of precedence; the words of a notice.
REASONS: Final = ("quarantined", "damaged", "dropped")

Pairs = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Facts:
    """What the ledger says of a line, as it was read: collected, then settled."""

    ordinal: int = 0
    received: Ranges = field(default_factory=Ranges)
    claimed: Ranges = field(default_factory=Ranges)  # by an object that was not seen as data
    lost: Ranges = field(default_factory=Ranges)  # the same, so long ago that no message can bring them
    noticed: dict[str, Ranges] = field(default_factory=lambda: {reason: Ranges() for reason in REASONS})


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBooks:
    """The settled books of a line; each column as inclusive ranges (first, last)."""

    line: Line
    ordinal: int
    received: Pairs = ()
    pending: Pairs = ()
    quarantined: Pairs = ()
    damaged: Pairs = ()
    dropped: Pairs = ()
    missing: Pairs = ()

    @property
    def highest(self) -> int:
        """The highest number that anything is known of; 0 if nothing is."""
        return max((last for column in COLUMNS for _, last in getattr(self, column)), default=0)

    def count(self, column: str) -> int:
        """Numbers in a column."""
        return count(getattr(self, column))


COLUMNS: Final = ("received", "pending", "quarantined", "damaged", "dropped", "missing")


def settle(line: Line, facts: Facts) -> LineBooks:
    """Put every number into its one column."""
    taken = Ranges(facts.received)
    columns = {"received": taken, "pending": without(facts.claimed, taken)}
    for reason in REASONS:
        add(taken, columns["pending"])
        columns[reason] = without(facts.noticed[reason], taken)
        add(taken, columns[reason])
    highest = max((last for ranges in (taken, facts.lost) for _, last in ranges), default=0)
    missing = tuple(taken.missing(1, highest)) if highest else ()
    received = facts.received
    pairs = {name: tuple(ranges) for name, ranges in (columns | {"received": received}).items()}
    return LineBooks(line=line, ordinal=facts.ordinal, missing=missing, **pairs)


def count(pairs: Iterable[tuple[int, int]]) -> int:
    """Numbers in ranges that do not overlap."""
    return sum(last - first + 1 for first, last in pairs)


def add(ranges: Ranges, others: Iterable[tuple[int, int]]) -> None:
    """Add to `ranges` what is in `others`."""
    for first, last in others:
        ranges.add(first, last)


def without(ranges: Iterable[tuple[int, int]], others: Ranges) -> Ranges:
    """Return what is in `ranges` and not in `others`."""
    return Ranges(rest for first, last in ranges for rest in others.missing(first, last))
