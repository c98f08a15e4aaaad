"""Data block: readings become columns, columns become MessagePack, MessagePack becomes one zstd frame.

A block is what the spool's log stores and what an envelope carries, unchanged: nothing is done twice. It holds no sequence numbers: the
log's record and the envelope say the first, the rest follow one by one. Several blocks one behind the other are an envelope's data.

Version 1 is a map of five columns (golden files pin the bytes):

    t  receive times in microseconds since 1970 UTC, as runs: [time, readings, delta, readings, delta, readings, ...]
    s  clock state, as runs: [state, readings, state, readings, ...]; 0 unsynced, 1 synced
    T  [the distinct topics, i]: text or nil each; i says for each reading which one: see below
    C  [the distinct clients, i]: the same for the authenticated client
    p  payloads: binary for a reading of one frame, an array of binaries for any other number of frames

    i  a whole number (the same for every reading), or binary with one index a reading: 1 byte each for up to 256 distinct values,
       else 2 bytes each, little-endian
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, repeat
from typing import Any, Final

import msgpack

from device_agent.wire import labels, zstd
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.labels import Labels, Numbered, is_label, little_endian
from device_agent.wire.limits import MAX_DECODED, MAX_FRAMES, MAX_LABEL, MAX_READING, MAX_READINGS, MAX_TIME
from device_agent.wire.packed import Packed, items, packer

#: One frame, or all frames of a reading with none or several.
Payload = bytes | list[bytes]

_COLUMNS: Final = {"t", "s", "T", "C", "p"}
_MAP: Final = b"\x85"  # MessagePack: a map of five
_PAYLOADS: Final = b"\xa1p"  # and the key of the last


@dataclass(frozen=True, slots=True)
class Run:
    """Readings that one input received in one turn, in order: they share a receive time and a clock state.

    Not checked here, since it is made on the hot path: `router` makes only valid ones, and `decode` refuses the rest.
    """

    received: int  # microseconds since 1970 UTC
    synced: bool  # whether the clock was set when they were received
    payloads: list[Payload] | Packed
    topics: Labels = None
    clients: Labels = None

    def __len__(self) -> int:
        return len(self.payloads)

    def split(self, count: int) -> tuple[Run, Run]:
        """Return the first `count` readings and the rest, as two runs."""
        return self.part(slice(None, count)), self.part(slice(count, None))

    def part(self, part: slice) -> Run:
        """Return some of the readings as a run."""
        topics, clients = (column[part] if isinstance(column, list | Numbered) else column for column in (self.topics, self.clients))
        return Run(self.received, self.synced, self.payloads[part], topics, clients)


@dataclass(frozen=True, slots=True)
class Readings:
    """Decoded readings, a list a column, all of one length."""

    received: list[int]
    synced: list[bool]
    topics: list[str | None]
    clients: list[str | None]
    payloads: list[Payload]

    def __len__(self) -> int:
        return len(self.payloads)

    def rows(self) -> Iterator[tuple[int, bool, str | None, str | None, Payload]]:
        """Yield (received, synced, topic, client, payload) of each reading in order."""
        return zip(self.received, self.synced, self.topics, self.clients, self.payloads, strict=True)


def encode_columns(runs: Sequence[Run]) -> bytes:
    """Return the runs' readings as the MessagePack map above, not yet compressed.

    Times may step backwards (a clock that is set). The caller keeps `MAX_READINGS` and `MAX_DECODED`. A run without readings adds nothing;
    raises ValueError if there is no reading at all.
    """
    runs = [run for run in runs if len(run)]
    if not runs:
        raise ValueError("a data block needs at least one reading")
    times: list[int] = []
    states: list[int] = []
    before = 0
    for run in runs:
        count = len(run)
        if times and run.received == before:
            times[-1] += count
        else:
            times += (run.received - before, count)
            before = run.received
        if states and states[-2] == run.synced:
            states[-1] += count
        else:
            states += (int(run.synced), count)
    pack = packer().pack
    columns = {
        "t": times,
        "s": states,
        "T": labels.pack([(run.topics, len(run)) for run in runs]),
        "C": labels.pack([(run.clients, len(run)) for run in runs]),
    }
    head = packer().pack_array_header(sum(map(len, runs)))
    return b"".join((_MAP, items(pack(columns), len(columns)), _PAYLOADS, head, *_payloads(runs)))


def _payloads(runs: Sequence[Run]) -> Iterator[memoryview]:
    for run in runs:
        if isinstance(run.payloads, Packed):
            yield run.payloads.items()
        else:
            yield items(packer().pack(run.payloads), len(run))


def encode(runs: Sequence[Run], *, level: int = 1) -> bytes:
    """Return the runs' readings as one data block."""
    return zstd.compress(encode_columns(runs), level=level)


