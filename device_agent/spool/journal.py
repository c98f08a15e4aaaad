"""Journal of one log: what the cloud has. An append-only file beside the segments, written without fsync.

Invariants
1. Losing any part of it only causes re-sends (of envelopes and notices with the same ids): so entries are not synced one by one, damaged
   ones are skipped, and a failed write only marks the file for rewriting.
2. It is synced before a segment is unlinked (`sync`), so that the numbers of a missing segment are known to be settled.
3. Its head is on the disk before the log has a segment: where the head is missing, what the journal knew is lost (`lost`).
4. It takes at most twice `limit` bytes, and as much again while it is rewritten; more only if that many separate ranges are settled.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Final

from device_agent.spool import record
from device_agent.spool.files import Files, whole_or_zeros
from device_agent.spool.record import HEADER_SIZE, Kind, Record
from device_agent.wire.ranges import Ranges

NAME: Final = "delivered.journal"
_NEW: Final = "delivered.journal.new"

#: What a journal holds: settled numbers, and delivered notices (first, last) with the segment that each stands in.
Told = dict[tuple[int, int], int]
Snapshot = tuple[Iterable[tuple[int, int]], Told]


class Journal:
    """Safe from every thread: one lock, held while the file is written."""

    def __init__(self, *, files: Files, directory: str, epoch: str, limit: int, now: Callable[[], int]) -> None:
        self._files, self._directory, self._epoch, self._limit, self._now = files, directory, epoch, limit, now
        self._path, self._new = f"{directory}/{NAME}", f"{directory}/{_NEW}"
        self._lock = threading.Lock()
        self._fd = -1
        self._end = 0
        self._room = limit  # size at which it is rewritten: more than `limit` only when that many ranges are left
        self._broken = False  # must be rewritten
        self.lost = False  # what it said when the log was last written is not known
        self._unsynced = False

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._end

    @property
    def wants_rewrite(self) -> bool:
        """Whether it has grown past its limit, or a write failed."""
        return self._broken or self._end > self._room

    def load(self) -> tuple[Ranges, Told]:
        """Open the file, or make one; return what it says."""
        self._fd = self._files.open(self._path, create=True)
        data, _ = whole_or_zeros(self._files, self._fd, self._path)
        settled, told, self._broken = entries(data, self._epoch)
        self.lost = _head(data, self._epoch)[1]
        self._end = len(data)
        return settled, told

    def settled(self, first: int, last: int) -> None:
        """Note that the numbers need not be sent again."""
        self._append(Record(kind=Kind.SETTLED, first=first, count=last - first + 1, time=self._now()).encode(0))

    def told(self, first: int, last: int, segment: int) -> None:
        """Note that the cloud has the notice."""
        self._append(Record(kind=Kind.TOLD, first=first, count=last - first + 1, time=self._now()).encode(segment))

    def _append(self, data: bytes) -> None:
        with self._lock:
            if self._broken or self._end + len(data) > 2 * self._room:
                self._broken = True
                return
            try:
                self._files.pwrite(self._open(), data, self._end)
            except OSError:
                self._broken = True  # nothing is lost: the next rewrite has it, and until then memory
                return
            self._end += len(data)
            self._unsynced = True

    def sync(self) -> None:
        """Bring every entry to the disk. Raises OSError."""
        with self._lock:
            if self._broken:
                raise OSError("the journal must be rewritten first")
            if self._unsynced:
                self._files.datasync(self._open())
                self._unsynced = False

    def rewrite(self, snapshot: Callable[[], Snapshot]) -> None:
        """Replace the file by what `snapshot` returns (it is called while nobody can append). Raises OSError."""
        with self._lock:
            settled, told = snapshot()
            now = self._now()
            parts = [Record(kind=Kind.JOURNAL, first=0, count=0, time=now, body=bytes.fromhex(self._epoch)).encode(0)]
            parts += [Record(kind=Kind.SETTLED, first=a, count=b - a + 1, time=now).encode(0) for a, b in settled]
            parts += [Record(kind=Kind.TOLD, first=a, count=b - a + 1, time=now).encode(number) for (a, b), number in told.items()]
            data = b"".join(parts)
            fd = self._files.open(self._new, create=True)
            try:
                self._files.truncate(fd, 0)
                self._files.pwrite(fd, data, 0)
                self._files.datasync(fd)
                self._files.rename(self._new, self._path)
            except OSError:
                self._files.close(fd)
                self._broken = True
                with contextlib.suppress(OSError):  # it is overwritten by the next try
                    self._files.unlink(self._new)
                raise
            self._close()
            self._fd, self._end, self._broken = fd, len(data), False
            self._room = max(self._limit, 2 * len(data))
            self._unsynced = True
            self._files.sync_directory(self._directory)
            self._unsynced = False

    def _open(self) -> int:
        """Return the descriptor. Under the lock. Raises OSError."""
        if self._fd < 0:
            self._fd = self._files.open(self._path, write=True)
        return self._fd

    def close(self) -> None:
        """Close the file; it is opened again when there is something to write."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1


#: The smallest useful limit: the head and some tens of entries.
SMALLEST: Final = 64 * HEADER_SIZE


def entries(data: bytes, epoch: str) -> tuple[Ranges, Told, bool]:
    """Return what a journal's bytes say, and whether it must be rewritten: it is new, damaged or of another epoch."""
    settled, told = Ranges(), Told()
    position, broken = _head(data, epoch)
    while 0 <= position < len(data):
        header = record.header_at(data, position)
        if header is None:
            broken = True
            position = data.find(record.MAGIC, position + 1)
            continue
        if header.kind == Kind.SETTLED and header.numbers:
            settled.add(header.first, header.last)
        elif header.kind == Kind.TOLD and header.numbers:
            told[header.first, header.last] = header.segment
        position += header.size
    return settled, told, broken


def _head(data: bytes, epoch: str) -> tuple[int, bool]:
    """Return where the entries begin (-1: there are none for this epoch), and whether the head is not as it should be."""
    header = record.header_at(data, 0)
    if header is None or header.kind != Kind.JOURNAL:
        return (0 if data else -1), True  # a damaged head: the entries behind it are still good
    body = record.body_at(data, 0, header)
    if body is not None and body.hex() == epoch:
        return header.size, False
    return -1, True
