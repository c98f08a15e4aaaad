"""A board of the benchmark: one agent, started as users start it, on a folder of its own.

Its settings are the defaults, but for: `commit_interval` and `linger` of 100 ms where only the end of a run would show them (at full rate
chunks and envelopes are full long before), a cap of 4 GiB, and the spool's directory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from bench.processes import Failed, Process, cpu_seconds, free_port, peak_mib, python
from device_agent import status

STREAM: Final = "telemetry"
_START: Final = 60.0
_LOOK: Final = 0.02  # seconds between looks; each costs the agent a status document

_CONFIG: Final = """\
[device]
id = "bench"
[aws]
region = "eu-central-1"
endpoint_url = "{endpoint}"
[spool]
directory = "{spool}"
max_bytes = "{max_bytes}"
keep_free = "1 MiB"
commit_interval = "{commit_interval}"
[agent]
flush = "0s"
drain = "0s"
[[input]]
name = "pull"
pattern = "pull"
bind = ["tcp://127.0.0.1:{pull}"]
stream = "telemetry"
{rep}
[[stream]]
name = "telemetry"
queue = "{endpoint}/123456789012/telemetry"
linger = "{linger}"
"""
_REP: Final = """\
[[input]]
name = "rep"
pattern = "rep"
bind = ["tcp://127.0.0.1:{port}"]
stream = "telemetry"
"""


class Board:
    """Context manager: the agent runs inside the block."""

    def __init__(
        self, folder: Path, *, endpoint: str, linger: str = "100ms", commit_interval: str = "100ms", max_bytes: str = "4 GiB",
        rep: bool = False, prefix: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """Write the configuration. `prefix`: a program that runs the agent, for a profile."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.spool = folder, folder / "spool"
        self.pull, self.rep = f"tcp://127.0.0.1:{free_port()}", ""
        more = ""
        if rep:
            port = free_port()
            self.rep, more = f"tcp://127.0.0.1:{port}", _REP.format(port=port)
        self._config = folder / "agent.toml"
        self._config.write_text(
            _CONFIG.format(
                endpoint=endpoint,
                spool=self.spool,
                max_bytes=max_bytes,
                commit_interval=commit_interval,
                linger=linger,
                pull=self.pull.rpartition(":")[2],
                rep=more,
            )
        )
        self._prefix = prefix
        self._process: Process | None = None

    def __enter__(self) -> Self:
        command = [*self._prefix, *python("device_agent.cli", "run", "--config", self._config)]
        self._process = Process(command, log=self.folder / "agent.log")
        until = time.monotonic() + _START
        while True:
            try:
                self.status()
            except status.NotRunning:
                if self._process.popen.poll() is not None or time.monotonic() > until:
                    raise Failed(f"the agent did not start; {self._process.tail()}") from None
                time.sleep(_LOOK)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.stop()

    @property
    def pid(self) -> int:
        """Process id of the agent."""
        assert self._process is not None
        return self._process.pid

    def status(self) -> dict[str, Any]:
        """Return the status document. Raises `NotRunning`."""
        return status.ask(self.spool)

    def stream(self) -> dict[str, int]:
        """Return the counters of the stream."""
        found: dict[str, int] = self.status()["metrics"]["streams"][STREAM]
        return found

    def wait(self, done: Callable[[dict[str, int]], bool], *, timeout: float, pause: float = _LOOK) -> float:
        """Look at the stream's counters until `done`; return the monotonic time of that look.

        Raises:
            Failed: not within `timeout` seconds.
        """
        until = time.monotonic() + timeout
        while True:
            counters = self.stream()
            now = time.monotonic()
            if done(counters):
                return now
            if now > until:
                raise Failed(f"the agent did not come to its end within {timeout:.0f} s: {counters}; {self.log()}")
            time.sleep(pause)

    def log(self) -> str:
        """Return the end of the agent's log."""
        assert self._process is not None
        return self._process.tail()

    def peak_mib(self) -> float:
        """Return its peak memory so far."""
        return peak_mib(self.pid)

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of its threads."""
        return cpu_seconds(self.pid)
