"""Spool: Guaranteed Delivery (Enterprise Integration Patterns) as `Sink` and `Source` over one directory. Composition of the parts.

Promises what `device_agent.spool` lists. `open` and `close` from the main thread; `Sink` from the receiver's, `Source` from every thread.
"""

from __future__ import annotations

import base64
import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final

from device_agent import events
from device_agent.clock import Clock
from device_agent.config import SpoolConfig, StreamConfig, WhenFull
from device_agent.descriptors import SHORT
from device_agent.errors import NotNow, SpoolError
from device_agent.metrics import Metrics, StreamMetrics
from device_agent.ports import Batch, Block, Border, Verdict
from device_agent.spool import moves
from device_agent.spool.budget import divide
from device_agent.spool.files import Files, RealFiles, bytes_below
from device_agent.spool.lane import Unsaved
from device_agent.spool.lock import Lock
from device_agent.spool.moves import Moves
from device_agent.spool.opening import UNKNOWN_MACHINE, Setting
from device_agent.spool.quarantine import DAMAGED, NoRoom, Quarantine, damaged_as, frames_base64
from device_agent.spool.room import Room
from device_agent.spool.scan import HALF_WRITTEN, Damage
from device_agent.spool.stream import Stream
from device_agent.spool.writer import Writer
from device_agent.wire import envelope, names
from device_agent.wire.block import Payload
from device_agent.wire.limits import MIB

#: Bytes of readings that wait to be set aside at most; further ones are only counted.
_ASIDE: Final = 4 * MIB
#: Bytes of damage that are copied at most.
_COPY: Final = 1 * MIB


