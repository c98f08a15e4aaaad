"""Fake disk behind the `Files` seam: it forgets what was not synced, tears and reorders sectors, fills up and fails on request.

Model: a file has durable bytes and a list of changes since its last sync; a directory has durable names and likewise. `power_cut` applies,
of each file, any subset of the unsynced 512-byte sectors and a prefix of the size changes, and of each directory a prefix of the name
changes. A failed `datasync` throws the changes away and lets the file look as if they were there: what Linux does.
"""

from __future__ import annotations

import errno
import random as randoms
from collections.abc import Callable
from dataclasses import dataclass, field

from device_agent.spool.files import Found

SECTOR = 512
PAGE = 4096


class PowerCut(BaseException):
    """The machine is off."""


@dataclass(eq=False)
class Inode:
    durable: bytearray = field(default_factory=bytearray)
    current: bytearray = field(default_factory=bytearray)
    changes: list[tuple[str, int, bytes]] = field(default_factory=list)  # ("write", offset, data) or ("size", size, b"")
    locked: bool = False

    @property
    def allocated(self) -> int:
        return -(-len(self.current) // PAGE) * PAGE


@dataclass(eq=False)
class Directory:
    durable: dict[str, Inode] = field(default_factory=dict)
    current: dict[str, Inode] = field(default_factory=dict)
    inode: Inode = field(default_factory=Inode)  # to be locked
    changes: list[tuple[str, str, str, Inode | None]] = field(default_factory=list)  # ("set", name, "", inode), ("del", ...), ("move", ...)


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def _write(content: bytearray, offset: int, data: bytes) -> None:
    if offset + len(data) > len(content):
        _resize(content, offset + len(data))
    content[offset : offset + len(data)] = data


class FakeDisk:
    """One file system. `fail` is asked before each operation with its name and path and may return an error to raise."""

    def __init__(self, *, capacity: int = 1 << 40, preallocates: bool = True, honest: bool = True) -> None:
        self.capacity, self.preallocates, self.honest = capacity, preallocates, honest
        self.directories: dict[str, Directory] = {}  # directories themselves are durable when made: the spool syncs their parents anyway
        self.descriptors: dict[int, tuple[Inode, str]] = {}
        self._writable: set[int] = set()
        self._next = 100
        self.operations: list[str] = []
        self.fail: Callable[[str, str], OSError | None] = lambda _op, _path: None
        self.cut_at: int | None = None  # the power fails at this operation, counted from 0
        self.count = 0
        self.peak = 0
        self.off = False

    # Files

    def make_directory(self, path: str) -> None:
        self._step("make_directory", path)
        while path not in {"", "/"}:
            self.directories.setdefault(path, Directory())
            path = path.rpartition("/")[0]

    def list(self, path: str) -> list[Found]:
        self._step("list", path)
        if path not in self.directories:
            return []
        inside = {name for parent, _, name in (one.rpartition("/") for one in self.directories) if parent == path}
        found = [Found(name, True, PAGE, PAGE) for name in inside]
        found += [Found(name, False, len(inode.current), inode.allocated) for name, inode in self.directories[path].current.items()]
        return sorted(found)

    def open(self, path: str, *, write: bool = False, create: bool = False) -> int:
        self._step("open", path)
        if path in self.directories and not (write or create):
            self._next += 1
            self.descriptors[self._next] = (self.directories[path].inode, path)
            return self._next
        directory, name = self._place(path)
        if name not in directory.current:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            directory.current[name] = Inode()
            directory.changes.append(("set", name, "", directory.current[name]))
        self._next += 1
        self.descriptors[self._next] = (directory.current[name], path)
        if write or create:
            self._writable.add(self._next)
        return self._next

    def _written(self, fd: int) -> tuple[Inode, str]:
        if fd not in self._writable:
            raise OSError(errno.EBADF, "opened for reading only", self.descriptors[fd][1])
        return self.descriptors[fd]

    def close(self, fd: int) -> None:
        inode, _ = self.descriptors.pop(fd)
        if inode.locked and not any(one is inode for one, _ in self.descriptors.values()):
            inode.locked = False

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        inode, path = self.descriptors[fd]
        self._step("pread", path)
        return bytes(inode.current[offset : offset + size])

    def pwrite(self, fd: int, data: bytes, offset: int) -> None:
        inode, path = self._written(fd)
        self._room(len(data) + offset - len(inode.current), path)
        if self.cut_at is not None and self.count == self.cut_at:
            self._change(inode, "write", offset, bytes(data))  # it was on its way
        self._step("pwrite", path)
        self._change(inode, "write", offset, bytes(data))

    def datasync(self, fd: int) -> None:
        inode, path = self.descriptors[fd]
        try:
            self._step("datasync", path)
        except OSError:
            inode.changes.clear()
            raise
        if self.honest:
            for kind, where, data in inode.changes:
                if kind == "write":
                    _write(inode.durable, where, data)
                else:
                    _resize(inode.durable, where)
            inode.changes.clear()

    def sync_directory(self, path: str) -> None:
        self._step("sync_directory", path)
        directory = self.directories[path]
        directory.durable = dict(directory.current)
        directory.changes.clear()

    def allocate(self, fd: int, size: int) -> bool:
        inode, path = self._written(fd)
        self._room(size - len(inode.current), path)
        self._step("allocate", path)
        if self.preallocates and size > len(inode.current):
            self._change(inode, "size", size, b"")
        return self.preallocates

    def truncate(self, fd: int, size: int) -> None:
        inode, path = self._written(fd)
        self._step("truncate", path)
        self._change(inode, "size", size, b"")

    def size(self, fd: int) -> int:
        return len(self.descriptors[fd][0].current)

    def unlink(self, path: str) -> None:
        self._step("unlink", path)
        directory, name = self._place(path)
        if name not in directory.current:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        del directory.current[name]
        directory.changes.append(("del", name, "", None))

    def rename(self, old: str, new: str) -> None:
        self._step("rename", new)
        directory, name = self._place(old)
        other, target = self._place(new)
        assert directory is other
        directory.current[target] = directory.current.pop(name)
        directory.changes.append(("move", name, target, None))

    def remove_directory(self, path: str) -> None:
        self._step("remove_directory", path)
        if self.directories[path].current:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
        del self.directories[path]

    def free(self, path: str) -> int:
        return self.capacity - self.used

    def lock(self, fd: int) -> bool:
        inode, _ = self.descriptors[fd]
        if inode.locked:
            return False
        inode.locked = True
        return True

    # What tests do to it

    @property
    def used(self) -> int:
        """Bytes taken by everything, directories included."""
        files = sum(inode.allocated for directory in self.directories.values() for inode in directory.current.values())
        return files + PAGE * len(self.directories)

    def under(self, path: str) -> int:
        """Bytes taken by everything from `path` down, as `du` counts."""
        inside = [one for one in self.directories if one == path or one.startswith(path + "/")]
        return sum(PAGE + sum(inode.allocated for inode in self.directories[one].current.values()) for one in inside)

    def power_cut(self, random: randoms.Random, *, keep: float | None = None) -> None:
        """Turn the machine off and on: what was not synced is lost, kept or torn; `keep` is the chance of a sector, None: any."""
        chance = random.choice([0.0, 0.3, 0.7, 1.0]) if keep is None else keep
        for directory in self.directories.values():
            names = dict(directory.durable)
            for kind, name, target, inode in directory.changes[: random.randint(0, len(directory.changes))]:
                if kind == "set":
                    assert inode is not None
                    names[name] = inode
                elif kind == "move":
                    names[target] = names.pop(name)
                else:
                    names.pop(name, None)
            directory.durable, directory.changes = names, []
            for inode in names.values():
                self._settle(inode, random, chance)
            directory.current = dict(names)
            directory.inode = Inode()
        self.descriptors.clear()
        self.cut_at, self.count, self.off = None, 0, False

    def _settle(self, inode: Inode, random: randoms.Random, chance: float) -> None:
        content = bytearray(inode.durable)
        sizes = [size for kind, size, _ in inode.changes if kind == "size"]
        grown = max([len(content), *(offset + len(data) for kind, offset, data in inode.changes if kind == "write")])
        for kind, offset, data in inode.changes:
            if kind == "write":
                for start in range(offset - offset % SECTOR, offset + len(data), SECTOR):
                    if random.random() < chance:
                        low, high = max(start, offset), min(start + SECTOR, offset + len(data))
                        _write(content, low, data[low - offset : high - offset])
        applied = random.randint(0, len(sizes)) if chance < 1 else len(sizes)
        if applied:
            _resize(content, max(sizes[applied - 1], random.choice([0, grown]) if len(sizes) == 1 and sizes[0] >= grown else 0))
        inode.durable, inode.current, inode.changes, inode.locked = content, bytearray(content), [], False

    def _step(self, operation: str, path: str) -> None:
        if self.off:
            raise PowerCut
        if self.cut_at is not None and self.count >= self.cut_at:
            self.off = True
            raise PowerCut
        self.count += 1
        self.operations.append(operation)
        error = self.fail(operation, path)
        if error is not None:
            raise error
        self.peak = max(self.peak, self.used)

    def _room(self, more: int, path: str) -> None:
        if more > 0 and self.used + more > self.capacity:
            raise OSError(errno.ENOSPC, "No space left on device", path)

    @staticmethod
    def _change(inode: Inode, kind: str, where: int, data: bytes) -> None:
        inode.changes.append((kind, where, data))
        if kind == "write":
            _write(inode.current, where, data)
        else:
            _resize(inode.current, where)

    def _place(self, path: str) -> tuple[Directory, str]:
        parent, _, name = path.rpartition("/")
        if parent not in self.directories:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return self.directories[parent], name
