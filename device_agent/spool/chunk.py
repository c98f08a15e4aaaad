"""Aggregator, first half (no I/O): batches become data blocks that fill envelopes.

Promises: a block never exceeds the room it is given (bytes, readings, decoded bytes); readings keep their order; no work is done per
reading in Python beyond what slicing a list costs.

How: `Feed` is a cursor over the batches of one stream. `Filler` predicts from the last blocks how many readings fill the room, encodes that
many, and takes fewer if they do not fit. On real sensor readings neighbouring blocks compress alike within some per cent, so one block
fills an envelope most of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from device_agent.ports import Batch
from device_agent.wire import zstd
from device_agent.wire.block import Run, encode_columns
from device_agent.wire.packed import Packed

#: MessagePack's cost of a payload's type and length, at most (bin 32).
_PAYLOAD_HEAD: Final = 5
#: Fill the room to this part of what the prediction says: overshooting costs a second compression, undershooting a second block.
_AIM: Final = 0.985
#: No block is smaller (five columns, a zstd frame around them); less room is none.
_SMALLEST: Final = 24
#: Raw bytes after which an observed ratio counts for half.
_HALF: Final = 32 * 1024


@dataclass(slots=True)
class Item:
    """A batch on its way to the disk."""

    batch: Batch
    since: float  # monotonic time of `put`
    done: int = 0  # readings that are on disk, synced
    first: int = 0  # sequence number of the first reading, once `done` > 0

    @property
    def left(self) -> int:
        """Readings not on disk yet."""
        return len(self.batch.run) - self.done


@dataclass(frozen=True, slots=True)
class Piece:
    """Some readings from a feed: runs, their number, and about their payload bytes."""

    runs: list[Run]
    count: int
    raw: int
    since: float


class Feed:
    """Cursor over items, ahead of what is on disk: `advance` moves it, `mark` says that all before it is synced, `rewind` goes back."""

    def __init__(self, items: Sequence[Item], first: int) -> None:
        self._items = items
        self._first = first  # sequence number of the reading at the mark
        self._mark = self._step((0, 0), 0)  # item, reading in it, not counting `done`
        self._at = self._mark
        self._ahead = 0

    @property
    def more(self) -> bool:
        """Whether readings are left."""
        return self._at[0] < len(self._items)

    def peek(self, *, readings: int, raw: float) -> Piece:
        """Return at least one and at most `readings` readings with about `raw` payload bytes."""
        runs: list[Run] = []
        taken, total = 0, 0
        at, start = self._at
        since = self._items[at].since
        while at < len(self._items) and taken < readings:
            item = self._items[at]
            run, offset = item.batch.run, item.done + start
            count = min(len(run) - offset, readings - taken)
            size = item.batch.size * count // max(1, len(run)) + _PAYLOAD_HEAD * count
            if total + size > raw and taken + count > 1:
                count = _fitting(run, offset, count, size, raw - total, at_least=0 if taken else 1)
                if not count:
                    break
                size = _bytes(run, offset, offset + count)
            runs.append(run if count == len(run) else run.part(slice(offset, offset + count)))
            taken, total = taken + count, total + size
            if total >= raw or offset + count < len(run):
                break  # never past a run of which a part is left
            at, start = at + 1, 0
        return Piece(runs, taken, total, since)

    def advance(self, count: int) -> None:
        """Step over `count` readings."""
        self._ahead += count
        self._at = self._step(self._at, count)

    def _step(self, place: tuple[int, int], count: int) -> tuple[int, int]:
        at, start = place
        while at < len(self._items):
            step = min(count, self._items[at].left - start)
            count, start = count - step, start + step
            if start < self._items[at].left:
                break
            at, start = at + 1, 0
        return at, start

    def rewind(self) -> None:
        """Go back to the mark."""
        self._at, self._ahead = self._mark, 0

    def mark(self) -> tuple[int, int]:
        """All readings before the cursor are synced: note it in the items; return (readings, payload bytes about) since the last mark."""
        at, start = self._at
        number, size = self._first, 0
        for index in range(self._mark[0], min(at + 1, len(self._items))):
            item = self._items[index]
            count = item.left if index < at else start
            if not item.done:
                item.first = number
            number += count
            size += item.batch.size * count // max(1, len(item.batch.run))
            item.done += count
        readings, self._ahead, self._first = self._ahead, 0, number
        self._mark = self._at = (at, 0)
        return readings, size


def _fitting(run: Run, offset: int, count: int, size: int, raw: float, *, at_least: int) -> int:
    """Return how many of `count` readings from `offset`, `size` bytes if all were alike, have about `raw` bytes."""
    guess = max(at_least, min(count, int(raw * count / size)))
    real = _bytes(run, offset, offset + guess)
    if real > raw * 1.2:  # not alike: the large ones come first
        guess = max(at_least, int(guess * raw / real))
    return guess


def _bytes(run: Run, start: int, stop: int) -> int:
    if isinstance(run.payloads, Packed):
        return run.payloads.size(start, stop)
    payloads = run.payloads[start:stop]
    size = sum(map(len, payloads)) + _PAYLOAD_HEAD * len(payloads)
    if list in set(map(type, payloads)):
        size += sum(sum(map(len, payload)) + _PAYLOAD_HEAD * len(payload) for payload in payloads if isinstance(payload, list))
    return size


@dataclass(frozen=True, slots=True)
class DataBlock:
    """A data block, ready for a record."""

    data: bytes
    count: int
    decoded: int  # bytes of its columns
    time: int  # receive time of its first reading
    since: float  # monotonic time of that


class Filler:
    """Makes blocks that fill the room they are given."""

    def __init__(self, *, level: int = 1) -> None:
        self._level = level
        self._raw, self._data = 2.0, 1.0  # decayed sums: their quotient is the expected compression

    def block(self, feed: Feed, *, room: int, readings: int, decoded: int, largest: int = 0) -> DataBlock | None:
        """Return a block of the feed's next readings and step over them; None if not even one fits.

        Args:
            feed: where the readings come from; it must have some.
            room: bytes that the block may have.
            readings: readings that it may have.
            decoded: bytes that its columns may have.
            largest: bytes that it may have if it is a single reading (an envelope of its own), 0 for `room`.
        """
        if readings < 1 or decoded < 1 or max(room, largest) < _SMALLEST:
            return None
        piece = feed.peek(readings=readings, raw=min(room * self._raw / self._data * _AIM, decoded))
        while True:
            columns = encode_columns(piece.runs)
            allowed = max(room, largest) if piece.count == 1 else room
            part = decoded / len(columns)
            if part >= 1 or (piece.count == 1 and largest):
                data = zstd.compress(columns, level=self._level)
                self._learn(len(columns), len(data))
                part = allowed / len(data)
                if part >= 1:
                    feed.advance(piece.count)
                    return DataBlock(data, piece.count, len(columns), piece.runs[0].received, piece.since)
            count = min(piece.count - 1, int(piece.count * part * _AIM))
            if count < 1 and piece.count > 1 and largest:
                count = 1
            if count < 1:
                return None
            piece = feed.peek(readings=count, raw=float("inf"))

    def _learn(self, raw: int, data: int) -> None:
        keep = _HALF / (_HALF + raw)
        self._raw, self._data = self._raw * keep + raw, self._data * keep + data


def cost(batch: Batch) -> int:
    """Bytes of memory that a waiting batch holds, about: payloads, and CPython's 33 bytes and a pointer for each that is an object."""
    run = batch.run
    return run.payloads.size(0, len(run)) if isinstance(run.payloads, Packed) else batch.size + 64 * len(run)
