"""Processes of the demo: the agent and ordinary ZeroMQ programs, started as a user would, always stopped.

Each runs in a process group of its own, so Ctrl-C in the terminal reaches only the demo, which then ends them in order. Should the demo
itself be killed, the kernel ends them (`tied`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from device_agent import status
from localcloud.cloud import ROOT, LocalCloud
from localcloud.ministack import fake_credentials
from localcloud.ports import free_ports

_TIED = Path(__file__).with_name("tied.py")
_START_DEADLINE = 20.0
_STOP_DEADLINE = 30.0
#: For processes that must end now and have nothing to lose.
_GRACE = 5.0

_CONFIG = """\
# Written by the demo. Every key is explained in docs/reference/config.md.
[device]
id = "{device}"

[aws]
region = "{region}"
endpoint_url = "{endpoint}"

[spool]
directory = "{folder}/spool"
max_bytes = "64 MiB"
commit_interval = "200ms"

[uplink]
backoff_cap = "2s"                  # a board would wait longer; the demo has 20 seconds

[[input]]
name = "sensors"
pattern = "pull"
bind = ["tcp://127.0.0.1:{pull}"]
topic = "first-frame"
stream = "telemetry"

[[input]]
name = "weather"
pattern = "sub"
bind = ["ipc://{folder}/weather.ipc"]
topic = "first-frame"
stream = "telemetry"

[[input]]
name = "orders"
pattern = "rep"
bind = ["tcp://127.0.0.1:{rep}"]
topic = "orders"
stream = "events"

[[stream]]
name = "telemetry"
queue = "{telemetry}"
linger = "1s"

[[stream]]
name = "events"
queue = "{events}"
linger = "0s"
"""


class ProcessError(RuntimeError):
    """A process of the demo did not do its part; the text holds the end of its log."""


@dataclass(slots=True)
class Process:
    """A started process with its log file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, name: str, command: Sequence[str], *, log: Path) -> Self:
        """Start `command`; what it prints is appended to `log`. It ends with this process; to be called from the main thread."""
        with log.open("ab") as output:
            popen = subprocess.Popen(  # noqa: S603  # our own programs, no shell
                [sys.executable, "-P", str(_TIED), str(os.getpid()), *command],
                cwd=ROOT,
                env=os.environ | fake_credentials(),
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


class Board:
    """A board in a folder: one agent, and the programs that talk to it."""

    def __init__(self, *, folder: Path, cloud: LocalCloud, device: str) -> None:
        self.folder = folder
        self.device = device
        self.pull, self.rep = free_ports(2)
        self.config = folder / "agent.toml"
        self.config.write_text(
            _CONFIG.format(
                device=device,
                region=cloud.outputs.region,
                endpoint=cloud.device_endpoint_url,
                folder=folder,
                pull=self.pull,
                rep=self.rep,
                telemetry=cloud.outputs.telemetry_queue_url,
                events=cloud.outputs.events_queue_url,
            )
        )
        self.agent: Process | None = None
        self.programs: list[Process] = []

    def start_agent(self) -> None:
        """Start the agent and wait until it answers `status`."""
        self.agent = Process.start("agent", ["-m", "device_agent.cli", "run", "--config", str(self.config)], log=self.folder / "agent.log")
        until = time.monotonic() + _START_DEADLINE
        while True:
            try:
                self.status()
            except status.NotRunning:
                if self.agent.popen.poll() is not None or time.monotonic() > until:
                    raise ProcessError(f"the agent did not start:\n{self.agent.tail()}") from None
                time.sleep(0.05)
            else:
                return

    def start_program(self, name: str, script: str, *arguments: str) -> None:
        """Start one of the examples."""
        command = [str(ROOT / "examples" / script), *arguments]
        self.programs.append(Process.start(name, command, log=self.folder / f"{name}.log"))

    def status(self) -> dict[str, Any]:
        """Ask the running agent.

        Raises:
            NotRunning: it does not answer.
        """
        return status.ask(self.folder / "spool")

    def finish_programs(self) -> dict[str, dict[str, int]]:
        """Stop the programs and return what each printed last: how many it sent, how many were acknowledged."""
        results = {}
        for program in self.programs:
            program.stop()
            try:
                results[program.name] = json.loads(program.tail(1))
            except ValueError:
                raise ProcessError(f"{program.name} did not say what it sent:\n{program.tail()}") from None
        self.programs.clear()
        return results

    def stop(self) -> None:
        """Stop whatever still runs."""
        for process in self.programs:
            process.stop(_GRACE)
        if self.agent is not None:
            self.agent.stop(_GRACE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
