"""`kill -9` at exact system calls of the spool: opening, writing, syncing, rolling, deleting, stopping. strace pulls the trigger."""

from __future__ import annotations

import os
import signal

import pytest

from device_agent import status
from tests.lab import traced
from tests.lab.agent import backlog, wait_for
from tests.lab.board import Board

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: System call, and at which of them; small segments make the spool roll and delete often.
POINTS = [
    ("fdatasync", 1), ("fdatasync", 7), ("fdatasync", 30), ("pwrite64", 5), ("pwrite64", 40), ("fallocate", 4), ("ftruncate", 2),
    ("fsync", 5), ("unlink", 5),
]  # fmt: skip
#: Readings of 3 kB that a round acknowledges before the agent is stopped: a dozen segments, so that each point is reached before.
ENOUGH = 300
#: Seconds; nothing takes that long, also where tracing is slow.
CEILING = 180.0


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """One board for all points: each crash is found by the next start."""
    if reason := traced.missing():
        pytest.skip(reason)
    return Board(tmp_path_factory.mktemp("p"), max_bytes="1 MiB")


def _idle(board: Board) -> bool:
    """Whether the agent is up with everything sent, or is gone."""
    try:
        return not board.agent.running or not backlog(board.agent)
    except status.NotRunning:
        return False


def _round(board: Board, call: str, when: int) -> bool:
    """Load until the agent is killed at its point; at last an orderly stop, which may still reach it. Return whether it was reached."""
    rule = f"inject={call}:signal=SIGKILL:when={when}"
    board.agent.spawn(*traced.following(call), "-e", rule)
    before = len(board.acknowledged)
    while board.agent.running and len(board.acknowledged) < before + ENOUGH:
        wait_for(lambda: _idle(board), CEILING, what="the agent's start and its last reading's arrival")
        board.ask(20, size=3_000, timeout=CEILING)
    if board.agent.running:
        os.kill(int((board.agent.spool / "lock").read_text()), signal.SIGTERM)  # strace itself would not pass it on
        wait_for(lambda: not board.agent.running, CEILING, what="the stop")
    return board.agent.code == -signal.SIGKILL


def test_a_kill_at_any_system_call_of_the_spool_loses_nothing_acknowledged(board: Board) -> None:
    with board:
        reached = [point for point in POINTS if _round(board, *point)]
        board.agent.start()
        assert board.ask(1, timeout=CEILING)[0].ok
        board.everything_arrives(CEILING)
    assert reached == POINTS
