"""Glance: a quick look at a spool, for `check`: how each segment begins, and what is in the last one of each stream and epoch.

Reads at most `HEADS` heads of 76 bytes a stream, one segment (4 MiB at most) of each stream, and of its further epochs until `ENOUGH`,
whatever the backlog; `tools.verify` reads the rest. Only reads, and may run beside the agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from device_agent.spool import record
from device_agent.spool import segment as segments
from device_agent.spool.files import Files, RealFiles
from device_agent.spool.places import Place, all_places, scanned, streams
from device_agent.spool.record import HEADER_SIZE, Kind
from device_agent.spool.tools import HALF, listed
from device_agent.wire.limits import MIB

#: Heads of segments that are read at most, the newest of each stream first.
HEADS: Final = 256
#: Bytes after which the last segments of further epochs are not read any more.
ENOUGH: Final = 32 * MIB
_HEAD: Final = HEADER_SIZE + 24  # see `record.segment_body`


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen."""

    segments: int  # that are there
    bytes: int  # of all of them
    read: int  # bytes that were read
    problems: tuple[str, ...]  # a sentence each, with the file


def glance(directory: str, *, files: Files | None = None) -> Glance:
    """Look at the spool in a directory.

    Raises:
        SpoolError: there is no spool, or it may not be read.
        OSError: the disk fails.
    """
    files = files or RealFiles()
    streams(directory, files=files)
    places = list(all_places(directory, files))
    problems, read, heads = [], 0, HEADS
    for _, found in groupby(places, key=lambda place: place.stream):
        before: list[Place] = []
        for number, (_, log) in enumerate(groupby(found, key=lambda place: place.epoch)):
            *earlier, last = log
            before += earlier
            if number and read + last.size > ENOUGH:
                before.append(last)
                continue
            read += last.size
            problems += list(_last(files, last))
        for place in before[::-1][: max(0, heads)]:
            heads -= 1
            read += _HEAD
            problems += list(_head(files, place))
    return Glance(len(places), sum(place.size for place in places), read, tuple(problems))


def _last(files: Files, place: Place) -> Iterator[str]:
    looked = scanned(files, place)
    if looked is None:
        return
    for problem in listed(place, *looked, decode=False).problems:
        if problem.what != HALF:  # what every power cut leaves
            yield f"{place.path}: {problem}"


def _head(files: Files, place: Place) -> Iterator[str]:
    try:
        data = segments.read(files, place.path, 0, _HEAD)
    except FileNotFoundError:
        return  # delivered meanwhile
    header = record.header_at(data, 0)
    body = None if header is None else record.body_at(data, 0, header)
    if header is None or body is None or header.kind != Kind.SEGMENT or header.segment != place.number:
        yield f"{place.path}: does not begin as a segment does"
    elif record.read_segment_body(body)[0] != place.epoch or header.first != place.base:
        yield f"{place.path}: its head is that of another segment"
