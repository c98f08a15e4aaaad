"""Labels of readings (topics, clients) and their columns in a data block: each distinct one once, and numbers.

`Numbered` is what the native drain makes: no object a reading. Lists are what everybody else makes; both become the same bytes.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from device_agent.wire.limits import MAX_LABEL


@dataclass(frozen=True, slots=True)
class Numbered:
    """One label a reading: `values[numbers[i]]` is that of reading i."""

    values: list[str | None]  # distinct
    numbers: array[int]  # 16 bits each

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, part: slice) -> Numbered:
        return Numbered(self.values, self.numbers[part])

    def __iter__(self) -> Iterator[str | None]:
        return map(self.values.__getitem__, self.numbers)


#: One value for all readings of a run, or one each.
Labels = str | None | list[str | None] | Numbered


def pack(parts: Sequence[tuple[Labels, int]]) -> list[Any]:
    """Return the column of the labels of some runs, each with its number of readings: see `wire.block`."""
    first = parts[0][0]
    if not isinstance(first, list | Numbered) and all(labels == first for labels, _ in parts):
        return [[first], 0]
    position: dict[str | None, int] = {}
    for labels, _ in parts:
        for label in _distinct(labels):
            position.setdefault(label, len(position))
    if len(position) == 1:
        return [list(position), 0]
    if len(position) <= 256:
        return [list(position), b"".join(_narrow(labels, count, position) for labels, count in parts)]
    wide = array("H")
    for labels, count in parts:
        wide.extend(_numbers(labels, count, position))
    return [list(position), little_endian(wide).tobytes()]


def _distinct(labels: Labels) -> Sequence[str | None]:
    """Return the different labels in order of their first appearance."""
    if isinstance(labels, Numbered):
        return [labels.values[number] for number in dict.fromkeys(labels.numbers)]
    return list(dict.fromkeys(labels)) if isinstance(labels, list) else [labels]


def _narrow(labels: Labels, count: int, position: dict[str | None, int]) -> bytes:
    if not isinstance(labels, Numbered) or len(labels.values) > 256:
        return bytes(_numbers(labels, count, position))
    low = labels.numbers.tobytes()[0 if sys.byteorder == "little" else 1 :: 2]
    return low.translate(bytes(_table(labels, position)).ljust(256, b"\0"))


def _numbers(labels: Labels, count: int, position: dict[str | None, int]) -> Iterator[int]:
    if isinstance(labels, Numbered):
        return map(_table(labels, position).__getitem__, labels.numbers)
    return map(position.__getitem__, labels if isinstance(labels, list) else repeat(labels, count))


def _table(labels: Numbered, position: dict[str | None, int]) -> list[int]:
    """Return the position of each value; 0 for one that only other parts of the run have."""
    return [position.get(value, 0) for value in labels.values]


def little_endian(numbers: array[int]) -> array[int]:
    """Return 16-bit numbers as they are written; turns them around in place where the machine has another order."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def is_label(text: str) -> bool:
    """Tell whether `text` may be a topic or a client: at most `MAX_LABEL` bytes of UTF-8, so without lone surrogates."""
    try:
        return len(text) <= MAX_LABEL and len(text.encode()) <= MAX_LABEL
    except UnicodeEncodeError:
        return False
