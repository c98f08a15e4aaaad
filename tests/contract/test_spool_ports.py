"""Contract of `Sink` and `Source`: the same sentences hold for the spool and for its fake."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from device_agent.clock import SystemClock
from device_agent.config import SpoolConfig, StreamConfig
from device_agent.errors import NotNow
from device_agent.metrics import Metrics
from device_agent.ports import Batch, Border, Sink, Source, Verdict
from device_agent.spool.files import RealFiles
from device_agent.spool.spool import Spool
from device_agent.wire import block
from device_agent.wire.block import Run
from device_agent.wire.limits import MIB
from tests.fakes.spool import FakeSpool

STREAM = "telemetry"


class Both(Sink, Source, Protocol):
    pass


class FailingFiles(RealFiles):
    """A disk that cannot be read while `broken`."""

    broken = False

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        if self.broken:
            raise OSError(errno.ENODEV, "No such device")
        return super().pread(fd, size, offset)


def _break(spool: Both, how: str) -> None:
    """Let the disk under the spool fail, or with "" be well again."""
    if isinstance(spool, FakeSpool):
        spool.unreadable = how
    else:
        assert isinstance(spool, Spool)
        assert isinstance(spool._files, FailingFiles)
        spool._files.broken = bool(how)


def _fake(_: Path) -> Iterator[Both]:
    yield FakeSpool(STREAM, "events")


def _real(directory: Path) -> Iterator[Both]:
    streams = [StreamConfig(name=name, queue=f"https://queue/{name}", linger=0.0) for name in (STREAM, "events")]
    config = SpoolConfig(directory=str(directory / "spool"), max_bytes=4 * MIB, keep_free=0, commit_interval=0.05)
    clock, metrics = SystemClock(), Metrics()
    spool = Spool(config, streams, device="board-7", agent="device-agent/0", clock=clock, metrics=metrics, files=FailingFiles())
    spool.open()
    spool.start()
    yield spool
    spool.stop()
    spool.close()


MAKERS: dict[str, Callable[[Path], Iterator[Both]]] = {"fake": _fake, "spool": _real}


@pytest.fixture(params=MAKERS)
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Both]:
    made = MAKERS[request.param](tmp_path)
    yield next(made)
    assert next(made, None) is None


class Told:
    def __init__(self) -> None:
        self.committed_: list[tuple[Batch, int]] = []
        self.refused_: list[tuple[Batch, str]] = []
        self.event = threading.Event()

    def committed(self, batch: Batch, first: int) -> None:
        self.committed_.append((batch, first))
        self.event.set()

    def refused(self, batch: Batch, reason: str, *, first: int = 0, kept: int = 0) -> None:
        self.refused_.append((batch, reason))
        self.event.set()


def batch(*payloads: bytes | list[bytes], stream: str = STREAM, replies: Told | None = None, at: int = 1_700_000_000_000_000) -> Batch:
    size = sum(len(payload) if isinstance(payload, bytes) else sum(map(len, payload)) for payload in payloads)
    return Batch(stream, Run(at, True, list(payloads), "t", None), size, replies, [None] * len(payloads) if replies else None)


def take(spool: Source, stream: str = STREAM, *, fresh: bool = False) -> Border:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        border = spool.take(stream, fresh=fresh)
        if border is not None:
            return border
        spool.wait(0.2)
    raise AssertionError("nothing to take within 5 s")


def commit(spool: Sink, *payloads: bytes | list[bytes], stream: str = STREAM) -> int:
    """Put one batch, wait until it is on disk, return its first number."""
    told = Told()
    spool.put(batch(*payloads, stream=stream, replies=told))
    assert told.event.wait(60)
    assert not told.refused_
    return told.committed_[0][1]


def payloads(spool: Source, border: Border) -> list[block.Payload]:
    found: list[block.Payload] = []
    number = border.first
    for one in spool.read(border):
        assert one.first == number
        readings = block.decode(one.data)
        assert len(readings) == one.count
        found += readings.payloads
        number += one.count
    assert number == border.last + 1
    return found


def test_a_new_spool_is_open_and_takes_readings_of_some_size(spool: Both) -> None:
    assert spool.verdict(STREAM) is Verdict.OPEN
    assert spool.max_reading(STREAM) >= 16 * 1024


def test_a_batch_is_acknowledged_once_with_its_first_sequence_number(spool: Both) -> None:
    told = Told()
    first, second = batch(b"a", b"b", replies=told), batch(b"c", replies=told)
    spool.put(first)
    spool.put(second)
    deadline = time.monotonic() + 60
    while len(told.committed_) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told.committed_ == [(first, 1), (second, 3)]
    assert told.refused_ == []


def test_numbers_of_streams_are_independent(spool: Both) -> None:
    assert commit(spool, b"a", b"b") == 1
    assert commit(spool, b"x", stream="events") == 1
    assert commit(spool, b"c") == 3


def test_what_was_put_comes_out_unchanged_and_in_order(spool: Both) -> None:
    spool.sendable(STREAM, True)
    sent: list[bytes | list[bytes]] = [b"", b"\0\xff", [], [b"", b"two"], b"{}"]
    commit(spool, *sent)
    border = take(spool)
    assert (border.stream, border.first, border.last, border.reason) == (STREAM, 1, 5, "")
    assert border.time == 1_700_000_000_000_000
    assert border.size == sum(len(one.data) for one in spool.read(border))
    assert payloads(spool, border) == sent


def test_nobody_gets_a_border_that_is_taken(spool: Both) -> None:
    spool.sendable(STREAM, True)
    commit(spool, b"a")
    border = take(spool)
    assert spool.take(STREAM) is None
    assert spool.take(STREAM, fresh=True) is None
    spool.delivered(border, border.first, border.last)
    assert spool.take(STREAM) is None


def test_a_border_given_back_is_taken_again_in_its_old_place(spool: Both) -> None:
    spool.sendable(STREAM, True)
    taken = []
    for payload in (b"a", b"b", b"c"):
        commit(spool, payload)
        taken.append(take(spool))
    for border in reversed(taken):
        spool.give_back(border)
    assert [take(spool) for _ in taken] == taken


def test_fresh_takes_the_newest_and_then_the_next_older(spool: Both) -> None:
    spool.sendable(STREAM, True)
    taken = []
    for payload in (b"a", b"b", b"c"):
        commit(spool, payload)
        taken.append(take(spool))
    for border in taken:
        spool.give_back(border)
    assert [take(spool, fresh=True) for _ in range(2)] == [taken[2], taken[1]]
    assert take(spool) == taken[0]


def test_a_border_is_settled_number_for_number(spool: Both) -> None:
    spool.sendable(STREAM, True)
    commit(spool, b"a", b"b", b"c")
    border = take(spool)
    spool.delivered(border, 1, 1)
    spool.delivered(border, 3, 3)
    spool.give_back(border)
    assert take(spool) == border  # number 2 is still owed
    spool.delivered(border, 2, 2)
    assert spool.take(STREAM) is None


def test_quarantined_numbers_become_a_notice(spool: Both) -> None:
    spool.sendable(STREAM, True)
    commit(spool, b"a", b"b")
    border = take(spool)
    spool.quarantine(border, 1, 2, reason="InvalidMessageContents", body="{}")
    notice = take(spool)
    assert (notice.first, notice.last, notice.reason, notice.size) == (1, 2, "quarantined", 0)
    assert notice.detail == "InvalidMessageContents"
    assert notice.epoch == border.epoch
    assert spool.read(notice) == []
    spool.delivered(notice, notice.first, notice.last)
    assert spool.take(STREAM) is None


def test_a_notice_can_be_given_back(spool: Both) -> None:
    spool.sendable(STREAM, True)
    commit(spool, b"a")
    border = take(spool)
    spool.quarantine(border, 1, 1, reason="no", body="{}")
    notice = take(spool)
    spool.give_back(notice)
    assert take(spool) == notice


def test_what_cannot_be_read_now_can_be_given_back_and_read_later(spool: Both) -> None:
    spool.sendable(STREAM, True)
    commit(spool, b"a", b"b")
    border = take(spool)
    _break(spool, "No such device")
    with pytest.raises(NotNow, match=f"{STREAM} 1-2: reading the spool fails: No such device"):
        spool.read(border)
    spool.give_back(border)
    _break(spool, "")
    assert take(spool) == border
    assert sum(one.count for one in spool.read(border)) == 2


def test_wait_returns_when_something_can_be_taken(spool: Both) -> None:
    spool.sendable(STREAM, True)
    spool.wait(0.01)
    spool.wait(0.01)
    timer = threading.Timer(0.05, lambda: spool.put(batch(b"a", replies=Told())))
    timer.start()
    try:
        assert take(spool).first == 1
    finally:
        timer.join()


def test_wake_ends_a_wait_even_when_it_comes_first(spool: Both) -> None:
    spool.wait(0.01)
    spool.wake()
    started = time.monotonic()
    spool.wait(600)
    assert time.monotonic() - started < 300


def test_a_reading_can_be_set_aside(spool: Both) -> None:
    spool.set_aside(STREAM, b"x" * 1000, "larger than max_reading")
    spool.set_aside(STREAM, [b"a", b"b"], "larger than max_reading")
    assert spool.verdict(STREAM) is Verdict.OPEN
