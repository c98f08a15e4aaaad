"""Payloads in MessagePack before their block is made: many objects become one byte string where they were received.

Promises: what comes out is what went in, in order; any part can be cut off without packing anything again.

How: the payloads lie one behind the other, each a binary or an array of binaries. Where every 64th begins is known; what is between is
found by skipping. A block's column of payloads is one array, so it takes the bytes as they are. The native drain (`intake/native`) writes
them straight out of ZeroMQ's memory; without it the objects are packed in the thread that made them while they are in its cache, and the
thread that writes, which would hold the interpreter lock against the receiving one, is left with joining (figures: docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from threading import local
from typing import Final

import msgpack

#: Payloads between two known places: fewer cost memory, more cost time to find a place between them.
STEP: Final = 64
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
    """A column of payloads."""

    __slots__ = ("_all", "_data", "_marks", "_start", "_stop")

    def __init__(self, data: bytes, count: int, marks: list[int]) -> None:
        """Take over packed payloads.

        Args:
            data: MessagePack binaries and arrays of binaries, one behind the other.
            count: how many.
            marks: where payload `STEP`, 2 * `STEP`, ... begins in `data`, for all below `count`, and perhaps where they end.
        """
        self._data, self._marks, self._all = data, marks, count
        self._start, self._stop = 0, count

    @classmethod
    def of(cls, payloads: list[bytes]) -> Packed:
        """Pack `payloads`; they are not kept."""
        pack, count = packer().pack, len(payloads)
        pieces = [items(pack(payloads[at : at + STEP]), min(STEP, count - at)) for at in range(0, count, STEP)]
        return cls(b"".join(pieces), count, list(accumulate(map(len, pieces))))

    def __len__(self) -> int:
        return self._stop - self._start

    def __iter__(self) -> Iterator[bytes | list[bytes]]:
        yield from msgpack.unpackb(packer().pack_array_header(len(self)) + bytes(self.items()))

    def __getitem__(self, part: slice) -> Packed:
        """Return a part, without steps."""
        start, stop, _ = part.indices(len(self))
        found = Packed(self._data, self._all, self._marks)
        found._start, found._stop = self._start + start, self._start + max(start, stop)
        return found

    def size(self, start: int, stop: int) -> int:
        """Return the bytes of a part in MessagePack."""
        return self._place(self._start + stop) - self._place(self._start + start)

    def items(self) -> memoryview:
        """Return the payloads in MessagePack, one behind the other."""
        return memoryview(self._data)[self._place(self._start) : self._place(self._stop)]

    def _place(self, number: int) -> int:
        """Return where a payload begins, of all that are in the bytes."""
        if number == self._all:
            return len(self._data)
        mark, beyond = divmod(number, STEP)
        place = self._marks[mark - 1] if mark else 0
        if not beyond:
            return place
        end = self._marks[mark] if mark < len(self._marks) else len(self._data)
        unpacker = msgpack.Unpacker(max_buffer_size=max(1, end - place))
        unpacker.feed(memoryview(self._data)[place:end])
        for _ in range(beyond):
            unpacker.skip()
        return place + int(unpacker.tell())
