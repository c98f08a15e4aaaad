"""Where things are in a spool's directory, for those who only look: its streams, their segments, the bytes of one.

Beside a running agent a segment may vanish (everything in it was delivered) and the last one may end in half a record: neither is an error.
Nothing is written, so a card that is mounted read-only, in another machine, can be looked into as well.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from device_agent.errors import SpoolError
from device_agent.spool import segment as segments
from device_agent.spool.files import Files, RealFiles
from device_agent.spool.journal import NAME, entries
from device_agent.spool.opening import epoch_of
from device_agent.spool.scan import UNKNOWN, Scan, scan
from device_agent.wire.ranges import Ranges

#: Told (bytes done, bytes of all) after each segment.
Progress = Callable[[int, int], None]

#: A last segment that ends in half a record is looked at again so often, so far apart (seconds): a running agent may be writing it.
_LOOKS: Final = 4
_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Place:
    """A segment's file: `base` is its first number, `end` the first of the next segment's (`UNKNOWN`: there is none yet)."""

    stream: str
    epoch: str
    number: int
    base: int
    end: int
    path: str
    size: int
    settled: Ranges


def streams(directory: str, *, files: Files | None = None) -> list[str]:
    """Return the names of the streams that have a log.

    Raises:
        SpoolError: there is no spool, or it may not be read.
    """
    files = files or RealFiles()
    root = directory.rstrip("/")
    try:
        if not any(found.name == "streams" and found.directory for found in files.list(root)):
            raise SpoolError(f"{directory}: there is no spool here (no directory `streams` in it); name the agent's spool.directory")
        return [found.name for found in files.list(f"{root}/streams") if found.directory]
    except PermissionError:
        raise SpoolError(f"{directory}: user {os.geteuid()} may not read there; run this as the agent's user, or as root") from None
    except OSError as error:
        raise SpoolError(f"{directory}: cannot be read: {error.strerror or error}") from None


def with_progress(directory: str, stream: str, files: Files, progress: Progress | None) -> Iterator[Place]:
    """Yield the segments that are there now; say after each how many bytes of them are done."""
    known = streams(directory, files=files)
    if stream and stream not in known:
        raise SpoolError(f"{directory}: there is no stream {stream!r}; there are: {', '.join(known) or 'none yet'}")
    places = list(all_places(directory, files, stream=stream))
    done, total = 0, sum(place.size for place in places)
    for place in places:
        yield place
        done += place.size
        if progress is not None:
            progress(done, total)


def all_places(directory: str, files: Files, *, stream: str = "") -> Iterator[Place]:
    """Yield the segments that are there now, in order of stream, epoch and number."""
    root = f"{directory.rstrip('/')}/streams"
    for folder in files.list(root):
        if not folder.directory or (stream and folder.name != stream):
            continue
        for log in files.list(f"{root}/{folder.name}"):
            epoch = epoch_of(log.name) if log.directory else ""
            if epoch:
                yield from _segments(files, folder.name, epoch, f"{root}/{folder.name}/{log.name}")


def _segments(files: Files, stream: str, epoch: str, directory: str) -> Iterator[Place]:
    files_there = [found for found in files.list(directory) if not found.directory]
    named = sorted((place, found.name, found.size) for found in files_there if (place := segments.parse_name(found.name)))
    settled = Ranges()
    with contextlib.suppress(FileNotFoundError):  # then nothing is known to be delivered
        settled, _, _ = entries(segments.read(files, f"{directory}/{NAME}"), epoch)
    for at, ((number, base), file, size) in enumerate(named):
        end = named[at + 1][0][1] if at + 1 < len(named) else UNKNOWN
        yield Place(stream, epoch, number, base, end, f"{directory}/{file}", size, settled)


def scanned(files: Files, place: Place) -> tuple[bytes, Scan] | None:
    """Return a segment's bytes and what is in them; None if it was delivered and deleted meanwhile.

    A half-written end is believed only when it stays as it is; while it changes, an agent is writing there, and the end is left out.
    """
    before = b""
    for look in range(_LOOKS):
        try:
            data = segments.read(files, place.path)
        except FileNotFoundError:
            return None
        found = scan(data, number=place.number, base=place.base, end=place.end)
        if place.end != UNKNOWN or not torn(data, found):
            return data, found
        if look and data != before:
            return data[: found.valid], found
        before = data
        time.sleep(_PAUSE)
    return data, found


def torn(data: bytes, found: Scan) -> int:
    """Bytes of the half-written end of a last segment."""
    return len(data[found.valid :].rstrip(b"\0"))
