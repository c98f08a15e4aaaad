"""The real agent as a process under test: five inputs, two streams, made to be killed at any instant and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from device_agent import status
from localcloud.cloud import ROOT
from localcloud.ministack import fake_credentials
from tests.lab.ports import own_ports

START_DEADLINE = 120.0

_CONFIG = """\
[device]
id = "{device}"

[aws]
region = "us-east-1"
endpoint_url = "{endpoint}"

[spool]
directory = "{spool}"
max_bytes = "{max_bytes}"
keep_free = "{keep_free}"
commit_interval = "100ms"

[uplink]
backoff_first = "50ms"
backoff_cap = "500ms"
connect_timeout = "2s"
read_timeout = "{read_timeout}"

[agent]
drain = "500ms"
flush = "500ms"

[[input]]
name = "orders"
pattern = "rep"
bind = ["tcp://127.0.0.1:{rep}"]
topic = "orders"
stream = "events"

[[input]]
name = "pipeline"
pattern = "router"
bind = ["tcp://127.0.0.1:{router}"]
message_id = "first-frame"
topic = "pipeline"
stream = "events"

[[input]]
name = "bulk"
pattern = "router"
bind = ["ipc://{sockets}/bulk"]
message_id = "first-frame"
topic = "bulk"
stream = "telemetry"

[[input]]
name = "sensors"
pattern = "pull"
bind = ["tcp://127.0.0.1:{pull}"]
topic = "sensors"
stream = "telemetry"

[[input]]
name = "weather"
pattern = "sub"
bind = ["ipc://{sockets}/weather"]
topic = "weather"
stream = "telemetry"

[[stream]]
name = "telemetry"
queue = "{telemetry}"
linger = "200ms"

[[stream]]
name = "events"
queue = "{events}"
linger = "0s"
"""


class AgentProcess:
    """One board: a configuration that stays, and an agent that comes and goes."""

    def __init__(
        self, folder: Path, *, device: str, endpoint: str, telemetry: str, events: str, spool: Path | None = None,
        max_bytes: str = "64 MiB", keep_free: str = "1 MiB", read_timeout: str = "5s", environment: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.device = folder, device
        self.spool = spool if spool is not None else folder / "spool"
        self.rep, self.router, self.pull = own_ports(3)
        self.config = folder / "agent.toml"
        self.log = folder / "agent.log"
        self.environment = environment or {}
        self.config.write_text(
            _CONFIG.format(
                device=device,
                endpoint=endpoint,
                telemetry=telemetry,
                events=events,
                spool=self.spool,
                sockets=folder,
                rep=self.rep,
                router=self.router,
                pull=self.pull,
                max_bytes=max_bytes,
                keep_free=keep_free,
                read_timeout=read_timeout,
            )
        )
        self.popen: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self.output: int | None = None  # a descriptor in place of the log file

    @property
    def endpoints(self) -> dict[str, str]:
        """Where producers connect, by input."""
        return {
            "orders": f"tcp://127.0.0.1:{self.rep}", "pipeline": f"tcp://127.0.0.1:{self.router}", "bulk": f"ipc://{self.folder}/bulk",
            "sensors": f"tcp://127.0.0.1:{self.pull}", "weather": f"ipc://{self.folder}/weather",
        }  # fmt: skip

    def spawn(self, *wrapper: str) -> None:
        """Start the process and do not wait for anything; `wrapper` is a command that runs it, such as strace."""
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "device_agent.cli", "run", "--config", str(self.config)],
                cwd=ROOT, env=os.environ | fake_credentials() | self.environment, stdin=subprocess.DEVNULL,
                stdout=output if self.output is None else self.output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.pid = self.popen.pid

    def start(self, *wrapper: str) -> dict[str, Any]:
        """Start it and wait until it answers `status`."""
        self.spawn(*wrapper)
        return self.wait_ready()

    def wait_ready(self) -> dict[str, Any]:
        """Wait until it answers `status`."""
        until = time.monotonic() + START_DEADLINE
        while True:
            try:
                return self.status()
            except status.NotRunning:
                assert self.running, f"the agent ended with {self.code}:\n{self.tail()}"
                assert time.monotonic() < until, f"the agent did not start:\n{self.tail()}"
                time.sleep(0.02)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.popen is not None and self.popen.poll() is None

    @property
    def code(self) -> int | None:
        """Its exit code."""
        return None if self.popen is None else self.popen.poll()

    def status(self) -> dict[str, Any]:
        """Ask it. Raises NotRunning."""
        return status.ask(self.spool)

    def signal(self, number: int) -> None:
        """Send a signal, if it lives."""
        if self.running:
            assert self.popen is not None
            self.popen.send_signal(number)

    def kill(self) -> None:
        """`kill -9`, the wrapper's children too."""
        if self.popen is not None:
            with contextlib.suppress(ProcessLookupError):  # gone already
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    def stop(self, deadline: float = 120.0) -> int:
        """SIGTERM; return the exit code."""
        assert self.popen is not None
        self.signal(signal.SIGTERM)
        return self.popen.wait(deadline)

    def tail(self, lines: int = 15) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def wait_for(condition: Any, seconds: float = 120.0, *, what: str = "it", every: float = 0.05) -> Any:
    """Wait until `condition()` is true and return what it returned."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"{what} did not come true within {seconds:.0f} s"
        time.sleep(every)
    return found


def command(arguments: Sequence[str], *, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `device-agent` with arguments and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "device_agent.cli", *arguments], cwd=ROOT, env=os.environ | fake_credentials() | (environment or {}),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def committed(agent: AgentProcess) -> dict[str, int]:
    """By stream, the last sequence number on the agent's disk."""
    return {name: stream["next"] - 1 for name, stream in agent.status()["spool"]["streams"].items()}


def backlog(agent: AgentProcess) -> int:
    """Readings that the agent has still to send."""
    return sum(stream["backlog_readings"] for stream in agent.status()["spool"]["streams"].values())


def describe(agent: AgentProcess) -> str:
    """What a failed wait shows."""
    return json.dumps({"status": agent.status(), "log": agent.tail().splitlines()}, indent=1)
