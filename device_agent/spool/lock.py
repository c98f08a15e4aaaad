"""Lock: one process writes a spool.

How: flock(2) on the file `lock`, which holds the pid for people, and on the directory itself: somebody who removes the file, taking it for
a leftover, lets no second agent in. The kernel gives both free when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os

from device_agent.errors import SpoolError
from device_agent.spool.files import Files

NAME = "lock"


class Lock:
    """`take` or `look`, then `release`, as often as one likes."""

    def __init__(self, files: Files, root: str) -> None:
        self._files, self._root = files, root
        self._held: list[int] = []

    def take(self) -> None:
        """Lock the directory, which exists. Raises `SpoolError` if another process has it, and OSError."""
        file = self._hold(create=True)
        with contextlib.suppress(OSError):  # the lock holds without a pid in it; a full disk must not keep the agent from starting
            self._files.truncate(file, 0)
            self._files.pwrite(file, f"{os.getpid()}\n".encode(), 0)

    def look(self) -> None:
        """Raise `SpoolError` if another process has it, and change nothing; a directory that is not there is nobody's."""
        with contextlib.suppress(OSError):
            self._hold(create=False)
        self.release()

    def release(self) -> None:
        """Give the directory free."""
        while self._held:
            self._files.close(self._held.pop())

    def _hold(self, *, create: bool) -> int:
        files = self._files
        file = files.open(f"{self._root}/{NAME}", create=create)
        self._held.append(file)
        directory = files.open(self._root)
        self._held.append(directory)
        if not (files.lock(file) and files.lock(directory)):
            pid = files.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
            self.release()
            raise SpoolError(f"{self._root}: in use by another agent, pid {pid}; stop it, or give this one a spool.directory of its own")
        return file