def decode(data: bytes) -> Readings:
    """Decode one or more blocks, one behind the other, into the readings of all.

    Raises:
        EnvelopeError: not blocks of version 1, or more than `MAX_DECODED` bytes or `MAX_READINGS` readings.
    """
    packed = zstd.decompress(data, limit=MAX_DECODED)
    columns: Readings | None = None
    count = _Counter()
    unpacker = msgpack.Unpacker(
        None,
        raw=False,
        strict_map_key=True,
        max_buffer_size=len(packed),
        max_array_len=min(2 * MAX_READINGS, len(packed)),
        max_map_len=len(_COLUMNS),
        list_hook=count,
        object_hook=count,
        ext_hook=_no_extension,
    )
    try:
        unpacker.feed(packed)
        while unpacker.tell() < len(packed):
            columns = _join(columns, _columns(unpacker.unpack()))
    except EnvelopeError:
        raise
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise EnvelopeError(f"data is not MessagePack columns: {type(error).__name__}") from None
    if columns is None:
        raise EnvelopeError("data is empty")
    return columns


class _Counter:
    """Bounds the containers in an envelope: an empty one is 1 byte on the wire and 72 in memory.

    A block has 8, and one for each reading that is a list of frames.
    """

    def __init__(self) -> None:
        self._left = 9 * MAX_READINGS

    def __call__(self, container: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise EnvelopeError("data holds more arrays and maps than columns can have")
        return container


def _no_extension(kind: int, _data: bytes) -> object:
    raise EnvelopeError(f"data holds the MessagePack extension type {kind}")


def _join(before: Readings | None, block: Readings) -> Readings:
    if before is None:
        return block
    if len(before) + len(block) > MAX_READINGS:
        raise EnvelopeError(f"data holds more than {MAX_READINGS} readings")
    for column in Readings.__slots__:
        getattr(before, column).extend(getattr(block, column))
    return before


def _columns(block: object) -> Readings:
    if not isinstance(block, dict) or set(block) != _COLUMNS:
        raise EnvelopeError("a data block is not a map of the columns t, s, T, C and p")
    payloads = block["p"]
    if not isinstance(payloads, list) or not 1 <= len(payloads) <= MAX_READINGS:
        raise EnvelopeError(f"column p is not an array of 1 to {MAX_READINGS} readings")
    if set(map(type, payloads)) != {bytes} or max(map(len, payloads)) > MAX_READING:
        _check_payloads(payloads)
    count = len(payloads)
    received = _times(block["t"], count)
    synced = [bool(state) for state in _expand(block["s"], count, "s", low=0, high=1)]
    return Readings(received, synced, _labels(block["T"], count, "T"), _labels(block["C"], count, "C"), payloads)


def _check_payloads(payloads: list[object]) -> None:
    for payload in payloads:
        frames = payload if isinstance(payload, list) else [payload]
        if not all(type(frame) is bytes for frame in frames):
            raise EnvelopeError("column p holds something other than binary frames")
        if isinstance(payload, list) and len(payload) == 1:
            raise EnvelopeError("column p holds a reading of one frame as an array")
        if len(frames) > MAX_FRAMES or sum(map(len, frames)) > MAX_READING:
            raise EnvelopeError(f"column p holds a reading of more than {MAX_READING} bytes or {MAX_FRAMES} frames")


def _times(column: object, count: int) -> list[int]:
    runs = _runs(column, count, "t")
    times = list(accumulate(runs[::2]))
    if min(times) < 0 or max(times) > MAX_TIME:
        raise EnvelopeError("column t holds a time outside the years 1970 to 9999")
    return list(chain.from_iterable(map(repeat, times, runs[1::2])))


def _expand(column: object, count: int, name: str, *, low: int, high: int) -> Iterator[int]:
    runs = _runs(column, count, name)
    if min(runs[::2]) < low or max(runs[::2]) > high:
        raise EnvelopeError(f"column {name} holds a value outside {low} to {high}")
    return chain.from_iterable(map(repeat, runs[::2], runs[1::2]))


def _runs(column: object, count: int, name: str) -> list[int]:
    if not isinstance(column, list) or not column or len(column) % 2 or set(map(type, column)) != {int}:
        raise EnvelopeError(f"column {name} is not an array of pairs of whole numbers")
    lengths = column[1::2]
    if min(lengths) < 1 or sum(lengths) != count:
        raise EnvelopeError(f"column {name} does not have one value a reading")
    return column


def _labels(column: object, count: int, name: str) -> list[str | None]:
    if not isinstance(column, list) or len(column) != 2 or not isinstance(column[0], list) or not column[0]:
        raise EnvelopeError(f"column {name} is not [values, indexes]")
    values, indexes = column
    if len(values) > count:
        raise EnvelopeError(f"column {name} has more values than readings")
    for value in values:
        if value is not None and (type(value) is not str or not is_label(value)):
            raise EnvelopeError(f"column {name} holds a value that is not text of at most {MAX_LABEL} bytes")
    if type(indexes) is int:
        if not 0 <= indexes < len(values):
            raise EnvelopeError(f"column {name} points outside its values")
        return [values[indexes]] * count
    if type(indexes) is not bytes or len(indexes) != count * (1 if len(values) <= 256 else 2):
        raise EnvelopeError(f"column {name} does not have one index a reading")
    wide = indexes if len(values) <= 256 else little_endian(array("H", indexes))
    if max(wide) >= len(values):
        raise EnvelopeError(f"column {name} points outside its values")
    return list(map(values.__getitem__, wide))
