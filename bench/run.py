"""Parameter Object: what every group of figures is given, and what a quick run does less of."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import Endpoint, Process, run
from bench.readings import Readings

#: A group measures some figures; it returns them in any order.
Say = Callable[[str], None]


def say_progress(text: str) -> None:
    """Print what is being measured, on standard error, so that standard output is the table alone."""
    print(f"  . {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the benchmarks."""

    quick: bool
    readings: Readings
    folder: Path
    producer: Path
    endpoint: Endpoint
    say: Say = say_progress
    begun: float = field(default_factory=time.monotonic)

    @property
    def file(self) -> Path:
        """The readings as the producer takes them."""
        return self.folder / "readings.bin"

    @property
    def log(self) -> Path:
        """Standard error of producers and references."""
        return self.folder / "processes.log"

    @property
    def rounds(self) -> int:
        """How often what is compared takes turns."""
        return 2 if self.quick else 5

    @property
    def frames(self) -> int:
        """Readings of one round at full rate, the same for the bare loop and for ours."""
        return self.readings.count(400_000 if self.quick else 4_000_000)

    def seconds(self, full: float, quick: float) -> float:
        """Return how long something lasts."""
        return quick if self.quick else full

    def push(self, endpoint: str, count: int, *, rate: float = 0.0, file: Path | None = None) -> Process:
        """Start the producer: `count` readings, `rate` a second, 0 for as fast as they are taken."""
        return Process([str(self.producer), "push", endpoint, str(file or self.file), str(count), str(rate)], log=self.log)

    def request(self, endpoint: str, *, clients: int, seconds: float) -> dict[str, Any]:
        """Let REQ clients send and wait for `seconds`; return count, seconds, p50, p99 and worst in seconds."""
        return run([str(self.producer), "req", endpoint, str(self.file), str(clients), str(seconds)], log=self.log)

    def reference(self, command: Sequence[str]) -> dict[str, Any]:
        """Run a bare loop to its end."""
        return run(command, log=self.log)
