"""What the demo starts ends with the demo, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcloud.cloud import ROOT
from localcloud.processes import Process

_STARTER = """
import sys, time
from pathlib import Path
from localcloud.processes import Process
started = Process.start("sleeper", ["-c", "import time; print('up', flush=True); time.sleep(600)"], log=Path(sys.argv[1]))
print(started.popen.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def wait_until(condition: object, what: str) -> None:
    until = time.monotonic() + 120
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, what
        time.sleep(0.02)


def test_a_killed_demo_leaves_no_program_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", _STARTER, str(log)], cwd=ROOT, env=environ, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        wait_until(lambda: log.read_bytes() == b"up\n", "the program did not start")
        assert not gone(pid)
        starter.kill()
    wait_until(lambda: gone(pid), "the program lives on")


def test_a_program_without_its_starter_does_not_begin(tmp_path: Path) -> None:
    tied = ROOT / "localcloud" / "tied.py"
    done = subprocess.run([sys.executable, str(tied), "1", "-c", "print('ran')"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_program_runs_under_the_id_that_its_starter_knows_and_says_how_it_ended(tmp_path: Path) -> None:
    process = Process.start("one", ["-c", "import os; print(os.getpid()); raise SystemExit(7)"], log=tmp_path / "log")
    assert process.popen.wait(120) == 7
    assert (tmp_path / "log").read_text() == f"{process.popen.pid}\n"


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_a_time_that_cannot_be_is_refused_before_anything_starts(seconds: str) -> None:
    command = [sys.executable, "-m", "localcloud.demo", "--seconds", seconds]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{seconds!r} is not a number of seconds from 0 on" in done.stderr
