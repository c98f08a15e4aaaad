"""Back-off, clock, board, systemd and the status socket."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent import board, status
from device_agent.backoff import Backoff
from device_agent.clock import SystemClock
from device_agent.systemd import Notifier


@given(st.integers(0, 2000))
def test_backoff_never_waits_longer_than_its_cap_however_often_it_failed(failures: int) -> None:
    backoff = Backoff(first=0.5, cap=30, uniform=lambda _low, high: high)
    backoff.failures = failures
    assert 0.5 <= backoff.failed() <= 30


def test_backoff_doubles_from_the_first_delay_and_forgets_after_a_success() -> None:
    backoff = Backoff(first=1, cap=5, uniform=lambda _low, high: high)
    assert [backoff.failed() for _ in range(4)] == [1, 2, 4, 5]
    backoff.succeeded()
    assert backoff.failed() == 1


def test_backoff_spreads_over_the_whole_interval() -> None:
    backoff = Backoff(first=1, cap=1)
    delays = [backoff.failed() for _ in range(200)]
    assert min(delays) < 0.2
    assert max(delays) > 0.8


def test_system_clock_counts_microseconds_and_knows_whether_it_is_synced() -> None:
    clock = SystemClock()
    assert abs(clock.now() - time.time() * 1e6) < 5e6
    assert clock.synced() in {True, False}
    assert clock.monotonic() <= clock.monotonic()


def test_another_machine_id_or_serial_number_is_another_board(tmp_path: Path) -> None:
    machine, serial = tmp_path / "machine-id", tmp_path / "serial"
    seen = {board.fingerprint((machine, serial))}
    machine.write_text("a")
    seen.add(board.fingerprint((machine, serial)))
    serial.write_text("b")
    seen.add(board.fingerprint((machine, serial)))
    machine.write_text("ab")
    serial.write_text("")
    seen.add(board.fingerprint((machine, serial)))
    assert len(seen) == 4
    assert board.fingerprint((machine, serial)) in seen


def test_systemd_hears_states_and_sets_the_watchdog(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        notify = Notifier({"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
        notify("READY=1", "STATUS=fine")
        assert manager.recv(100) == b"READY=1\nSTATUS=fine"
    assert notify.watchdog == 15
    notify("WATCHDOG=1")  # nobody listens any more: not our trouble
    notify.close()


def test_without_systemd_nothing_is_sent_and_a_foreign_watchdog_is_not_ours() -> None:
    notify = Notifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"})
    assert notify.watchdog is None
    notify("READY=1")


def test_status_is_answered_in_a_directory_of_any_depth_for_the_owner_alone(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    server = status.StatusServer(deep, lambda: {"device": "board-7"})
    try:
        assert stat.S_IMODE((deep / status.NAME).stat().st_mode) == 0o600
        answering = threading.Thread(target=lambda: (time.sleep(0.05), server.answer()))
        answering.start()
        assert status.ask(deep) == {"device": "board-7"}
        answering.join()
        server.answer()  # nobody asks: returns at once
    finally:
        server.close()
    with pytest.raises(status.NotRunning, match="no agent is running"):
        status.ask(deep)
    with pytest.raises(status.NotRunning):
        status.ask(tmp_path / "nowhere")
