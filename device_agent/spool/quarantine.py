"""Quarantine: what will never be sent, where people can look at it. One JSON file each, within a part of the cap.

    quarantine/<stream>/<epoch>-<first>-<last>.json         refused by the cloud: id, reason, time and the body as it was sent
    quarantine/<stream>/oversize-<time>-<number>.json       readings too large for the log: reason, time, frames in base64
    quarantine/damaged.log/<stream>-<epoch>-<segment>-<position>.json   bytes of the log that do not match their checksum
    quarantine/damaged.log/<stream>-<epoch>-<segment>-<position>-torn.json   the half-written end of the log, which nobody was told of

Promises
1. A file is whole and synced when `keep` returns, or an error is raised and it is not there. The same name replaces the file.
2. What may hold acknowledged readings (refused or damaged) stays until people remove it, and a refused message is kept whole or not at all:
   when the quarantine's part of the cap is used up, `NoRoom` is raised. Only what nobody was promised gives way, the oldest first: oversize
   readings and half-written ends.
3. While a refused message waits for room, `why` says so for its stream.
4. People may remove files and folders at any time: what is gone is not counted, and stops nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from typing import Any, Final

from device_agent import events
from device_agent.spool.budget import pages
from device_agent.spool.files import Files, Found
from device_agent.wire.block import Payload
from device_agent.wire.limits import MIB

#: Directory of what was found damaged; no stream has this name, since it stands beside them with an extension of its own.
DAMAGED: Final = "damaged.log"
#: Names of files that give way: nobody was told that what is in them is kept.
_PASSING: Final = re.compile(r"oversize-.*\.json|.*-torn\.json", re.DOTALL)


class NoRoom(Exception):  # noqa: N818  # "not now", as `appender.Full`
    """The quarantine's part of the cap is used up by what may not be deleted; `str()` says what to do, for people."""


class Quarantine:
    """Safe from every thread."""

    def __init__(self, *, files: Files, directory: str, limit: int) -> None:
        self._files, self._directory, self._limit = files, directory, limit
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}  # path -> bytes taken, oldest first
        self._made: set[str] = set()
        self._waiting: dict[str, tuple[str, int]] = {}  # folder -> path and bytes of the refused message that waits for room

    def open(self) -> None:
        """Look at what is there."""
        self._files.make_directory(self._directory)
        for folder in self._files.list(self._directory):
            if not folder.directory:
                continue
            self._made.add(folder.name)
            for file in sorted(self._files.list(f"{self._directory}/{folder.name}"), key=_by_number):
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

    def why(self, folder: str) -> str:
        """Say why a refused message of this folder cannot be kept now; "" if none waits, or there is room for it now."""
        with self._lock:
            path, size = self._waiting.get(folder, ("", 0))
            if not path:
                return ""
            self._forget_removed()
            return "" if self._room_for(size) else self._full(size)

    def no_longer_waits(self, folder: str, name: str) -> None:
        """The message was accepted after all."""
        with self._lock:
            if self._waiting.get(folder, ("", 0))[0] == self._path(folder, name):
                del self._waiting[folder]

    def keep_refused(self, folder: str, name: str, content: dict[str, Any], *, sacrifice: bool = False) -> None:
        """Write what the cloud refused, whole, to `<folder>/<name>.json`.

        Args:
            folder: the stream's name.
            name: without extension.
            content: to be written as JSON.
            sacrifice: the oldest refused messages of the same folder may give way (`when_full = "drop-oldest"`).

        Raises:
            NoRoom: it does not fit beside what may not be deleted.
            OSError: the disk fails.
        """
        data, path = json.dumps(content, indent=1).encode(), self._path(folder, name)
        with self._lock:
            self._waiting[folder] = path, pages(len(data))
            self._keep(folder, path, data, sacrifice=sacrifice)
            del self._waiting[folder]

    def keep(self, folder: str, name: str, content: dict[str, Any]) -> None:
        """Write `content` to `<folder>/<name>.json`; without its bytes if they are more than half of the quarantine.

        Raises:
            NoRoom: it does not fit beside what may not be deleted.
            OSError: the disk fails.
        """
        data = json.dumps(content, indent=1).encode()
        if pages(len(data)) > self._limit // 2:
            data = json.dumps({**{key: value for key, value in content.items() if not _bulky(value)}, "cut": True}, indent=1).encode()
        with self._lock:
            self._keep(folder, self._path(folder, name), data)

    def _path(self, folder: str, name: str) -> str:
        return f"{self._directory}/{folder}/{name}.json"

    def _keep(self, folder: str, path: str, data: bytes, *, sacrifice: bool = False) -> None:
        """Write a file if there is room, or some can be made. Under the lock. Raises NoRoom and OSError."""
        size = pages(len(data))
        if not self._room_for(size, but=path):
            self._forget_removed()
        self._evict(size, [one for one in self._sizes if _PASSING.fullmatch(one.rpartition("/")[2])], but=path)
        if sacrifice:
            self._evict(size, [one for one in self._sizes if one.startswith(f"{self._directory}/{folder}/")], but=path)
        if not self._room_for(size, but=path):
            raise NoRoom(self._full(size))
        self._make_folder(folder)
        try:
            self._write(path, data)
        except FileNotFoundError:  # somebody removed the folder
            self._made.discard(folder)
            self._make_folder(folder)
            self._write(path, data)
        self._files.sync_directory(f"{self._directory}/{folder}")
        self._sizes.pop(path, None)  # it is the youngest now
        self._sizes[path] = size

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

    def _room_for(self, size: int, *, but: str = "") -> bool:
        """Whether `size` more bytes fit, `but` a file that they replace. Under the lock."""
        return sum(self._sizes.values()) - self._sizes.get(but, 0) + size <= self._limit

    def _evict(self, size: int, paths: list[str], *, but: str) -> None:
        """Delete the first of `paths` until there is room; none where not even all of them would do. Under the lock."""
        paths = [path for path in paths if path != but]
        if not self._room_for(size - sum(self._sizes[path] for path in paths), but=but):
            return
        for path in paths:
            if self._room_for(size, but=but):
                return
            with contextlib.suppress(FileNotFoundError):  # people were quicker
                self._files.unlink(path)
            del self._sizes[path]
            events.quarantine_evicted(path)

    def _full(self, size: int) -> str:
        """What is to be done. Under the lock."""
        if size > self._limit:
            return (
                f"the quarantine takes {self._limit / MIB:.2f} MiB, an eighth of spool.max_bytes, and a refused message needs "
                f"{size / MIB:.2f}: raise spool.max_bytes"
            )
        return (
            f"the quarantine is full: {sum(self._sizes.values()) / MIB:.2f} of {self._limit / MIB:.2f} MiB are readings that are not "
            f"deleted; look at them with `device-agent quarantine ls`, replay or drop them, or raise spool.max_bytes"
        )


def damaged_as(stream: str, epoch: str, segment: int, position: int, *, torn: bool) -> str:
    """Return the name, in the folder `DAMAGED`, of what was found in a segment; `torn`: the half-written end."""
    return f"{stream}-{epoch}-{segment:012d}-{position}{'-torn' if torn else ''}"


def _by_number(file: Found) -> list[str | int]:
    """Order names with their numbers taken as numbers: of one log that is by age."""
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", file.name)]


def _bulky(value: object) -> bool:
    return isinstance(value, str | list) and len(value) > 1000


def frames_base64(payload: Payload) -> list[str]:
    """Return a reading's frames for JSON."""
    return [base64.b64encode(frame).decode("ascii") for frame in (payload if isinstance(payload, list) else [payload])]
