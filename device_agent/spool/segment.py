"""One segment file: what is known of it in memory, and reading from it (readers have descriptors of their own, and keep none).

Promises: what the disk cannot read is read as zeros, page by page, so that the rest is kept (`files.whole_or_zeros`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from device_agent.ports import Block, Border
from device_agent.spool import record
from device_agent.spool.files import Files, whole_or_zeros
from device_agent.spool.index import Entries, Free
from device_agent.spool.record import HEADER_SIZE, MAX_DETAIL, Kind
from device_agent.spool.scan import Damage


@dataclass(slots=True, eq=False)
class Segment:
    """One file. Changed under the lock of its log."""

    number: int
    base: int
    path: str
    allocated: int
    entries: Entries | None = None  # None: not in memory
    free: Free | None = None  # None: not scanned yet
    untold: int = 0  # notices in it that the cloud does not have yet; meaningful once scanned
    flying: int = 0  # entries in flight
    dead: bool = False  # may be deleted


def file_name(number: int, base: int) -> str:
    """Name of a segment's file: number and first sequence number, so that opening need not look inside."""
    return f"{number:012d}-{base:019d}.log"


def parse_name(name: str) -> tuple[int, int] | None:
    """Inverse of `file_name`; None for another file."""
    stem, dot, suffix = name.partition(".")
    number, dash, base = stem.partition("-")
    if (dot, suffix, dash) != (".", "log", "-") or len(number) != 12 or len(base) != 19 or not (number + base).isdecimal():
        return None
    return int(number), int(base)


def read(files: Files, path: str, start: int = 0, stop: int = 0) -> bytes:
    """Return the bytes from `start` to `stop` (0: to the end) of a file. Raises OSError, except for EIO."""
    fd = files.open(path)
    try:
        return whole_or_zeros(files, fd, path, start, stop)[0]
    finally:
        files.close(fd)


def reason(files: Files, path: str, position: int) -> tuple[str, str]:
    """Return (reason, detail) of the notice at `position`. Raises OSError."""
    data = read(files, path, position, position + HEADER_SIZE + 2 * MAX_DETAIL)
    header = record.header_at(data, 0)
    body = record.body_at(data, 0, header) if header else None
    return record.read_notice_body(body) if body else ("damaged", "the notice itself is damaged")


def blocks(data: bytes, border: Border, number: int) -> tuple[list[Block], list[Damage]]:
    """Return the sound blocks of an envelope in the bytes from its first DATA record on, and the holes between them."""
    found, holes = [], []
    expected, sound = border.first, 0
    for position, header in _headers(data, number):
        if header.kind != Kind.DATA or not expected <= header.first <= header.last <= border.last:
            continue
        body = record.body_at(data, position, header)
        if body is None:
            continue
        if header.first > expected:
            holes.append(_hole(expected, header.first - 1, sound, position))
        found.append(Block(header.first, header.numbers, body))
        expected, sound = header.last + 1, position + header.size
    if expected <= border.last:
        holes.append(_hole(expected, border.last, sound, len(data)))
    return found, holes


def _hole(first: int, last: int, start: int, stop: int) -> Damage:
    return Damage(first, last, start, max(0, stop - start), "record does not match its checksum")


def _headers(data: bytes, number: int) -> Iterator[tuple[int, record.Header]]:
    position = 0
    while 0 <= position < len(data):
        header = record.header_at(data, position)
        if header is None or header.segment != number:
            position = record.find(data, position + 1, number)
            continue
        yield position, header
        position += header.size
