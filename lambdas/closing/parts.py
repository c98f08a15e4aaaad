"""Parts: pure arithmetic over the folded ranges of a line, which are stored in parts of bounded size.

Promises
1. `spans` covers every number that is not folded, in at most `most` pieces: claims are looked for there and nowhere else.
2. `grown` returns parts that hold all that they held, and together all that was found; no part gets a new range beyond `MAX_PART`.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from itertools import pairwise
from typing import Final

from device_agent.wire.books import add, without
from device_agent.wire.ledger import write_ranges
from device_agent.wire.limits import MAX_SEQ
from device_agent.wire.ranges import Ranges
from lambdas.closing.ports import Part

#: Bytes of text in one part, about: a quarter of what an item may have (400 KB, DynamoDB quotas). Numbers of ranges that
#: join neighbours do not count, since a joint never needs more digits than its two sides.
MAX_PART: Final = 100_000
#: Spans, and so queries, a line: more holes than that are read through together with what is folded between the nearest of them.
MOST_SPANS: Final = 16


def folded(parts: Iterable[Part]) -> Ranges:
    """Return all that is folded."""
    union = Ranges()
    for part in parts:
        add(union, part.ranges)
    return union


def spans(known: Ranges, *, most: int = MOST_SPANS) -> list[tuple[int, int]]:
    """Return where numbers that are not in `known` may be, in order; the last span is open to the end of all numbers.

    An envelope's claim stands under its first number, and envelopes of a line never overlap: so the claim of what is not folded has a
    first number that is not folded either.
    """
    holes = list(known.missing(1, MAX_SEQ))
    if not holes:
        return []
    between = [(after[0] - before[1], at) for at, (before, after) in enumerate(pairwise(holes), 1)]
    cuts = sorted(at for _, at in nlargest(most - 1, between))  # keep the longest folded stretches out
    return [(holes[begin][0], holes[end - 1][1]) for begin, end in zip([0, *cuts], [*cuts, len(holes)], strict=True)]


def grown(parts: list[Part], found: Ranges, *, limit: int = MAX_PART) -> list[Part]:
    """Return the parts that change when `found` is folded, each with its next version; nothing if it is all there already."""
    ranges = {part.number: Ranges(part.ranges) for part in parts}
    versions = {part.number: part.version for part in parts}
    sizes = {number: len(write_ranges(one)) for number, one in ranges.items()}
    changed = set()
    for first, last in without(found, folded(parts)):
        number = _place(ranges, sizes, first, last, limit)
        ranges.setdefault(number, Ranges()).add(first, last)
        sizes[number] = sizes.get(number, 0) + len(f"{first}-{last},")
        changed.add(number)
    return [Part(number, ranges[number], versions.get(number, 0) + 1) for number in sorted(changed)]


def _place(ranges: dict[int, Ranges], sizes: dict[int, int], first: int, last: int, limit: int) -> int:
    """Return the part for a range: one that it can join, else the newest one that has room, else a new one."""
    for number, one in ranges.items():
        if one.touches(first - 1, last + 1):
            return number
    newest = max(ranges, default=0)
    full = sizes.get(newest, 0) + len(f"{first}-{last},") > limit
    return newest + 1 if full and newest in ranges else newest
