"""Fixtures: an intake over the in-memory spool, and ZeroMQ clients that know nothing of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from device_agent.clock import SystemClock
from device_agent.config import InputConfig, Pattern
from device_agent.descriptors import Descriptors
from device_agent.intake import Intake
from device_agent.intake.native import library
from device_agent.metrics import InputMetrics, Metrics
from device_agent.ports import Batch
from device_agent.wire.block import Payload
from tests.fakes.spool import FakeSpool

WAIT = 120.0  # seconds; nothing here takes that long


class Sink(FakeSpool):
    """The fake spool, with which a test can wait for readings."""

    def __init__(self, *streams: str, **options: Any) -> None:
        super().__init__(*streams, **options)
        self._arrived = threading.Condition()

    def put(self, batch: Batch) -> None:
        with self._arrived:
            super().put(batch)
            self._arrived.notify_all()

    def set_aside(self, stream: str, payload: Payload, reason: str) -> None:
        with self._arrived:
            super().set_aside(stream, payload, reason)
            self._arrived.notify_all()

    def wait(self, condition: Callable[[], bool], *, seconds: float = WAIT) -> None:  # type: ignore[override]  # for what tests look at
        with self._arrived:
            assert self._arrived.wait_for(condition, seconds), f"waited {seconds} s in vain"

    def wait_for(self, count: int) -> list[Payload]:
        """Return all payloads once there are `count`."""
        self.wait(lambda: len(self.payloads()) >= count)
        return self.payloads()

    def payloads(self, stream: str | None = None) -> list[Payload]:
        return [payload for batch in self.batches if stream in {None, batch.stream} for payload in batch.run.payloads]


class Bench:
    """What a test needs: a sink, metrics, intakes and clients, all closed at the end."""

    def __init__(self) -> None:
        self.sink = Sink("telemetry", "events", "alarms")
        self.metrics = Metrics()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.intakes: list[Intake] = []
        self._clients: list[zmq.Socket[bytes]] = []

    def start(self, *inputs: InputConfig) -> Intake:
        intake = Intake(inputs, sink=self.sink, clock=SystemClock(), metrics=self.metrics, descriptors=Descriptors(self.metrics.process))
        self.intakes.append(intake)
        intake.start()
        return intake

    def run(self, pattern: Pattern = Pattern.PULL, **options: Any) -> str:
        """Start an intake with one input, and return its endpoint."""
        options.setdefault("bind", ("tcp://127.0.0.1:*",))
        intake = self.start(InputConfig(name="in", pattern=pattern, stream=options.pop("stream", "telemetry"), **options))
        return str(intake.status()["in"]["endpoints"][0])

    def client(self, kind: int, endpoint: str, *, options: dict[int, Any] | None = None) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self.context.socket(kind)
        self._clients.append(socket)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, int(WAIT * 1000))
        socket.setsockopt(zmq.SNDTIMEO, int(WAIT * 1000))
        for option, value in (options or {}).items():
            socket.setsockopt(option, value)
        socket.connect(endpoint)
        return socket

    @property
    def counters(self) -> InputMetrics:
        return self.metrics.inputs["in"]

    def close(self) -> None:
        for client in self._clients:
            client.close(0)
        self.context.term()
        self.sink.hold = False
        self.sink.commit()
        for intake in self.intakes:
            intake.stop(0.0)


PATHS = ("native", "python")


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which of the two paths receives."""
    choose(str(request.param), monkeypatch)
    return str(request.param)


def choose(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all sockets that are opened from now on be read by `path`."""
    if path == "python":
        monkeypatch.setattr(library, "find", lambda: library.Found(None, "the test wants it so"))
    elif (found := library.find()).library is None:
        pytest.skip(f"the drain in C is not here: {found.why}")


@pytest.fixture
def bench(path: str) -> Iterator[Bench]:
    """Everything closed at its end; that nothing is left open is checked of every test (`tests.lab.leaks`)."""
    made = Bench()
    yield made
    made.close()
