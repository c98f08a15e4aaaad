"""The leak check of every test can fail: a thread, a socket and a file that are left are noticed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import leaks


def _check(leave: Callable[[], object]) -> None:
    """Run the body of the fixture around `leave`."""
    with leaks.watched(grace=0.1):
        leave()


def test_what_is_closed_is_no_leak(tmp_path: Path) -> None:
    _check(lambda: (tmp_path / "a").write_text("x"))


def test_a_thread_that_is_left_is_noticed() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="left")
    with pytest.raises(AssertionError, match="left"):
        _check(thread.start)
    stop.set()
    thread.join()


def test_a_socket_that_is_left_is_noticed() -> None:
    made: list[socket.socket] = []
    with pytest.raises(AssertionError, match="socket"):
        _check(lambda: made.append(socket.socket()))
    made[0].close()


def test_a_file_that_is_left_is_noticed(tmp_path: Path) -> None:
    made = []
    with pytest.raises(AssertionError, match="kept"):
        _check(lambda: made.append((tmp_path / "kept").open("w")))
    made[0].close()
