"""Codec (no I/O): the records that segments and journals consist of, to the byte.

A record is a header of 52 bytes and a body, all numbers little-endian (golden files pin the bytes; `docs/spool.md` has the table):

     0  magic     4  ab 44 41 4c
     4  version   1  1
     5  kind      1  `Kind`
     6  offset    2  DATA: readings of the same envelope before this record; else 0
     8  length    4  bytes of the body
    12  body_crc  4  CRC-32C of the body
    16  segment   8  number of the segment that the record stands in; a copy of an old segment's bytes is not taken for this one's
    24  first     8  first sequence number
    32  count     8  sequence numbers from `first` that the record speaks for
    40  time      8  microseconds since 1970 UTC: receive time of the first reading, else when the record was made
    48  crc       4  CRC-32C of the 48 bytes before

`offset` makes borders redundant: a DATA record with offset 0 opens an envelope and so ends the one before. A lost border, and the open end
of a segment that could not be written any further, are found again from it.

After damage `find` goes on at the next place where magic, header checksum and segment number are right.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from crc32c import crc32c

from device_agent.wire.content import REASONS
from device_agent.wire.limits import MAX_SEQ, MAX_TIME

MAGIC: Final = b"\xabDAL"
VERSION: Final = 1

_HEADER: Final = struct.Struct("<4sBBHIIQQQQ")
_CRC: Final = struct.Struct("<I")
_BORDER: Final = struct.Struct("<II")
_SEGMENT: Final = struct.Struct("<8s16s")
HEADER_SIZE: Final = _HEADER.size + _CRC.size
BORDER_SIZE: Final = HEADER_SIZE + _BORDER.size


class Kind(IntEnum):
    """What a record says."""

    SEGMENT = 1  # begins every segment; `first` is its base; body: epoch (8 bytes), BLAKE2b-128 of the machine (16 bytes, 0: unknown)
    DATA = 2  # `count` readings from `first`; body: one data block (device_agent.wire.block)
    BORDER = 3  # the envelope first..first+count-1 is closed; body: bytes back to its first DATA record (4), bytes of its blocks (4)
    JUMP = 4  # numbers used by readings that were dropped; counts them off, and is a notice; body as NOTICE
    NOTICE = 5  # numbers that will not come; body: reason, a zero byte, detail, in UTF-8
    JOURNAL = 6  # begins every journal; body: epoch (8 bytes)
    SETTLED = 7  # in a journal: the cloud has these numbers, or a notice that speaks for them is in the log
    TOLD = 8  # in a journal: the notice for first..first+count-1 in segment `segment` has reached the cloud


class Header(NamedTuple):
    """A header that passed its checksum."""

    kind: int
    offset: int
    length: int
    body_crc: int
    segment: int
    first: int
    numbers: int  # `count`, a name that a tuple has already
    time: int

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return HEADER_SIZE + self.length

    @property
    def last(self) -> int:
        """Last sequence number that the record speaks for; `first` - 1 for none."""
        return self.first + self.numbers - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record before it has a place; `encode` gives it the segment's number."""

    kind: Kind
    first: int
    count: int
    time: int
    body: bytes = b""
    offset: int = 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return HEADER_SIZE + len(self.body)

    def encode(self, segment: int) -> bytes:
        """Return the bytes of the record in segment `segment`."""
        head = _HEADER.pack(
            MAGIC, VERSION, self.kind, self.offset, len(self.body), crc32c(self.body), segment, self.first, self.count, self.time
        )
        return b"".join((head, _CRC.pack(crc32c(head)), self.body))


def header_at(data: bytes | memoryview, position: int) -> Header | None:
    """Return the header at `position`, or None if there is none of this version with a right checksum and possible numbers."""
    end = position + _HEADER.size
    if end + _CRC.size > len(data) or bytes(data[position : position + 4]) != MAGIC:
        return None
    if crc32c(bytes(data[position:end])) != _CRC.unpack_from(data, end)[0]:
        return None
    _, version, *rest = _HEADER.unpack_from(data, position)
    header = Header(*rest)
    possible = header.last <= MAX_SEQ and header.offset <= max(0, header.first - 1) and header.time <= MAX_TIME
    return header if version == VERSION and possible else None


def body_at(data: bytes | memoryview, position: int, header: Header) -> bytes | None:
    """Return the body behind the header at `position`, or None if it is cut short or its checksum is wrong."""
    start = position + HEADER_SIZE
    body = bytes(data[start : start + header.length])
    return body if len(body) == header.length and crc32c(body) == header.body_crc else None


def find(data: bytes, start: int, segment: int) -> int:
    """Return the next position from `start` with a sound header of segment `segment`, or -1."""
    position = data.find(MAGIC, start)
    while position >= 0:
        header = header_at(data, position)
        if header is not None and header.segment == segment:
            return position
        position = data.find(MAGIC, position + 1)
    return -1


# Bodies


def segment_body(epoch: str, machine: bytes) -> bytes:
    """Body of a SEGMENT record; `machine` is 16 bytes, all zero for unknown."""
    return _SEGMENT.pack(bytes.fromhex(epoch), machine)


def read_segment_body(body: bytes) -> tuple[str, bytes]:
    """Return (epoch, machine)."""
    epoch, machine = _SEGMENT.unpack(body)
    return epoch.hex(), machine


def border_body(back: int, size: int) -> bytes:
    """Body of a BORDER record: `back` bytes before it the envelope's first DATA record begins; its blocks have `size` bytes."""
    return _BORDER.pack(back, size)


def read_border_body(body: bytes) -> tuple[int, int]:
    """Return (back, size)."""
    back, size = _BORDER.unpack(body)
    return back, size


#: Bytes of a notice's detail at most: control records must stay small, since a full spool has little room for them.
MAX_DETAIL: Final = 200


def notice_body(reason: str, detail: str) -> bytes:
    """Body of a NOTICE or JUMP record; a long detail is cut."""
    return reason.encode() + b"\0" + detail.encode(errors="replace")[:MAX_DETAIL]


def read_notice_body(body: bytes) -> tuple[str, str]:
    """Return (reason, detail); a reason that is none of the wire's counts as damage."""
    said, _, rest = body.partition(b"\0")
    reason, detail = said.decode(errors="replace"), rest.decode(errors="replace")
    return (reason, detail) if reason in REASONS else ("damaged", f"the notice is damaged: {detail}")
