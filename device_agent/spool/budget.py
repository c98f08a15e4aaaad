"""Division of the hard cap (no I/O): who may take how many bytes of the file system.

Invariant: the shares, the quarantine, the journals and what directories and small files cost add up to at most `max_bytes`.
A stream's share is a whole number of bytes that its segments may take, allocated ones included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from device_agent.config import StreamConfig
from device_agent.errors import ConfigError
from device_agent.spool import journal
from device_agent.wire.limits import KIB, MAX_READING, MIB

#: What file systems count in.
PAGE: Final = 4 * KIB
SMALLEST_SEGMENT: Final = 64 * KIB
LARGEST_SEGMENT: Final = 4 * MIB
#: End of each segment that readings leave free, for borders and notices: a full spool must still be able to write them.
CONTROL: Final = 4 * KIB
#: Segments that a share must have room for: one that is written, one that is read, and one for notices when the others are full.
SEGMENTS: Final = 3
_FIXED: Final = 8 * PAGE  # the directory itself, its lock, quarantine and what was found damaged
_PER_STREAM: Final = 4 * PAGE  # its directories


def pages(size: int) -> int:
    """Bytes that a file of `size` bytes takes."""
    return -(-size // PAGE) * PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one stream may take."""

    limit: int  # bytes of its segments
    segment: int  # bytes of one
    journal: int  # bytes at which its journal is rewritten

    @property
    def max_reading(self) -> int:
        """Largest reading: half a segment, so that a segment is never mostly waste, and never more than the wire takes."""
        return min(MAX_READING, self.segment // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The whole division."""

    quarantine: int
    shares: dict[str, Share]


def divide(max_bytes: int, streams: Sequence[StreamConfig], *, foreign: int = 0) -> Budget:
    """Divide `max_bytes` among the streams by weight; `foreign` bytes are taken by streams that are no longer configured.

    Raises:
        ConfigError: too little for that many streams.
    """
    small = min(64 * KIB, max(journal.SMALLEST, max_bytes // 256 // max(1, len(streams)) // PAGE * PAGE))
    quarantine = max_bytes // 8 // PAGE * PAGE
    # a journal has up to twice its limit, and as much while it is rewritten
    rest = max_bytes - quarantine - _FIXED - len(streams) * (_PER_STREAM + 4 * pages(small))
    weights = sum(stream.share for stream in streams)
    shares = {}
    for stream in streams:
        whole = rest * stream.share // weights // PAGE * PAGE
        if whole < SEGMENTS * SMALLEST_SEGMENT:
            raise ConfigError(
                f"{max_bytes} bytes are too little for {len(streams)} streams: "
                f"stream {stream.name!r} gets {max(0, whole)} and needs {SEGMENTS * SMALLEST_SEGMENT}; "
                f"raise spool.max_bytes or the stream's share",
                key=("spool", "max_bytes"),
            )
        segment = max(SMALLEST_SEGMENT, min(LARGEST_SEGMENT, whole // 8 // PAGE * PAGE))
        limit = whole - foreign * stream.share // weights
        shares[stream.name] = Share(limit=max(segment, limit), segment=segment, journal=small)
    return Budget(quarantine=quarantine, shares=shares)
