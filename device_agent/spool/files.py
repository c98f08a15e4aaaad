"""File-system seam: the few calls that the spool makes, so that tests can put a disk under it that crashes, tears, fills up and fails.

Promises of every implementation: errors are `OSError`; `pwrite` writes everything or raises; nothing is on the disk before `datasync` of
the file, and no name before `sync_directory` of the directory that holds it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from device_agent import events

_PAGE: Final = 4096


class Found(NamedTuple):
    """An entry of a directory."""

    name: str
    directory: bool
    size: int  # bytes to the end of the file
    allocated: int  # bytes taken from the file system


class Files(Protocol):
    """What the spool asks of a file system. Paths are absolute."""

    def make_directory(self, path: str) -> None:
        """Make a directory with mode 0700, with its parents; none is made that is there."""

    def list(self, path: str) -> list[Found]:
        """Return the entries of a directory, by name; [] if there is no such directory."""

    def open(self, path: str, *, write: bool = False, create: bool = False) -> int:
        """Open a file for reading, with `write` for writing too; with `create` it is made, mode 0600, and written. Return a descriptor.

        What is only read is opened for that alone, so a card that the kernel has made read-only can still be sent from and looked into.
        """

    def close(self, fd: int) -> None:
        """Close a descriptor."""

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Return up to `size` bytes; fewer at the end of the file."""

    def pwrite(self, fd: int, data: bytes, offset: int) -> None:
        """Write all of `data`."""

    def datasync(self, fd: int) -> None:
        """fdatasync(2): the file's bytes, and its size, are on the disk."""

    def sync_directory(self, path: str) -> None:
        """fsync(2) a directory: names made, renamed and removed in it are on the disk."""

    def allocate(self, fd: int, size: int) -> bool:
        """Give the file `size` bytes of zeros that cost no writing; False where the file system cannot."""

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file."""

    def size(self, fd: int) -> int:
        """Bytes to the end of the file."""

    def unlink(self, path: str) -> None:
        """Remove a file."""

    def rename(self, old: str, new: str) -> None:
        """Replace `new` by `old`, at once."""

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""

    def free(self, path: str) -> int:
        """Bytes that the file system still has for us."""

    def lock(self, fd: int) -> bool:
        """flock(2), exclusive, without waiting; False if another process has it."""


class RealFiles:
    """The operating system's."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        # glibc's fallocate64 has 64-bit offsets on 32-bit boards too; musl's fallocate always has. Not posix_fallocate: where the file
        # system refuses, glibc writes into every block instead, which is the wear that preallocation is to avoid.
        self._fallocate = getattr(libc, "fallocate64", None) or libc.fallocate
        self._fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

    def make_directory(self, path: str) -> None:
        """See `Files`."""
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)

    def list(self, path: str) -> list[Found]:
        """See `Files`."""
        found = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # removed meanwhile: that is no reason to see nothing of the rest
                    found.append(Found(entry.name, entry.is_dir(follow_symlinks=False), status.st_size, status.st_blocks * 512))
        except FileNotFoundError:
            return []
        return sorted(found)

    def open(self, path: str, *, write: bool = False, create: bool = False) -> int:
        """See `Files`."""
        return os.open(path, os.O_CLOEXEC | (os.O_RDWR if write or create else os.O_RDONLY) | (os.O_CREAT if create else 0), 0o600)

    def close(self, fd: int) -> None:
        """See `Files`."""
        os.close(fd)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """See `Files`."""
        return os.pread(fd, size, offset)

    def pwrite(self, fd: int, data: bytes, offset: int) -> None:
        """See `Files`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(fd, view, offset)
            if written == 0:
                raise OSError(errno.EIO, "wrote nothing")
            view, offset = view[written:], offset + written

    def datasync(self, fd: int) -> None:
        """See `Files`."""
        os.fdatasync(fd)

    def sync_directory(self, path: str) -> None:
        """See `Files`."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def allocate(self, fd: int, size: int) -> bool:
        """See `Files`."""
        if self._fallocate(fd, 0, 0, size) == 0:
            return True
        error = ctypes.get_errno()
        if error in {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}:
            return False
        raise OSError(error, os.strerror(error))

    def truncate(self, fd: int, size: int) -> None:
        """See `Files`."""
        os.ftruncate(fd, size)

    def size(self, fd: int) -> int:
        """See `Files`."""
        return os.fstat(fd).st_size

    def unlink(self, path: str) -> None:
        """See `Files`."""
        Path(path).unlink()

    def rename(self, old: str, new: str) -> None:
        """See `Files`."""
        Path(old).replace(new)

    def remove_directory(self, path: str) -> None:
        """See `Files`."""
        Path(path).rmdir()

    def free(self, path: str) -> int:
        """See `Files`."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def lock(self, fd: int) -> bool:
        """See `Files`."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def bytes_below(files: Files, path: str) -> int:
    """Return the bytes that everything below a directory takes."""
    return sum(found.allocated + (bytes_below(files, f"{path}/{found.name}") if found.directory else 0) for found in files.list(path))


def whole_or_zeros(files: Files, fd: int, path: str, start: int = 0, stop: int = 0) -> tuple[bytes, bool]:
    """Return the bytes from `start` to `stop` (0: to the end) of an open file, and whether all of them could be read.

    Zeros stand for pages that the card does not give back (EIO, twice): a scan takes them for the damage that they are. Every other error
    is raised, since it may pass: too many open files says nothing about the card.
    """
    size = files.size(fd)
    stop = min(stop, size) if stop else size
    for last in (False, True):
        try:
            return files.pread(fd, max(0, stop - start), start), True
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            if last:
                events.spool_unreadable(path, error)
    return _by_page(files, fd, start, stop), False


def _by_page(files: Files, fd: int, start: int, stop: int) -> bytes:
    parts = []
    while start < stop:
        size = min(stop, start - start % _PAGE + _PAGE) - start
        try:
            part = files.pread(fd, size, start)
        except OSError:
            part = b""
        parts.append(part.ljust(size, b"\0"))
        start += size
    return b"".join(parts)
