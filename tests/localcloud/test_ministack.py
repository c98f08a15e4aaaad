"""The server's life: on loopback, on a port of its own, and never longer than whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from localcloud import ministack
from localcloud.ministack import MiniStack, StartError

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


def eventually(what: Callable[[], bool], seconds: float = 120) -> bool:
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def gone(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def refused(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return True
    return False


def listeners(group: int) -> set[str]:
    """Local addresses (hexadecimal, as /proc has them) on which processes of a group listen."""
    inodes = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) != group:
                continue
            inodes |= {str(file.readlink()) for file in (process / "fd").iterdir()}
        except OSError:
            continue  # it ended while we looked
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1])
    return found


@pytest.mark.parametrize("enforce", [False, True], ids=["plain", "enforcing"])
def test_it_listens_on_its_one_port_on_loopback_and_nowhere_else(enforce: bool) -> None:
    server = MiniStack.start(enforce=enforce)
    try:
        assert listeners(server.pid) == {f"0100007F:{server.port:04X}"}
    finally:
        server.stop()


def test_two_run_side_by_side_and_stopping_one_leaves_the_other() -> None:
    one, other = MiniStack.start(), MiniStack.start()
    try:
        assert one.port != other.port
        one.stop()
        one.stop()  # again: no harm
        assert gone(one.pid)
        assert refused(one.port)
        assert not refused(other.port)
    finally:
        one.stop()
        other.stop()


def test_stopping_leaves_no_file() -> None:
    server = MiniStack.start()
    folder = server._folder
    assert (folder / "log").exists()
    server.stop()
    assert not folder.exists()


STARTER = """
import sys, time
sys.path.insert(0, {root!r})
from localcloud.ministack import MiniStack
server = MiniStack.start()
print(server.pid, server.port, server._folder, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_when_the_starter_is_killed_the_server_goes_with_its_data(how: signal.Signals) -> None:
    command = [sys.executable, "-c", STARTER.format(root=str(ROOT))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as starter:
        assert starter.stdout is not None
        pid, port, folder = starter.stdout.readline().split()
        assert not refused(int(port))
        starter.send_signal(how)
    assert eventually(lambda: gone(int(pid)))
    assert refused(int(port))
    assert eventually(lambda: not Path(folder).exists())


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, monkeypatch.context() as patch:
        patch.setattr(ministack, "_free_port", lambda: taken.getsockname()[1])
        with pytest.raises(StartError, match="already in use"):
            MiniStack.start(deadline=120)


def test_a_port_that_was_taken_meanwhile_is_tried_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    free, ports = ministack._free_port, [taken.getsockname()[1]]
    with taken, monkeypatch.context() as patch:
        patch.setattr(ministack, "_free_port", lambda: ports.pop() if ports else free())
        server = MiniStack.start(deadline=120)
    try:
        assert not refused(server.port)
    finally:
        server.stop()
