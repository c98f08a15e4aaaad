"""Segment files: made, given their room, cut to what is used."""

from __future__ import annotations

import contextlib

from device_agent import events
from device_agent.spool.budget import pages
from device_agent.spool.files import Files
from device_agent.spool.segment import Segment, file_name


def create(files: Files, directory: str, *, number: int, base: int, head: bytes, size: int) -> tuple[str, int]:
    """Make a segment file of `size` bytes (0: as long as its head) whose name and head are on the disk.

    Returns:
        Its path, and a descriptor to write with.

    Raises:
        OSError: the disk fails; then it is removed again.
    """
    path = f"{directory}/{file_name(number, base)}"
    fd = files.open(path, create=True)
    try:
        files.truncate(fd, 0)
        if size:
            files.allocate(fd, size)
        files.pwrite(fd, head, 0)
        files.datasync(fd)
        files.sync_directory(directory)
    except OSError:
        files.close(fd)
        with contextlib.suppress(OSError):  # an empty segment without a name that is synced: opening copes with it
            files.unlink(path)
        raise
    return path, fd


def grow(files: Files, segment: Segment, fd: int, size: int) -> None:
    """Give a segment `size` bytes of the file system."""
    with contextlib.suppress(OSError):  # without it the file grows as it is written
        files.allocate(fd, size)
    segment.allocated = max(segment.allocated, size)


def cut(files: Files, segment: Segment, fd: int, end: int) -> None:
    """Give back what is not used."""
    try:
        files.truncate(fd, end)
        files.datasync(fd)
        segment.allocated = pages(end)
    except OSError as error:
        events.spool_not_cut(segment.path, error)
