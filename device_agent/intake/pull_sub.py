"""Channel Adapter for PULL and SUB: readings come, nothing goes back.

ZeroMQ has no acknowledgement in these patterns: what the agent has not read yet is in ZeroMQ's memory. PUSH waits when the agent does
not read; a PUB drops at its own high-water mark and counts nothing.
"""

from __future__ import annotations

import zmq

from device_agent.config import InputConfig
from device_agent.intake.channel import Channel
from device_agent.intake.frames import FrameReader
from device_agent.metrics import InputMetrics
from device_agent.ports import Sink
from device_agent.router import Oversize, Received


class PullSub(Channel):
    """A `pull` or `sub` input."""

    def __init__(self, config: InputConfig, socket: zmq.Socket[bytes], *, sink: Sink, metrics: InputMetrics) -> None:
        super().__init__(config, socket, sink=sink, metrics=metrics)
        self._reader = FrameReader(socket, authenticated=config.curve is not None)

    def receive(self, time: int, synced: bool) -> Received:  # data, as in Run
        """Receive a turn of readings."""
        return self._reader.turn(time, synced)

    def too_large(self, reading: Oversize) -> None:
        """Nobody can be told: keep it where people can look at it."""
        self._sink.set_aside(reading.stream, reading.payload, reading.reason)
