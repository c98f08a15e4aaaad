"""A spool over the fake disk, driven turn by turn without a thread, beside a slow, obvious twin that knows what must be true.

The twin remembers every reading that was acknowledged, every envelope that anybody saw, and what was delivered. `check` takes everything
out of the spool and holds it against that.
"""

from __future__ import annotations

import random as randoms
from collections.abc import Sequence
from dataclasses import dataclass, field

from device_agent.config import SpoolConfig, StreamConfig, WhenFull
from device_agent.metrics import Metrics
from device_agent.ports import Batch, Border
from device_agent.spool.spool import Spool
from device_agent.wire import block
from device_agent.wire.block import Payload, Run
from device_agent.wire.limits import KIB
from tests.spool.disk import FakeDisk

ROOT = "/spool"


class HandClock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> int:
        return int(1_700_000_000_000_000 + self.seconds * 1_000_000)

    def synced(self) -> bool:
        return True


@dataclass
class Twin:
    """What must be true of one stream."""

    acknowledged: dict[int, Payload] = field(default_factory=dict)  # by number, of the present epoch
    seen: dict[int, tuple[int, list[Payload]]] = field(default_factory=dict)  # envelopes by first number: last, payloads
    delivered: set[int] = field(default_factory=set)
    noticed: set[int] = field(default_factory=set)  # numbers that a notice was seen for
    refused: int = 0
    shown: dict[int, Payload] = field(default_factory=dict)  # every reading that anybody saw


