"""What is sent: readings like a sensor's JSON, or recorded ones, and the file from which the C producer takes them.

File: each reading as its length (4 bytes, little-endian) and its bytes. The producer repeats the file until it has sent enough; it is
longer than what an envelope holds, so that repetition does not help compression.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Distinct readings that are generated: 18 MB, where an envelope of 64 KiB holds half a megabyte of them.
DISTINCT: Final = 200_000
#: Readings of one run hold at most so many bytes, so that large recorded ones do not take for ever.
_MOST_BYTES: Final = 400 * 2**20
_START: Final = 1_790_000_000_000  # milliseconds since 1970: any time will do


@dataclass(frozen=True, slots=True)
class Readings:
    """Payloads in the order in which they are sent, over and over, and what they are called in the table."""

    name: str
    payloads: list[bytes]

    def __post_init__(self) -> None:
        """Refuse what cannot be sent."""
        if not self.payloads:
            raise ValueError(f"{self.name}: no readings")

    @property
    def average(self) -> float:
        """Bytes a reading."""
        return sum(map(len, self.payloads)) / len(self.payloads)

    def count(self, wanted: int) -> int:
        """Return how many readings a run sends: `wanted`, fewer where they are large."""
        return max(1, min(wanted, int(_MOST_BYTES / max(1.0, self.average))))

    def bytes_of(self, count: int) -> int:
        """Return the payload bytes of the first `count` readings as the producer sends them."""
        rounds, rest = divmod(count, len(self.payloads))
        return rounds * sum(map(len, self.payloads)) + sum(map(len, self.payloads[:rest]))

    def pieces(self, count: int, size: int) -> Iterator[bytes]:
        """Yield the first `count` readings, joined, in pieces of about `size` bytes."""
        piece: list[bytes] = []
        held = 0
        for index in range(count):
            payload = self.payloads[index % len(self.payloads)]
            piece.append(payload)
            held += len(payload)
            if held >= size:
                yield b"".join(piece)
                piece, held = [], 0
        if piece:
            yield b"".join(piece)

    def write(self, path: Path) -> Path:
        """Write the producer's file."""
        path.write_bytes(b"".join(struct.pack("<I", len(payload)) + payload for payload in self.payloads))
        return path


def read(path: Path) -> list[bytes]:
    """Return the payloads of a file that `Readings.write` wrote."""
    data, payloads, at = path.read_bytes(), [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        payloads.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return payloads


def generate(count: int = DISTINCT, *, seed: int = 1) -> Readings:
    """Return readings of 20 sensors, 90 bytes on average: random walks with two decimals, as such sensors send them."""
    chance = random.Random(seed)  # noqa: S311  # the same readings in every run
    values = [[chance.uniform(15, 30), chance.uniform(30, 60), chance.uniform(3.3, 4.2)] for _ in range(20)]
    payloads = []
    now = _START
    for index in range(count):
        sensor = values[index % 20]
        for place, step in enumerate((0.2, 0.5, 0.003)):
            sensor[place] += chance.gauss(0, step)
        now += chance.randint(40, 60)
        walk = f'"temperature":{sensor[0]:.2f},"humidity":{sensor[1]:.1f},"battery":{sensor[2]:.2f}'
        text = f'{{"sensor":"rm-{index % 20:02d}","time":{now},{walk}}}'
        payloads.append(text.encode())
    return Readings("generated sensor JSON", payloads)


def incompressible(count: int, size: int, *, seed: int = 2) -> Readings:
    """Return `count` readings of `size` random bytes."""
    chance = random.Random(seed)  # noqa: S311  # as above
    return Readings(f"random bytes, {size} B", [chance.randbytes(size) for _ in range(count)])


def load(path: Path) -> Readings:
    """Return the lines of a file as readings, without their line ends; empty lines are left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has no lines.
    """
    return Readings(path.name, [line for line in path.read_bytes().splitlines() if line])
