"""Processes: the agent, and ordinary programs that know nothing of it, started as a user would, always stopped.

Each runs in a process group of its own, so Ctrl-C in the terminal reaches only the starter, which then ends them in order. Should the
starter itself be killed, the kernel ends them (`tied`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from device_agent import status
from localcloud.cloud import ROOT
from localcloud.ministack import fake_credentials

_TIED = Path(__file__).with_name("tied.py")
_START_DEADLINE = 20.0
_STOP_DEADLINE = 30.0
#: For processes that must end now and have nothing to lose.
GRACE = 5.0


class ProcessError(RuntimeError):
    """A process did not do its part; the text holds the end of its log."""


@dataclass(slots=True)
class Process:
    """A started process with its log file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> Self:
        """Start a Python program, with `environment` beside ours; what it prints is appended to `log`.

        It ends with this process. To be called from the main thread.
        """
        with log.open("ab") as output:
            popen = subprocess.Popen(  # noqa: S603  # our own programs, no shell
                [sys.executable, "-P", str(_TIED), str(os.getpid()), *command],
                cwd=ROOT,
                env=os.environ | fake_credentials() | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(name, popen, log)

    def kill(self) -> None:
        """`kill -9`: it notices nothing."""
        self.popen.kill()
        self.popen.wait()

    def stop(self, deadline: float = _STOP_DEADLINE) -> int:
        """SIGTERM, and after `deadline` seconds SIGKILL; return the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.popen.returncode

    def tail(self, lines: int = 12) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Agent:
    """An agent in a folder, with its configuration there."""

    def __init__(self, folder: Path, config: str) -> None:
        """Write the configuration, whose spool is `folder`/spool."""
        self.folder = folder
        self.config = folder / "agent.toml"
        self.config.write_text(config)
        self.process: Process | None = None

    def start(self) -> None:
        """Start it, and wait until it answers `status`."""
        command = ["-m", "device_agent.cli", "run", "--config", str(self.config)]
        self.process = Process.start("agent", command, log=self.folder / "agent.log")
        until = time.monotonic() + _START_DEADLINE
        while True:
            try:
                self.status()
            except status.NotRunning:
                if self.process.popen.poll() is not None or time.monotonic() > until:
                    raise ProcessError(f"the agent did not start:\n{self.process.tail()}") from None
                time.sleep(0.05)
            else:
                return

    def status(self) -> dict[str, Any]:
        """Ask the running agent.

        Raises:
            NotRunning: it does not answer.
        """
        return status.ask(self.folder / "spool")

    def stop(self, deadline: float = _STOP_DEADLINE) -> int | None:
        """Stop it if it runs; return its exit code, None if it was never started."""
        return self.process.stop(deadline) if self.process is not None else None