class Answers:
    """Replies that write into the twin."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pending: set[int] = set()

    def committed(self, batch: Batch, first: int) -> None:
        self.pending.remove(id(batch))
        self._acknowledged(batch.stream, batch.run.payloads, first)

    def _acknowledged(self, stream: str, payloads: Sequence[Payload], first: int) -> None:
        twin = self.world.twins[stream]
        for number, payload in enumerate(payloads, start=first):
            assert number not in twin.acknowledged, "a number was used twice"
            assert twin.shown.get(number, payload) == payload, "a number that somebody saw was used again"
            twin.acknowledged[number] = payload

    def refused(self, batch: Batch, reason: str, *, first: int = 0, kept: int = 0) -> None:
        self.pending.remove(id(batch))
        assert reason
        assert kept < len(batch.run)
        self._acknowledged(batch.stream, batch.run.payloads[:kept], first)
        self.world.twins[batch.stream].refused += 1


class World:
    """One disk, one spool, one twin a stream."""

    def __init__(
        self,
        streams: Sequence[str] = ("a",),
        *,
        max_bytes: int = 512 * KIB,
        when_full: WhenFull = WhenFull.BLOCK,
        linger: float = 0.0,
        max_envelope: int = 8 * KIB,
        disk: FakeDisk | None = None,
        machine: str = "board",
        seed: int = 0,
        keep_free: int = 0,
        pack: bool = True,
    ) -> None:
        self.disk = disk if disk is not None else FakeDisk()
        self.clock = HandClock()
        self.random = randoms.Random(seed)
        self.config = SpoolConfig(directory=ROOT, max_bytes=max_bytes, keep_free=keep_free, when_full=when_full, commit_interval=1.0)
        self.streams = [
            StreamConfig(name=name, queue=f"https://q/{name}", linger=linger, max_envelope=max_envelope, pack=pack) for name in streams
        ]
        self.machine = machine
        self.twins = {name: Twin() for name in streams}
        self.answers = Answers(self)
        self.metrics = Metrics()
        self.flying: list[Border] = []
        self.spool = self._make()
        self.spool.open()
        self.online()

    def _make(self) -> Spool:
        self.metrics = Metrics()
        return Spool(
            self.config, self.streams, device="board-7", agent="device-agent/0", clock=self.clock, metrics=self.metrics, files=self.disk,
            random=self.random.randbytes, machine=self.machine,
        )  # fmt: skip

    def online(self, now: bool = True) -> None:
        for stream in self.streams:
            self.spool.sendable(stream.name, now)

    # Doing things

    def payloads(self, count: int, size: int) -> list[Payload]:
        return [self.random.randbytes(size) for _ in range(count)]

    def put(self, count: int = 1, size: int = 100, *, stream: str = "a", replies: bool = True) -> Batch:
        run = Run(self.clock.now(), True, self.payloads(count, size), None, None)
        batch = Batch(stream, run, count * size, self.answers if replies else None, None)
        if replies:
            self.answers.pending.add(id(batch))
        self.spool.put(batch)
        return batch

    def turn(self) -> float:
        return self.spool.writer.turn()

    def commit(self, count: int = 1, size: int = 100, *, stream: str = "a") -> None:
        self.put(count, size, stream=stream)
        self.turn()

    def later(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.turn()

    def take(self, stream: str = "a", *, fresh: bool = False) -> Border | None:
        border = self.spool.take(stream, fresh=fresh)
        if border is not None:
            self.flying.append(border)
            self.see(border)
        return border

    def deliver(self, border: Border) -> None:
        self.flying.remove(border)
        if not border.reason:  # first: the power may fail within the call
            self.twins[border.stream].delivered.update(range(border.first, border.last + 1))
        self.spool.delivered(border, border.first, border.last)

    def give_back(self, border: Border) -> None:
        self.flying.remove(border)
        self.spool.give_back(border)

    def quarantine(self, border: Border) -> None:
        self.flying.remove(border)
        if not border.reason:
            self.twins[border.stream].delivered.update(range(border.first, border.last + 1))
        self.spool.quarantine(border, border.first, border.last, reason="refused", body="{}")

    def restart(self, *, orderly: bool = False, cut: bool = True, keep: float | None = None) -> None:
        """Lose power (or stop) and open again."""
        if orderly:
            self.spool.stop()
            self.spool.close()
            assert not self.answers.pending, "somebody waits for an answer for ever"
        if cut:
            self.disk.power_cut(self.random, keep=keep)
        self.answers = Answers(self)
        self.flying = []
        self.spool = self._make()
        self.spool.open()
        self.online()

    # Looking

    def see(self, border: Border) -> dict[int, Payload]:
        """Read a taken border, hold it against what was seen and acknowledged, and return its payloads by number."""
        twin = self.twins[border.stream]
        if border.reason:
            twin.noticed.update(range(border.first, border.last + 1))
            assert self.spool.read(border) == []
            return {}
        found: dict[int, Payload] = {}
        number = border.first
        for one in self.spool.read(border):
            while number < one.first:
                twin.noticed.add(number)  # damaged: `check` wants the notice itself
                number += 1
            readings = block.decode(one.data)
            assert len(readings) == one.count
            for payload in readings.payloads:
                assert twin.acknowledged.get(number, payload) == payload, f"number {number} has other content than was acknowledged"
                assert twin.shown.setdefault(number, payload) == payload, f"number {number} was used twice"
                found[number] = payload
                number += 1
        if len(found) == border.last - border.first + 1:
            content = list(found.values())
            assert twin.seen.setdefault(border.first, (border.last, content)) == (border.last, content), "an envelope changed"
        return found

    def check(self) -> None:
        """Take everything out, compare, and put it back."""
        for stream in self.streams:
            self._check(stream.name)

    def _check(self, stream: str) -> None:
        twin = self.twins[stream]
        taken = []
        there: dict[int, Payload] = {}
        noticed: set[int] = set()
        last = 0
        while (border := self.spool.take(stream)) is not None:
            taken.append(border)
            if border.reason:
                noticed.update(range(border.first, border.last + 1))
                continue
            assert border.first > last, "envelopes overlap or are out of order"
            last = border.last
            there |= self.see(border)
        for border in self.flying:
            if border.stream == stream:
                if border.reason:
                    noticed.update(range(border.first, border.last + 1))
                else:
                    there |= self.see(border)
        for border in taken:
            self.spool.give_back(border)
        for owed in self.spool._streams[stream].present.log.owed():
            noticed.update(range(owed.first, owed.last + 1))
        twin.noticed |= noticed
        lost = [
            number for number in twin.acknowledged if number not in there and number not in twin.delivered and number not in twin.noticed
        ]
        opened = self.spool._streams[stream].present.appender.open
        if opened is not None:
            lost = [number for number in lost if not opened.first <= number < opened.first + opened.count]
        assert not lost, f"acknowledged readings are gone: {lost[:10]}"
        for number, payload in there.items():
            assert twin.acknowledged.get(number, payload) == payload
