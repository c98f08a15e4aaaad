"""Ranges of sequence numbers: what was delivered, received, folded; what is missing.

Invariant: the ranges are sorted, disjoint and never adjacent, so equal sets have equal ranges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """A set of whole numbers, kept as inclusive ranges (first, last)."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add the numbers `first` to `last`; O(log n) to find the place. Raises ValueError if last < first."""
        if last < first:
            raise ValueError(f"a range ends before it begins: {first} to {last}")
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def covers(self, first: int, last: int) -> bool:
        """Tell whether every number of `first` to `last` is in the set."""
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and self._lasts[at] >= last

    def touches(self, first: int, last: int) -> bool:
        """Tell whether any number of `first` to `last` is in the set."""
        at = bisect_left(self._lasts, first)
        return at < len(self._firsts) and self._firsts[at] <= last

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of `first` to `last` that are not in the set, in order."""
        for begin, end in zip(self._firsts, self._lasts, strict=True):
            if end < first:
                continue
            if begin > last:
                break
            if begin > first:
                yield first, begin - 1
            first = end + 1
        if first <= last:
            yield first, last

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """Return the number of ranges; `count` has the number of numbers."""
        return len(self._firsts)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Ranges) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"

    @property
    def count(self) -> int:
        """Numbers in the set."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)
