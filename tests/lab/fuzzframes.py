"""Inputs of every pattern in the fuzzer's own thread, over inproc: for coverage, and for an answer to the question whether each message
became a reading, a refusal or a count."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Final

import zmq

from device_agent.config import InputConfig, Pattern, RouteConfig
from device_agent.intake.channel import Channel
from device_agent.intake.pull_sub import PullSub
from device_agent.intake.rep import Rep
from device_agent.intake.router_dealer import RouterDealer
from device_agent.metrics import InputMetrics
from device_agent.wire import block
from tests.fakes.spool import FakeSpool

_LARGEST: Final = 300  # bytes of a reading, so that a fuzzer finds what is above it
#: Each byte of the first frame's length and so on: see `_frames`.
SEEDS: Final = [
    b"\0",
    b"\x05hello",
    b"\0\x05hello",
    b"\x02id\0\x05hello",
    b"\x07sensors\x03\xff\0\x80",
    b"\0" * 40,
    b"\xff" + b"x" * 255 + b"\xff" + b"y" * 255,
]


def _frames(data: bytes) -> list[bytes]:
    """Cut bytes into frames: a byte says how long the next one is."""
    frames, position = [], 0
    while position < len(data):
        size = data[position]
        frames.append(data[position + 1 : position + 1 + size])
        position += 1 + size
    return frames or [b""]


class _Input:
    """One channel and its client."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], number: int, client: int, config: InputConfig) -> None:
        self.context = context
        self.sink = FakeSpool("a", "b", largest=_LARGEST)
        self.metrics = InputMetrics()
        acknowledges = config.pattern.acknowledges
        socket = context.socket(zmq.ROUTER if acknowledges else zmq.PULL)
        self.client = context.socket(client)
        for one in (socket, self.client):
            one.setsockopt(zmq.LINGER, 0)
        socket.bind(f"inproc://fuzz-{number}")
        self.client.connect(f"inproc://fuzz-{number}")
        self.socket = socket
        kind = {Pattern.REP: Rep, Pattern.ROUTER: RouterDealer}.get(config.pattern)
        self.channel: Channel
        if kind is None:
            self.channel = PullSub(config, socket, sink=self.sink, metrics=self.metrics, monotonic=time.monotonic)
        else:
            self.channel = kind(config, socket, sink=self.sink, metrics=self.metrics, wake=lambda: None)

    def accounted(self) -> int:
        """Messages whose fate is known; an oversize one that was refused counts once."""
        counts = self.metrics
        return (
            counts.received
            + counts.malformed
            + counts.probes
            + (counts.refused if self.channel.config.pattern.acknowledges else counts.oversize)
        )

    def receive(self, frames: list[bytes]) -> None:
        """Send one message, let it be taken and committed, and hold what became of it against what was sent."""
        before, malformed = self.accounted(), self.metrics.malformed + self.metrics.probes
        self.client.send_multipart(frames)
        assert self.socket.poll(60_000), "the message does not come"
        self.channel.gate()
        self.channel.turn(1, True)
        self.channel.flush()
        assert self.accounted() == before + 1, "neither a reading, nor a refusal, nor a count"
        for batch in self.sink.batches:
            readings = block.decode(block.encode([batch.run]))
            assert len(readings.payloads) == 1
        self.sink.batches.clear()
        self.sink.aside.clear()
        if self.channel.config.pattern.acknowledges and self.metrics.malformed + self.metrics.probes == malformed:
            assert self.client.poll(60_000), "no answer"
            assert isinstance(json.loads(self.client.recv_multipart()[-1])["ok"], bool)


@cache
def _inputs() -> list[_Input]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    route = (RouteConfig(topic="sensors", stream="b"),)
    made = [
        (zmq.PUSH, {"pattern": Pattern.PULL}),
        (zmq.PUSH, {"pattern": Pattern.PULL, "topic": "first-frame", "route": route}),
        (zmq.DEALER, {"pattern": Pattern.REP}),
        (zmq.DEALER, {"pattern": Pattern.REP, "topic": "first-frame", "route": route}),
        (zmq.DEALER, {"pattern": Pattern.ROUTER, "message_id": "none"}),
        (zmq.DEALER, {"pattern": Pattern.ROUTER, "message_id": "first-frame", "topic": "first-frame", "route": route}),
    ]
    common = {"name": "in", "stream": "a", "bind": ("inproc://fuzz",)}
    return [_Input(context, at, client, InputConfig(**common, **options)) for at, (client, options) in enumerate(made)]  # type: ignore[arg-type]


def receive(data: bytes) -> None:
    """Cut `data` into frames and send them to every kind of input."""
    frames = _frames(data)
    for one in _inputs():
        one.receive(frames)


def close() -> None:
    """Close what `receive` keeps open between its calls."""
    if _inputs.cache_info().currsize:
        for one in _inputs():
            one.client.close(0)
            one.socket.close(0)
        one.context.term()
        _inputs.cache_clear()