class Spool:
    """All streams of one agent."""

    def __init__(
        self,
        config: SpoolConfig,
        streams: Sequence[StreamConfig],
        *,
        device: str,
        agent: str,
        clock: Clock,
        metrics: Metrics,
        files: Files | None = None,
        random: Callable[[int], bytes] = os.urandom,
        machine: str = "",
    ) -> None:
        """Check that the cap can be divided; nothing is touched yet.

        Args:
            config: directory, cap and what happens at it.
            streams: all of them.
            device: device id, for the size of an envelope's attributes.
            agent: name and version, for the same.
            clock: wall time for records, monotonic for durations.
            metrics: a `StreamMetrics` a stream is made in it where there is none.
            files: the file system.
            random: for epochs.
            machine: what identifies the board; a directory that another one has written gets new epochs. Empty: unknown.

        Raises:
            ConfigError: `max_bytes` is too little for the streams.
        """
        self._config, self._clock, self._metrics = config, clock, metrics
        self._device, self._agent, self._random = device, agent, random
        self._files = files if files is not None else RealFiles()
        self._machine = blake2b(machine.encode(), digest_size=16).digest() if machine else UNKNOWN_MACHINE
        self._configs = {stream.name: stream for stream in streams}
        self._root = config.directory.rstrip("/")
        self._budget = divide(config.max_bytes, streams)
        self._streams: dict[str, Stream] = {}
        self._quarantine = Quarantine(files=self._files, directory=f"{self._root}/quarantine", limit=self._budget.quarantine)
        self._aside: deque[tuple[str, Payload, str]] = deque()
        self._aside_bytes = 0
        self._aside_count = 0
        self._foreign: dict[str, int] = {}
        self._moves = Moves()
        self._stopping = False
        self._lock = Lock(self._files, self._root)
        self._change = threading.Condition()
        self._changes = 1
        self._seen = threading.local()
        self.writer = Writer(streams=(), clock=clock, interval=config.commit_interval, when_full=config.when_full, aside=self._keep_aside)

    # Life

    def open(self) -> None:
        """Lock the directory and open every log.

        Raises:
            SpoolError: locked by another agent, not a directory, not writable.
            ConfigError: `max_bytes` is too little beside what streams that are no longer configured have on disk.
        """
        try:
            self._files.make_directory(self._root)
            self._lock.take()
            self._open()
        except OSError as error:
            self.close()
            what = "the spool needs a directory that it may write to"
            if error.errno in {errno.EISDIR, errno.ENOTDIR, errno.EEXIST}:
                what = "the spool has something of its own by that name: move away what is there"
            if error.errno in SHORT:
                what = "raise LimitNOFILE of the unit (or `ulimit -n`)"
            raise SpoolError(f"{error.filename or self._root}: {error.strerror or error}; {what}") from error
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Look whether another agent has the spool, without touching anything; `open` finds whatever else is wrong.

        Raises:
            SpoolError: it has.
        """
        self._lock.look()

    def _open(self) -> None:
        files, root = self._files, f"{self._root}/streams"
        files.make_directory(root)
        self._quarantine.open()
        files.sync_directory(self._root)
        self._foreign = {
            found.name: bytes_below(files, f"{root}/{found.name}")
            for found in files.list(root)
            if found.directory and found.name not in self._configs
        }
        self._budget = divide(self._config.max_bytes, list(self._configs.values()), foreign=sum(self._foreign.values()))
        streams = []
        for name, config in self._configs.items():
            stream = Stream(config=config, share=self._budget.shares[name], directory=f"{root}/{name}", files=files)
            streams.append(stream)
            self._streams[name] = stream
        interval, when_full = self._config.commit_interval, self._config.when_full
        self.writer = Writer(streams=streams, clock=self._clock, interval=interval, when_full=when_full, aside=self._keep_aside)
        moved: list[str] = []
        for stream in streams:
            stream.open(self._setting(stream, moved))
        files.sync_directory(root)
        self._moves = moves.note(files, self._root, moved=bool(moved))

    def _setting(self, stream: Stream, moved: list[str]) -> Setting:
        name = stream.config.name
        overhead = envelope.overhead(device=self._device, stream=name, agent=self._agent)
        room = Room(
            stream=name, share=stream.share, when_full=self._config.when_full, used=lambda: stream.used,
            free=lambda: self._files.free(self._root) - self._config.keep_free,
            stopped=lambda: "" if self._stopping else self._quarantine.why(name),
        )  # fmt: skip
        largest = min(stream.config.max_envelope, self._budget.quarantine // 2)  # so that each finds room there, should it be refused
        return Setting(
            stream=name, files=self._files, clock=self._clock, room=room,
            metrics=self._metrics.streams.setdefault(name, StreamMetrics()),
            budget=envelope.capacity(largest, overhead=overhead), pack=stream.config.pack,
            machine=self._machine, random=self._random, changed=lambda: self.writer.chores(name), ready=self._ready, spoiled=self._spoiled,
            moved=lambda: moved.append(name),
        )  # fmt: skip

    def start(self) -> None:
        """Start the writer's thread."""
        self.writer.start()

    @property
    def alive(self) -> bool:
        """Whether the writer's thread runs; False after `start` means a bug, and that the agent must be restarted."""
        return self.writer.alive

    def stop(self) -> None:
        """Commit everything that was put, close the open envelopes, then stop the thread. What the disk does not take is refused."""
        self._stopping = True  # what a stopped stream holds in memory has its place on the disk
        self.writer.stop()
        self.wake()

    @property
    def unsaved(self) -> list[Unsaved]:
        """After `stop`: what was put without replies and the disk did not take, in order; it is nowhere else."""
        return self.writer.unsaved

    def close(self) -> None:
        """Close every file and give the directory free. After `stop`; what was delivered between the two is noted here."""
        for stream in self._streams.values():
            stream.close()
        self._streams = {}
        self._lock.release()

    # Sink

    def verdict(self, stream: str) -> Verdict:
        """See `Sink`."""
        return self.writer.verdict(stream)

    def why(self, stream: str) -> str:
        """See `Sink`."""
        return self.writer.why(stream)

    def max_reading(self, stream: str) -> int:
        """See `Sink`."""
        return self._budget.shares[stream].max_reading

    def put(self, batch: Batch) -> None:
        """See `Sink`."""
        self.writer.put(batch)

    def set_aside(self, stream: str, payload: Payload, reason: str) -> None:
        """See `Sink`. Written by the writer's thread; while the disk is behind, more than a few are only counted."""
        size = sum(map(len, payload)) if isinstance(payload, list) else len(payload)
        if self._aside_bytes + size <= _ASIDE:
            self._aside_bytes += size
            self._aside.append((stream, payload, reason))
            self.writer.set_aside()

    def _keep_aside(self) -> None:
        while self._aside:
            stream, payload, reason = self._aside.popleft()
            frames = frames_base64(payload)
            self._aside_bytes = max(0, self._aside_bytes - sum(len(frame) * 3 // 4 for frame in frames))
            self._aside_count += 1
            now = self._clock.now()
            content = {"reason": reason, "time": envelope.rfc3339(now), "stream": stream, "frames_base64": frames}
            try:
                self._quarantine.keep(stream, f"oversize-{now:016d}-{self._aside_count}", content)
            except (NoRoom, OSError) as error:
                events.quarantine_failed(stream, error)

    # Source

    def take(self, stream: str, *, fresh: bool = False) -> Border | None:
        """See `Source`. While the disk cannot be read there is nothing to take."""
        try:
            border = self._streams[stream].take(fresh=fresh)
        except OSError as error:
            events.spool_chore_failed(stream, error)
            return None
        if border is not None:
            self.writer.taken(stream)
        return border

    def read(self, border: Border) -> list[Block]:
        """See `Source`. Raises NotNow if the disk fails."""
        try:
            return self._streams[border.stream].read(border)
        except OSError as error:
            raise NotNow(f"{border.stream} {border.first}-{border.last}: reading the spool fails: {error.strerror or error}") from error

    def delivered(self, border: Border, first: int, last: int) -> None:
        """See `Source`."""
        self._quarantine.no_longer_waits(border.stream, _kept_as(border, first, last))
        epoch = self._streams[border.stream].find(border)
        if epoch is not None:  # else a message that was sent again after the last number of its epoch was settled
            epoch.log.delivered(border, first, last)

    def quarantine(self, border: Border, first: int, last: int, *, reason: str, body: str) -> None:
        """See `Source`. Raises NotNow if the disk fails or the quarantine is full: nothing is settled then."""
        ident = names.envelope_id(border.epoch, first) if not border.reason else names.notice_id(border.epoch, first, last)
        content = {
            "reason": reason, "time": envelope.rfc3339(self._clock.now()), "stream": border.stream, "epoch": border.epoch,
            "first": first, "last": last, "id": ident, "body": body,
        }  # fmt: skip
        try:
            oldest = self._config.when_full is WhenFull.DROP_OLDEST
            self._quarantine.keep_refused(border.stream, _kept_as(border, first, last), content, sacrifice=oldest)
        except NoRoom as error:
            self.writer.chores(border.stream)  # it stops the stream
            raise NotNow(f"{border.stream} {first}-{last}: {error}") from None
        except OSError as error:
            raise NotNow(f"{border.stream} {first}-{last}: writing to the quarantine fails: {error.strerror or error}") from error
        epoch = self._streams[border.stream].find(border)
        if epoch is not None:
            epoch.log.set_apart(border, first, last, reason)

    def give_back(self, border: Border) -> None:
        """See `Source`."""
        epoch = self._streams[border.stream].find(border)
        if epoch is not None and epoch.log.give_back(border):
            self._ready()

    def sendable(self, stream: str, now: bool) -> None:
        """See `Source`."""
        self.writer.sendable(stream, now)

    def wait(self, timeout: float) -> None:
        """See `Source`. Each thread is told of every change once, so that none falls between a `take` and a `wait`."""
        with self._change:
            seen = getattr(self._seen, "changes", 0)
            self._change.wait_for(lambda: self._changes != seen, timeout)
            self._seen.changes = self._changes

    def wake(self) -> None:
        """See `Source`."""
        self._ready()

    def _ready(self) -> None:
        with self._change:
            self._changes += 1
            self._change.notify_all()

    # Damage

    def _spoiled(self, stream: str, epoch: str, segment: int, damage: Damage, data: bytes) -> None:
        events.spool_damaged(
            stream, segment=segment, position=damage.position, length=damage.length, first=damage.first, last=damage.last, why=damage.why
        )
        content = {
            "reason": damage.why, "time": envelope.rfc3339(self._clock.now()), "stream": stream, "epoch": epoch, "segment": segment,
            "position": damage.position, "length": damage.length, "first": damage.first, "last": damage.last,
            "data_base64": base64.b64encode(data[:_COPY]).decode("ascii"),
        }  # fmt: skip
        try:
            self._quarantine.keep(DAMAGED, damaged_as(stream, epoch, segment, damage.position, torn=damage.why == HALF_WRITTEN), content)
        except (NoRoom, OSError) as error:
            events.quarantine_failed(stream, error)

    # Status

    def status(self) -> dict[str, Any]:
        """Return plain figures for people: a dictionary a stream, and the whole."""
        streams = {}
        for name, stream in self._streams.items():
            verdict = self.verdict(name)
            streams[name] = stream.status() | {
                "verdict": verdict.value,
                "why": self.why(name) if verdict is Verdict.FULL else "",
                "quarantined_files": self._quarantine.count(name),
            }
        used = sum(one["bytes"] for one in streams.values()) + sum(self._foreign.values()) + self._quarantine.used
        return {
            "directory": self._root, "max_bytes": self._config.max_bytes, "bytes": used, "writer": self.alive,
            "damaged_files": self._quarantine.count(DAMAGED), "not_configured": dict(self._foreign), "streams": streams,
            "machine_changes": self._moves.total, "machine_changes_at_every_start": self._moves.wrong,
        }  # fmt: skip


def _kept_as(border: Border, first: int, last: int) -> str:
    """Name in the quarantine of a message that is refused."""
    return f"{border.epoch}-{'x' if border.reason else ''}{first}-{last}"
