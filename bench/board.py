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
#: The input that is not ZeroMQ.
SOURCE: Final = "source"
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
"""
_INPUT: Final = """\
[[input]]
name = "{pattern}-{port}"
pattern = "{pattern}"
bind = ["tcp://127.0.0.1:{port}"]
stream = "{stream}"
"""
_STREAM: Final = """\
[[stream]]
name = "{stream}"
queue = "{endpoint}/123456789012/{stream}"
linger = "{linger}"
"""


class Board:
    """Context manager: the agent runs inside the block."""

    def __init__(
        self, folder: Path, *, endpoint: str, linger: str = "100ms", commit_interval: str = "100ms", max_bytes: str = "4 GiB",
        rep: bool = False, inputs: int = 1, streams: int = 1, source: str = "",
    ) -> None:  # fmt: skip
        """Write the configuration: PULL inputs that take turns with the streams, with `rep` one that answers; `source`: keys of another."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.spool = folder, folder / "spool"
        self._streams = [STREAM, *(f"{STREAM}-{number}" for number in range(1, streams))]
        self.pulls: list[str] = []
        self.rep = ""
        parts = [_CONFIG.format(endpoint=endpoint, spool=self.spool, max_bytes=max_bytes, commit_interval=commit_interval)]
        parts += [self._input("pull", self._streams[number % streams], self.pulls) for number in range(inputs)]
        if rep:
            reps: list[str] = []
            parts.append(self._input("rep", STREAM, reps))
            (self.rep,) = reps
        if source:
            parts.append(f'[[input]]\nname = "{SOURCE}"\nstream = "{STREAM}"\n{source}\n')
        parts += [_STREAM.format(stream=stream, endpoint=endpoint, linger=linger) for stream in self._streams]
        self._config = folder / "agent.toml"
        self._config.write_text("".join(parts))
        self._process: Process | None = None

    @staticmethod
    def _input(pattern: str, stream: str, endpoints: list[str]) -> str:
        port = free_port()
        endpoints.append(f"tcp://127.0.0.1:{port}")
        return _INPUT.format(pattern=pattern, port=port, stream=stream)

    @property
    def pull(self) -> str:
        """Endpoint of the first PULL input."""
        return self.pulls[0]

    def __enter__(self) -> Self:
        command = python("device_agent.cli", "run", "--config", self._config)
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
        """Return the counters of the streams, summed."""
        streams = self.status()["metrics"]["streams"]
        return {name: sum(streams[stream][name] for stream in self._streams) for name in streams[STREAM]}

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
