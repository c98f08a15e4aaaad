"""What a start that cannot be leaves behind: nothing."""

from __future__ import annotations

import fcntl
import socket
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
[device]
id = "board-7"
[aws]
region = "us-east-1"
[spool]
directory = "{directory}"
[[input]]
name = "sensors"
pattern = "pull"
bind = ["{endpoint}"]
stream = "telemetry"
[[stream]]
name = "telemetry"
queue = "https://sqs.us-east-1.amazonaws.com/123456789012/telemetry"
"""


def run(tmp_path: Path, endpoint: str, *, directory: str = "") -> subprocess.CompletedProcess[str]:
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG.format(directory=directory or tmp_path / "spool", endpoint=endpoint))
    command = [sys.executable, "-m", "device_agent.cli", "run", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("family", "host", "written"), [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")])
def test_a_port_in_use_is_one_line_and_exit_code_2_and_no_spool_is_made(tmp_path: Path, family: int, host: str, written: str) -> None:
    with socket.socket(family) as taken:
        taken.bind((host, 0))
        taken.listen()
        endpoint = f"tcp://{written}:{taken.getsockname()[1]}"
        done = run(tmp_path, endpoint)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"device-agent: {tmp_path}/agent.toml:11: input.bind: input sensors: cannot bind {endpoint}" in done.stderr
    assert not (tmp_path / "spool").exists()


def test_an_ipc_path_without_a_directory_is_exit_code_2_and_no_spool_is_made(tmp_path: Path) -> None:
    done = run(tmp_path, f"ipc://{tmp_path}/nowhere/x")
    assert done.returncode == 2
    assert f"device-agent: {tmp_path}/agent.toml:11: input.bind: input sensors: ipc://" in done.stderr
    assert not (tmp_path / "spool").exists()


def test_an_ipc_path_that_another_program_has_is_exit_code_2_with_its_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "x"))
        taken.listen()
        done = run(tmp_path, f"ipc://{tmp_path}/x")
    assert done.returncode == 2
    assert f"agent.toml:11: input.bind: input sensors: cannot bind ipc://{tmp_path}/x: another program listens there" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "spool").exists()


def test_an_agent_started_twice_says_that_the_other_one_has_the_spool(tmp_path: Path) -> None:
    lock = tmp_path / "spool" / "lock"
    lock.parent.mkdir()
    with lock.open("w") as held, socket.socket() as taken:
        held.write("4711\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(tmp_path, f"tcp://127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 2
    assert f"agent.toml:7: spool.directory: {tmp_path}/spool: in use by another agent, pid 4711; stop it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(lock.parent.iterdir()) == [lock]


def test_a_spool_directory_that_cannot_be_made_is_exit_code_2_with_its_line(tmp_path: Path) -> None:
    done = run(tmp_path, f"ipc://{tmp_path}/x", directory="/proc/device-agent/spool")
    assert done.returncode == 2
    assert "agent.toml:7: spool.directory: /proc/device-agent: No such file or directory; the spool needs a directory" in done.stderr
    assert done.stderr.count("\n") == 1
