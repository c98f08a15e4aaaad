"""Quarantine: what will never be sent, where people can look at it. One JSON file each, within a part of the cap.

    quarantine/<stream>/<epoch>-<first>-<last>.json         refused by the cloud: id, reason, time and the body as it was sent
    quarantine/<stream>/oversize-<time>-<number>.json       readings too large for the log: reason, time, frames in base64
    quarantine/damaged.log/<stream>-<epoch>-<segment>-<position>.json   bytes of the log that do not match their checksum

Promises: a file is whole and synced when `keep` returns, or an OSError is raised and it is not there. The same name replaces the file. When
the quarantine's part of the cap is used up the oldest file gives way; what is larger than half of it is kept without its bytes. People may
remove files and folders at any time: what is gone is not counted, and stops nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from typing import Any, Final

from device_agent import events
from device_agent.spool.budget import pages
from device_agent.spool.files import Files
from device_agent.wire.block import Payload

#: Directory of what was found damaged; no stream has this name, since it stands beside them with an extension of its own.
DAMAGED: Final = "damaged.log"


class Quarantine:
    """Safe from every thread."""

    def __init__(self, *, files: Files, directory: str, limit: int) -> None:
        self._files, self._directory, self._limit = files, directory, limit
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}  # path -> bytes taken, oldest first
        self._made: set[str] = set()

    def open(self) -> None:
        """Look at what is there."""
        self._files.make_directory(self._directory)
        for folder in self._files.list(self._directory):
            if not folder.directory:
                continue
            self._made.add(folder.name)
            for file in self._files.list(f"{self._directory}/{folder.name}"):
                path = f"{self._directory}/{folder.name}/{file.name}"
                if file.name.endswith(".new"):
                    self._files.unlink(path)
                else:
                    self._sizes[path] = file.allocated

    @property
    def used(self) -> int:
        """Bytes that it takes."""
        with self._lock:
            self._forget_removed()
            return sum(self._sizes.values())

    def count(self, folder: str) -> int:
        """Files in a folder."""
        start = f"{self._directory}/{folder}/"
        with self._lock:
            self._forget_removed()
            return sum(path.startswith(start) for path in self._sizes)

    def _forget_removed(self) -> None:
        """Count no more what people have removed (`device-agent quarantine drop`). Under the lock."""
        if not self._sizes:
            return
        try:
            folders = {path.rpartition("/")[0] for path in self._sizes}
            there = {f"{folder}/{file.name}" for folder in folders for file in self._files.list(folder)}
        except OSError:
            return  # the disk fails: what is known is good enough, and whoever writes next will hear of it
        self._sizes = {path: size for path, size in self._sizes.items() if path in there}

    def keep(self, folder: str, name: str, content: dict[str, Any]) -> None:
        """Write `content` to `<folder>/<name>.json`. Raises OSError."""
        data = json.dumps(content, indent=1).encode()
        if pages(len(data)) > self._limit // 2:
            data = json.dumps({**{key: value for key, value in content.items() if not _bulky(value)}, "cut": True}, indent=1).encode()
        path = f"{self._directory}/{folder}/{name}.json"
        with self._lock:
            self._sizes.pop(path, None)
            self._make_room(pages(len(data)))
            self._make_folder(folder)
            try:
                self._write(path, data)
            except FileNotFoundError:  # somebody removed the folder
                self._made.discard(folder)
                self._make_folder(folder)
                self._write(path, data)
            self._files.sync_directory(f"{self._directory}/{folder}")
            self._sizes[path] = pages(len(data))

    def _make_folder(self, folder: str) -> None:
        if folder not in self._made:
            self._files.make_directory(f"{self._directory}/{folder}")
            self._files.sync_directory(self._directory)
            self._made.add(folder)

    def _write(self, path: str, data: bytes) -> None:
        new = f"{path}.new"
        try:
            fd = self._files.open(new, create=True)
            try:
                self._files.truncate(fd, 0)
                self._files.pwrite(fd, data, 0)
                self._files.datasync(fd)
            finally:
                self._files.close(fd)
            self._files.rename(new, path)
        except OSError:
            with contextlib.suppress(OSError):  # it may not even be there; opening removes it
                self._files.unlink(new)
            raise

    def _make_room(self, size: int) -> None:
        if sum(self._sizes.values()) + size > self._limit:
            self._forget_removed()
        while self._sizes and sum(self._sizes.values()) + size > self._limit:
            path = next(iter(self._sizes))
            with contextlib.suppress(FileNotFoundError):  # people were quicker
                self._files.unlink(path)
            del self._sizes[path]
            events.quarantine_evicted(path)


def _bulky(value: object) -> bool:
    return isinstance(value, str | list) and len(value) > 1000


def frames_base64(payload: Payload) -> list[str]:
    """Return a reading's frames for JSON."""
    return [base64.b64encode(frame).decode("ascii") for frame in (payload if isinstance(payload, list) else [payload])]
