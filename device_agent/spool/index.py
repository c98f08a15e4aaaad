"""Index of one segment (no I/O): its envelopes and notices, and which of them are still to be taken.

Invariant: `Free` holds sorted, disjoint, non-adjacent spans of entry numbers; an entry is in it if and only if nobody has it and it is not
settled. 48 bytes an entry, so that a segment full of the smallest envelopes costs about a megabyte.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from device_agent.spool.scan import Entry

_WIDTH: Final = len(Entry._fields)


class Entries:
    """A list of `Entry`, packed."""

    __slots__ = ("_numbers",)

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._numbers = array("Q")
        for entry in entries:
            self.append(entry)

    def append(self, entry: Entry) -> None:
        """Add one at the end."""
        self._numbers.extend(entry)

    def __len__(self) -> int:
        return len(self._numbers) // _WIDTH

    def __getitem__(self, at: int) -> Entry:
        at = range(len(self))[at]
        return Entry(*self._numbers[at * _WIDTH : (at + 1) * _WIDTH])

    def __iter__(self) -> Iterator[Entry]:
        return (self[at] for at in range(len(self)))


class Free:
    """The entries that can be taken."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans: list[list[int]] = []  # [first, behind the last]

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self._spans)

    @property
    def first(self) -> int:
        """The lowest."""
        return self._spans[0][0]

    def oldest(self) -> int:
        """Take out and return the lowest."""
        span = self._spans[0]
        at = span[0]
        span[0] += 1
        if span[0] == span[1]:
            del self._spans[0]
        return at

    def newest(self) -> int:
        """Take out and return the highest."""
        span = self._spans[-1]
        span[1] -= 1
        at = span[1]
        if span[0] == span[1]:
            del self._spans[-1]
        return at

    def add(self, at: int) -> None:
        """Put one in, at the end or back in its old place."""
        where = bisect_right(self._spans, [at, at])
        left = where > 0 and self._spans[where - 1][1] == at
        right = where < len(self._spans) and self._spans[where][0] == at + 1
        if left and right:
            self._spans[where - 1][1] = self._spans[where][1]
            del self._spans[where]
        elif left:
            self._spans[where - 1][1] = at + 1
        elif right:
            self._spans[where][0] = at
        else:
            self._spans.insert(where, [at, at + 1])
