"""A machine id that changes at every boot, with the cloud away: the cap holds, nothing is lost, and the log says what is wrong.

The public report: images with a read-only root and an empty or "uninitialized" /etc/machine-id get a random id at each boot
(https://www.freedesktop.org/software/systemd/man/machine-id.html, "First Boot Semantics"). Each start began a new epoch that kept a whole
preallocated segment, and nobody counted them: 51 MiB of 16 after 30 starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agent.config import SpoolConfig, StreamConfig, WhenFull
from device_agent.metrics import Metrics
from device_agent.ports import Batch, Verdict
from device_agent.spool.files import Files, RealFiles
from device_agent.spool.spool import Spool
from device_agent.wire import block
from device_agent.wire.block import Run
from device_agent.wire.limits import KIB, MIB
from tests.spool.disk import FakeDisk
from tests.spool.world import ROOT, HandClock


class Board:
    """A spool that is opened again and again, each time on what looks like another machine."""

    def __init__(self, files: Files, *, root: str = ROOT, max_bytes: int = 2 * MIB, when_full: WhenFull = WhenFull.BLOCK) -> None:
        self.files, self.starts = files, 0
        self.config = SpoolConfig(directory=root, max_bytes=max_bytes, keep_free=0, when_full=when_full, commit_interval=1.0)
        self.clock = HandClock()
        self.acknowledged: set[bytes] = set()
        self.refusals = 0
        self.number = 0
        self.spool: Spool | None = None

    def start(self, machine: str = "") -> Spool:
        self.stop()
        self.starts += 1
        self.spool = Spool(
            self.config, [StreamConfig(name="a", queue="https://q/a", linger=0.0)], device="board-7", agent="device-agent/0",
            clock=self.clock, metrics=Metrics(), files=self.files, machine=machine or f"machine {self.starts}",
        )  # fmt: skip
        self.spool.open()
        self.spool.sendable("a", True)
        return self.spool

    def stop(self) -> None:
        if self.spool is not None:
            self.spool.stop()
            self.spool.close()

    def committed(self, batch: Batch, first: int) -> None:
        self.acknowledged.update(bytes(one) for one in batch.run.payloads if isinstance(one, bytes))

    def refused(self, batch: Batch, reason: str, *, first: int = 0, kept: int = 0) -> None:
        assert "spool is full" in reason
        self.refusals += 1

    def put(self, count: int = 20, size: int = 1000) -> None:
        assert self.spool is not None
        payloads = []
        for _ in range(count):
            self.number += 1
            payloads.append(b"%012d" % self.number + os.urandom(size - 12))
        self.spool.put(Batch("a", Run(self.clock.now(), True, list(payloads), None, None), count * size, self, None))
        self.spool.writer.turn()

    def everything(self) -> Iterator[bytes | str]:
        """Take all that the spool holds, and settle it; a notice is its reason."""
        assert self.spool is not None
        while True:
            self.spool.writer.turn()
            border = self.spool.take("a")
            if border is None:
                return
            for one in self.spool.read(border):
                yield from (payload for payload in block.decode(one.data).payloads if isinstance(payload, bytes))
            if border.reason:
                yield from [border.reason] * (border.last - border.first + 1)
            self.spool.delivered(border, border.first, border.last)


@pytest.mark.parametrize("when_full", [WhenFull.BLOCK, WhenFull.DROP_NEWEST])
def test_the_cap_holds_over_thirty_starts_and_every_acknowledged_reading_is_there(when_full: WhenFull) -> None:
    disk = FakeDisk()
    board = Board(disk, when_full=when_full)
    for _ in range(30):
        board.start()
        for _ in range(5):
            board.put()
            assert disk.under(ROOT) <= 2 * MIB
    assert board.refusals > 0, "more than the cap was put"
    assert len(board.acknowledged) > 1000
    found = set(board.everything())
    assert board.acknowledged <= found
    board.start(machine="at last a lasting one")
    board.put()
    assert board.spool is not None
    board.spool.writer.turn()
    assert disk.under(ROOT) < MIB, "what was sent is given back"


def test_a_full_spool_takes_readings_again_when_the_cloud_has_some_of_it() -> None:
    disk = FakeDisk()
    board = Board(disk)
    while not board.refusals:
        board.start()
        board.put()
    spool = board.start()
    board.put()
    assert spool.verdict("a") is Verdict.FULL
    assert board.acknowledged <= set(board.everything())
    board.clock.seconds += 30
    spool.writer.turn()
    assert spool.verdict("a") is Verdict.OPEN
    before = len(board.acknowledged)
    board.put()
    assert len(board.acknowledged) == before + 20
    assert disk.under(ROOT) <= 2 * MIB


def test_drop_oldest_drops_the_oldest_epochs_and_says_which_numbers() -> None:
    disk = FakeDisk()
    board = Board(disk, when_full=WhenFull.DROP_OLDEST)
    for _ in range(40):
        board.start()
        for _ in range(5):
            board.put()
        assert disk.under(ROOT) <= 2 * MIB + 64 * KIB  # a notice for each epoch that gave way
    assert not board.refusals
    found = list(board.everything())
    assert found.count("dropped") + len(board.acknowledged & set(found)) == len(board.acknowledged)
    assert b"%012d" % board.number in {one[:12] for one in found if isinstance(one, bytes)}, "the youngest are there"


def test_former_epochs_hold_no_descriptors(tmp_path: Path) -> None:
    """Two a former epoch would be two thousand after a month of boots."""
    board = Board(RealFiles(), root=str(tmp_path / "spool"), max_bytes=8 * MIB)
    board.start()
    board.put(1)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        board.start()
        board.put(1)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert board.acknowledged == set(board.everything())
    board.stop()


def lines(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [line for line in caplog.messages if words in line]


def test_the_log_counts_the_changes_and_says_after_the_third_in_a_row_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    board = Board(FakeDisk())
    status: dict[str, Any] = {}
    for number in range(1, 6):
        caplog.clear()
        status = board.start().status()
        changed = lines(caplog, "another board")
        wrong = lines(caplog, "keeps no machine id")
        if number == 1:
            assert not changed + wrong, "a new spool is no move"
        elif number <= 3:
            assert len(changed) == 1
            assert f"changes={number - 1}" in changed[0]
            assert not wrong
        else:
            assert len(wrong) == 1
            assert f"changes={number - 1}" in wrong[0]
    assert status["machine_changes"] == 4
    assert status["machine_changes_at_every_start"]
    caplog.clear()
    status = board.start(machine="machine 5").status()
    assert not lines(caplog, "machine id")
    assert (status["machine_changes"], status["machine_changes_at_every_start"]) == (4, False)
    board.start(machine="a new board")
    assert len(lines(caplog, "changes=5")) == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"[]", b'{"total": "x"}', b"\xff\xfe"])
def test_a_damaged_count_costs_the_count_only(content: bytes, tmp_path: Path) -> None:
    board = Board(RealFiles(), root=str(tmp_path / "spool"))
    board.start()
    (tmp_path / "spool" / "moves.json").write_bytes(content)
    assert board.start().status()["machine_changes"] == 1
    board.stop()
