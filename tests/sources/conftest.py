"""Fixtures: sources over an intake with the in-memory spool."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agent.clock import SystemClock
from device_agent.config import SourceConfig
from device_agent.descriptors import Descriptors
from device_agent.intake import Intake
from device_agent.metrics import InputMetrics, Metrics
from device_agent.sources import Keeper, Place
from tests.intake.conftest import Sink
from tests.lab.agent import wait_for
from tests.sources.brokers import RabbitMq


class Board:
    """An agent without uplink: sink, intake and sources."""

    def __init__(self, folder: Path) -> None:
        self.sink = Sink("telemetry", "events")
        self.metrics = Metrics()
        self.place = Place("board-7", folder / "sources")
        self._intake: Intake | None = None
        self._keeper = Keeper(clock=SystemClock())

    def start(self, *settings: SourceConfig) -> None:
        """Start, and wait until each source has its connection."""
        self.begin(*settings)
        for one in settings:
            wait_for(lambda one=one: self.status(one.name)["stands"], what="the source")  # type: ignore[misc]

    def begin(self, *settings: SourceConfig) -> None:
        """Start, and do not wait."""
        self.open(*settings)
        self.start_sources(*settings)

    def start_sources(self, *settings: SourceConfig) -> None:
        assert self._intake is not None
        self._keeper.start(settings, self.place, self._intake.context)

    def open(self, *settings: SourceConfig) -> None:
        """Start what the sources need."""
        self._intake = Intake(
            [one.inlet for one in settings], sink=self.sink, clock=SystemClock(), metrics=self.metrics,
            descriptors=Descriptors(self.metrics.process),
        )  # fmt: skip
        self._intake.start()

    def status(self, name: str = "in") -> dict[str, Any]:
        return self._keeper.status()[name]

    def problem(self, name: str = "in") -> str:
        return str(self.status(name).get("problem", ""))

    @property
    def url(self) -> str:
        return str(self.status()["endpoints"][0])

    @property
    def counters(self) -> InputMetrics:
        return self.metrics.inputs["in"]

    def stop_sources(self, *, drain: float) -> None:
        self._keeper.stop(drain=drain)

    def stop(self, *, drain: float = 0.0) -> None:
        self.stop_sources(drain=drain)
        if self._intake is not None:
            self._intake.stop(0.0)
            self._intake = None

    def crash(self) -> None:
        """Stop as `kill -9` does, as far as the other side can tell: what is not on disk is forgotten, and nobody is told."""
        self.sink.refuse("the agent was killed")
        self.stop()

    def topics(self) -> list[str | None]:
        found: list[str | None] = []
        for batch in self.sink.batches:
            topics = batch.run.topics
            found += [topics] * len(batch.run) if topics is None or isinstance(topics, str) else list(topics)
        return found


@contextlib.contextmanager
def no_descriptors(*, spare: int = 0) -> Iterator[None]:
    """Let this process have none more, but for `spare`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
    held: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(spare):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in held:
            os.close(descriptor)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path)
    yield made
    made.sink.hold = False
    made.sink.commit()
    made.stop()


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """One for all tests that do not restart it, as it takes long to start; each has queues of its own."""
    with RabbitMq(tmp_path_factory.mktemp("rabbit")) as made:
        yield made
