"""Payloads in MessagePack before their block is made: many objects become a few byte strings where they were received.

Promises: what comes out is what went in, in order; any part can be cut off, at the cost of packing at most two pieces again.

How: pieces are MessagePack arrays of binaries, up to `_PIECE` each. A block's column of payloads is one array, so it takes the pieces
without their heads. The objects are freed in the thread that made them while they are in its cache, and the thread that writes, which
would hold the interpreter lock against the receiving one, is left with joining some pieces (figures: docs/performance.md).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import chain, pairwise
from threading import local
from typing import Final

import msgpack

#: Readings a piece: fewer cost time to join, more cost time to cut.
_PIECE: Final = 64
_own = local()


def packer() -> msgpack.Packer:
    """Return this thread's packer: one that is kept is quicker than `packb`, and it is not safe to share."""
    if "packer" not in _own.__dict__:
        _own.packer = msgpack.Packer(use_bin_type=True)
    return _own.packer


def items(array: bytes, count: int) -> memoryview:
    """Return an array (or a map of fewer than 16) without its head."""
    return memoryview(array)[1 if count < 16 else 3 if count < 65536 else 5 :]


class Packed:
    """A column of payloads of one frame each."""

    __slots__ = ("_ends", "_pieces")

    def __init__(self, payloads: list[bytes]) -> None:
        """Pack `payloads`; they are not kept."""
        pack = packer().pack
        count = len(payloads)
        self._pieces: list[bytes] = [pack(payloads[start : start + _PIECE]) for start in range(0, count, _PIECE)]
        self._ends: list[int] = [0, *range(_PIECE, count, _PIECE), count]  # of the piece before each, and of the last

    def __len__(self) -> int:
        return self._ends[-1]

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(map(_unpack, self._pieces))

    def __getitem__(self, part: slice) -> Packed:
        """Return a part, without steps."""
        start, stop, _ = part.indices(len(self))
        found = Packed([])
        found._pieces, found._ends = [], [0]
        for at, first, end in self._between(start, stop):
            piece = self._pieces[at]
            whole = start <= first and end <= stop
            found._pieces.append(piece if whole else packer().pack(_unpack(piece)[max(0, start - first) : stop - first]))
            found._ends.append(min(end, stop) - start)
        return found

    def size(self, start: int, stop: int) -> int:
        """Return the bytes of a part in MessagePack, about: of a piece that is cut, its readings count as if they were alike."""
        parts = self._between(start, stop)
        return sum(len(self._pieces[at]) * (min(end, stop) - max(first, start)) // (end - first) for at, first, end in parts)

    def _between(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield number, first reading and end of each piece that the part touches."""
        ends = self._ends
        for at in range(bisect_right(ends, start) - 1, bisect_left(ends, stop)):
            yield at, ends[at], ends[at + 1]

    def items(self) -> Iterator[memoryview]:
        """Yield the payloads in MessagePack, one behind the other, many at a time."""
        return (items(piece, end - first) for piece, (first, end) in zip(self._pieces, pairwise(self._ends), strict=True))


def _unpack(piece: bytes) -> list[bytes]:
    return msgpack.unpackb(piece)  # type: ignore[no-any-return]  # msgpack has no types
