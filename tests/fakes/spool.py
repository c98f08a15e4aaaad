"""Fake (Meszaros): a spool in memory that passes the contract suites of `Sink` and `Source`.

Promises what the ports promise, except the disk. Each batch is committed within `put` and is an envelope of its own (a batch larger than
`envelope` readings becomes several), so tests of intake and uplink need no thread and no waiting. `hold` keeps batches uncommitted until
`commit`; `verdicts`, `whys`, `unreadable` and `unwritable` say what the tests want to hear.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from device_agent.errors import NotNow
from device_agent.ports import Batch, Block, Border, Verdict
from device_agent.wire import block
from device_agent.wire.block import Payload, Run
from device_agent.wire.limits import MAX_READING
from device_agent.wire.ranges import Ranges


@dataclass
class _Stream:
    epoch: str
    next: int = 1
    waiting: list[Border] = field(default_factory=list)  # oldest first
    taken: dict[tuple[int, str], tuple[Border, Ranges]] = field(default_factory=dict)  # with what is settled of each
    blocks: dict[int, list[Block]] = field(default_factory=dict)
    settled: Ranges = field(default_factory=Ranges)  # numbers delivered, quarantined or damaged
    sendable: bool = False


class FakeSpool:
    """`Sink` and `Source` over dictionaries."""

    def __init__(self, *streams: str, envelope: int = 65_536, largest: int = MAX_READING, now: int = 1_000_000) -> None:
        self._streams = {name: _Stream(f"{number:016x}") for number, name in enumerate(streams or ("telemetry",), start=1)}
        self._envelope, self._largest, self._now = envelope, largest, now
        self._change = threading.Condition(threading.RLock())
        self._changes = 0
        self._seen = threading.local()
        self._held: list[Batch] = []
        self.hold = False
        self.verdicts: dict[str, Verdict] = {}
        self.whys: dict[str, str] = {}
        self.unreadable = ""  # why the disk cannot be read now
        self.unwritable = ""  # why it takes nothing into the quarantine now
        self.batches: list[Batch] = []  # all that was put
        self.refused_batches: list[Batch] = []  # ... and was kept nowhere
        self.aside: list[tuple[str, Payload, str]] = []
        self.quarantined: list[tuple[str, int, int, str, str]] = []  # stream, first, last, reason, body

    # Sink

    def verdict(self, stream: str) -> Verdict:
        return self.verdicts.get(stream, Verdict.OPEN)

    def why(self, stream: str) -> str:
        return self.whys.get(stream, "the spool is full")

    def max_reading(self, stream: str) -> int:
        assert stream in self._streams
        return self._largest

    def put(self, batch: Batch) -> None:
        with self._change:
            self.batches.append(batch)
            self._held.append(batch)
            if not self.hold:
                self.commit()

    def set_aside(self, stream: str, payload: Payload, reason: str) -> None:
        self.aside.append((stream, payload, reason))

    def commit(self) -> None:
        """Commit what `hold` kept, and tell the clients."""
        with self._change:
            held, self._held = self._held, []
            for batch in held:
                first = self._streams[batch.stream].next
                self._append(batch.stream, batch.run)
                if batch.replies is not None:
                    batch.replies.committed(batch, first)

    def refuse(self, reason: str) -> None:
        """Refuse what `hold` kept."""
        with self._change:
            held, self._held = self._held, []
            self.refused_batches += held
            for batch in held:
                if batch.replies is not None:
                    batch.replies.refused(batch, reason)

    def _append(self, name: str, run: Run) -> None:
        stream = self._streams[name]
        while len(run):
            part, run = run.split(self._envelope)
            data = block.encode([part])
            border = Border(
                stream=name, epoch=stream.epoch, first=stream.next, last=stream.next + len(part) - 1, time=part.received, size=len(data)
            )
            stream.blocks[border.first] = [Block(border.first, len(part), data)]
            stream.waiting.append(border)
            stream.next = border.last + 1
        self.wake()

    # Source

    def take(self, stream: str, *, fresh: bool = False) -> Border | None:
        with self._change:
            log = self._streams[stream]
            if not log.waiting:
                return None
            border = log.waiting.pop(-1 if fresh else 0)
            log.taken[border.first, border.reason] = (border, Ranges())
            return border

    def read(self, border: Border) -> list[Block]:
        if self.unreadable:
            raise NotNow(f"{border.stream} {border.first}-{border.last}: reading the spool fails: {self.unreadable}")
        with self._change:
            return list(self._streams[border.stream].blocks[border.first]) if not border.reason else []

    def delivered(self, border: Border, first: int, last: int) -> None:
        with self._change:
            log = self._streams[border.stream]
            if not border.reason:
                log.settled.add(first, last)
            self._settle(log, border, first, last)

    def quarantine(self, border: Border, first: int, last: int, *, reason: str, body: str) -> None:
        if self.unwritable:
            raise NotNow(f"{border.stream} {first}-{last}: writing to the quarantine fails: {self.unwritable}")
        with self._change:
            log = self._streams[border.stream]
            self.quarantined.append((border.stream, first, last, reason, body))
            if not border.reason:
                log.settled.add(first, last)
                log.waiting.append(
                    Border(
                        stream=border.stream, epoch=border.epoch, first=first, last=last, time=self._now, size=0,
                        reason="quarantined", detail=reason,
                    )
                )  # fmt: skip
            self._settle(log, border, first, last)
            self.wake()

    def give_back(self, border: Border) -> None:
        with self._change:
            log = self._streams[border.stream]
            if log.taken.pop((border.first, border.reason), None) is not None:
                log.waiting.append(border)
                log.waiting.sort(key=lambda one: (bool(one.reason), one.first))
                self.wake()

    def sendable(self, stream: str, now: bool) -> None:
        self._streams[stream].sendable = now

    def wait(self, timeout: float) -> None:
        with self._change:
            seen = getattr(self._seen, "changes", 0)
            self._change.wait_for(lambda: self._changes != seen, timeout)
            self._seen.changes = self._changes

    def wake(self) -> None:
        with self._change:
            self._changes += 1
            self._change.notify_all()

    @staticmethod
    def _settle(log: _Stream, border: Border, first: int, last: int) -> None:
        entry = log.taken.get((border.first, border.reason))
        if entry is None:
            return
        entry[1].add(first, last)
        if entry[1].covers(border.first, border.last) or (not border.reason and log.settled.covers(border.first, border.last)):
            del log.taken[border.first, border.reason]

    # For tests to look at

    def delivered_ranges(self, stream: str) -> list[tuple[int, int]]:
        """Numbers that are delivered or quarantined."""
        return list(self._streams[stream].settled)

    def in_flight(self, stream: str) -> list[Border]:
        """Borders taken and not settled."""
        return [border for border, _ in self._streams[stream].taken.values()]

    def is_sendable(self, stream: str) -> bool:
        """What the uplink reported last."""
        return self._streams[stream].sendable
