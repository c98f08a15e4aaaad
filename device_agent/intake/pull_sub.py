"""Channel Adapter for PULL and SUB: readings come, nothing goes back.

ZeroMQ has no acknowledgement in these patterns: what the agent has not read yet is in ZeroMQ's memory. PUSH waits when the agent does
not read; a PUB drops at its own high-water mark and counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq

from device_agent import events
from device_agent.config import InputConfig
from device_agent.intake.channel import Channel
from device_agent.intake.readers import reader
from device_agent.metrics import InputMetrics
from device_agent.ports import Sink
from device_agent.router import Oversize, Routed
from device_agent.seldom import Seldom


class PullSub(Channel):
    """A `pull` or `sub` input."""

    def __init__(
        self, config: InputConfig, socket: zmq.Socket[bytes], *, sink: Sink, metrics: InputMetrics, monotonic: Callable[[], float]
    ) -> None:
        super().__init__(config, socket, sink=sink, metrics=metrics)
        self._seldom = Seldom(monotonic)
        self._reader = reader(socket, topics=self._router.first_frame, authenticated=config.authenticates)

    def become(self, config: InputConfig) -> None:
        """Go on; whether a reading's first frame is its topic may have changed."""
        super().become(config)
        self._reader = reader(self.socket, topics=self._router.first_frame, authenticated=config.authenticates)

    def receive(self, time: int, synced: bool) -> Routed:  # data, as in Run
        """Receive a turn of readings."""
        return self._reader.routed(self._router, time, synced)

    def too_large(self, reading: Oversize) -> None:
        """The peer cannot be told: keep it where people can look at it, and tell the log."""
        self._sink.set_aside(reading.stream, reading.payload, reading.reason)
        if self._seldom.due():
            events.input_oversize(input=self.config.name, stream=reading.stream, since_start=self.metrics.oversize, reason=reading.reason)
