"""`kill -9` at exact system calls of the spool: opening, writing, syncing, rolling, deleting, stopping. strace pulls the trigger."""

from __future__ import annotations

import signal
import time

import pytest

from tests.lab import traced
from tests.lab.board import Board

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: System call, and at which of them; small segments make the spool roll and delete often.
POINTS = [
    ("fdatasync", 1), ("fdatasync", 7), ("fdatasync", 30), ("pwrite64", 5), ("pwrite64", 40), ("fallocate", 4), ("ftruncate", 2),
    ("fsync", 5), ("unlink", 5),
]  # fmt: skip


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """One board for all points: each crash is found by the next start."""
    if reason := traced.missing():
        pytest.skip(reason)
    return Board(tmp_path_factory.mktemp("p"), max_bytes="1 MiB")


def test_a_kill_at_any_system_call_of_the_spool_loses_nothing_acknowledged(board: Board) -> None:
    reached = []
    with board:
        for call, when in POINTS:
            rule = f"inject={call}:signal=SIGKILL:when={when}"
            board.agent.spawn("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", "signal=none", "-e", rule)
            until = time.monotonic() + 3
            while board.agent.running and time.monotonic() < until:
                board.ask(10, size=3_000, timeout=0.5)
            if not board.agent.running:
                reached.append((call, when))
            board.agent.signal(signal.SIGTERM)  # a point that was not reached: in the stop, or never
            time.sleep(0.3)
            board.agent.kill()
        board.agent.start()
        assert board.ask(1)[0].ok
        board.everything_arrives()
        assert len(board.acknowledged) > 300
    assert len(reached) >= len(POINTS) - 2, f"only {reached} were reached"
