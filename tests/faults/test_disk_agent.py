"""Disk faults under the running agent: it says what is wrong, refuses REQ and DEALER with the reason, lets PUSH wait, keeps what it
acknowledged, and goes on by itself when the disk is well again."""

from __future__ import annotations

import os
import subprocess
import time
import timeit
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.lab import loopfs, traced
from tests.lab.agent import wait_for
from tests.lab.board import Board
from tests.lab.loopfs import MIB, LoopFs
from tests.lab.proxy import Fate, Faults
from tests.lab.traced import DISK, Injection

pytestmark = pytest.mark.root


def _need(reason: str) -> None:
    if reason and os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(f"in CI this must run: {reason}")
    if reason:
        pytest.skip(reason)


@pytest.fixture
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    _need(traced.missing())
    with Board(tmp_path_factory.mktemp("d")) as board:
        board.agent.start()
        yield board


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopFs]:
    """A small card."""
    _need(loopfs.missing("ext4"))
    with LoopFs("ext4", tmp_path_factory.mktemp("c"), size=16 * MIB) as disk:
        yield disk


@pytest.fixture
def full_board(disk: LoopFs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A board whose spool may take more than its card has."""
    with Board(tmp_path_factory.mktemp("d"), spool=disk.root / "spool", max_bytes="64 MiB", keep_free="0 B") as board:
        board.agent.start()
        yield board


def _blocks(board: Board) -> bool:
    """Whether a PUSH that sends and sends comes to a stop."""
    with board.socket(zmq.PUSH, "sensors") as push:
        for _ in range(200):
            if not push.poll(300, zmq.POLLOUT):
                return True
            for _ in range(50):
                try:
                    push.send(os.urandom(10_000), zmq.NOBLOCK)
                except zmq.Again:
                    break
    return False


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@pytest.mark.slow
def test_a_really_full_card_refuses_blocks_and_resumes_when_there_is_room(full_board: Board, disk: LoopFs) -> None:
    board = full_board
    assert all(answer.ok for answer in board.ask(20))
    board.proxy.faults = Faults(rate=1.0, kinds=(Fate.ERROR,))
    _fill(disk.root / "somebody else's")
    for _ in range(100):
        if not all(answer.ok for answer in board.ask(20, size=20_000, timeout=5)):  # what is partly on the disk gets no answer now
            break
    refused = board.ask(3, size=20_000)
    assert [answer.ok for answer in refused] == [False] * 3
    assert "full" in refused[0].error
    assert "full" in board.why()
    assert _blocks(board)
    assert board.agent.running
    (disk.root / "somebody else's").unlink()
    board.proxy.heal()
    wait_for(lambda: board.ask(1)[0].ok, what="taking readings again", every=0.2)
    assert board.why() == ""
    board.everything_arrives()


def test_a_card_that_is_full_at_the_start_lets_the_agent_send_what_it_has(full_board: Board, disk: LoopFs) -> None:
    board = full_board
    board.proxy.faults = Faults(rate=1.0, kinds=(Fate.ERROR,))
    assert all(answer.ok for answer in board.ask(300, size=2_000))
    board.agent.kill()
    _fill(disk.root / "somebody else's")
    board.proxy.heal()
    board.agent.start()
    board.everything_arrives()
    (disk.root / "somebody else's").unlink()
    wait_for(lambda: board.ask(1)[0].ok, what="taking readings again", every=0.2)
    board.everything_arrives()


def test_a_card_that_the_kernel_made_read_only_keeps_what_was_acknowledged(disk: LoopFs, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What Linux does when a card fails: no way back but a reboot and fsck.

    Sending needs no writing, but the end of an envelope is written: what is in the open one waits for the repair.
    """
    with Board(tmp_path_factory.mktemp("d"), spool=disk.root / "spool", max_bytes="8 MiB", keep_free="0 B") as board:
        board.agent.start()
        board.proxy.faults = Faults(rate=1.0, kinds=(Fate.ERROR,))
        closed = board.ask(1)[0]
        wait_for(lambda: board.agent.status()["spool"]["streams"]["events"]["backlog_envelopes"], what="the end of its envelope")
        assert all(answer.ok for answer in board.ask(99))
        disk.fail()
        refused = wait_for(lambda: (answers := board.ask(2)) and not any(answer.ok for answer in answers) and answers, what="refusals")
        assert "disk" in refused[0].error
        assert "disk" in board.why()
        board.proxy.heal()
        wait_for(lambda: board.received().get((closed.stream, closed.seq)) == closed.payload, what="what was in a closed envelope")
        assert board.agent.stop() == 0, board.agent.tail(40)
        disk.repair()
        board.agent.start()
        assert board.ask(1)[0].ok
        board.everything_arrives()


@pytest.mark.parametrize("error", ["EIO", "EROFS", "ENOSPC"])
@pytest.mark.parametrize("calls", [DISK, "fdatasync", "pwrite64"])
def test_a_disk_on_which_every_call_fails_is_told_and_waited_for(error: str, calls: str, board: Board) -> None:
    assert all(answer.ok for answer in board.ask(10))
    with Injection(board.agent.pid, f"{calls}:error={error}"):
        refused = board.ask(10)
        assert [answer.ok for answer in refused] == [False] * 10
        assert "disk" in refused[0].error or "full" in refused[0].error
        assert board.why()
    wait_for(lambda: board.ask(1)[0].ok, what="taking readings again", every=0.2)
    assert board.why() == ""
    board.everything_arrives()


@pytest.mark.parametrize("rule", ["fdatasync:error=EIO:when=2+3", "pwrite64:error=EIO:when=3+4", f"{DISK}:error=EIO:when=5+7"])
def test_a_disk_that_fails_now_and_then_loses_nothing_acknowledged_and_leaks_nothing(rule: str, board: Board) -> None:
    board.ask(10)
    before = len(list(Path(f"/proc/{board.agent.pid}/fd").iterdir()))
    with Injection(board.agent.pid, rule):
        for _ in range(25):
            assert len(board.ask(7)) == 7, "every reading gets an answer"
    assert len(board.acknowledged) > 10, "some are taken between the errors"
    wait_for(lambda: board.ask(1)[0].ok, what="taking readings again", every=0.2)
    board.everything_arrives()
    wait_for(lambda: len(list(Path(f"/proc/{board.agent.pid}/fd").iterdir())) <= before + 3, what="closing files")


def test_a_slow_disk_slows_answers_but_not_the_status_and_loses_nothing(board: Board) -> None:
    board.ask(1)
    with Injection(board.agent.pid, "fdatasync:delay_enter=1500000"):
        began = time.monotonic()
        assert all(answer.ok for answer in board.ask(50))
        assert time.monotonic() - began > 1.4
        with board.socket(zmq.PUSH, "sensors") as push:
            for number in range(500):
                push.send(b"pushed %d" % number)
            quickest = min(timeit.repeat(board.agent.status, number=1, repeat=5))
            assert quickest < 1.0, "status waits for the disk"
            wait_for(lambda: sum(stream == "telemetry" for stream, _ in board.received()) == 500)
    assert all(answer.ok for answer in board.ask(10))
    board.everything_arrives()


def test_a_kill_in_the_middle_of_a_slow_fsync_loses_nothing_acknowledged(board: Board) -> None:
    board.ask(20)
    with Injection(board.agent.pid, "fdatasync:delay_exit=300000"), board.socket(zmq.DEALER, "pipeline") as dealer:
        for number in range(100):
            dealer.send_multipart([b"%d" % number, b"unanswered %d" % number])
        time.sleep(0.5)
        board.agent.kill()
    board.agent.start()
    board.ask(5)
    board.everything_arrives()


def test_the_order_to_stop_on_a_dead_disk_is_obeyed(board: Board) -> None:
    board.ask(5)
    with Injection(board.agent.pid, f"{DISK}:error=EIO"):
        board.ask(5)
        assert board.agent.stop() == 0
    board.agent.start()
    assert board.ask(1)[0].ok
    board.everything_arrives()


def test_a_spool_on_a_read_only_file_system_says_so_in_one_line(disk: LoopFs, tmp_path_factory: pytest.TempPathFactory) -> None:
    disk.read_only(True)
    with Board(tmp_path_factory.mktemp("d"), spool=disk.root / "spool") as board:
        board.agent.spawn()
        assert board.agent.popen is not None
        assert board.agent.popen.wait(120) == 2
        said = board.agent.tail().splitlines()
        assert len(said) == 1
        assert "Read-only file system" in said[0]
    assert subprocess.run(["ls", str(disk.root / "spool")], capture_output=True, check=False).returncode != 0
