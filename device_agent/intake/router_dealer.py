"""Asynchronous Request-Reply for DEALER peers: one answer a reading, after the disk.

A DEALER sends `[identity, frames ...]`. One that emulates a REQ puts an empty frame first: with further frames behind it, that frame is
a delimiter, echoed and no part of the reading. With `message_id = "first-frame"` (Correlation Identifier) the next frame is the
reading's id: the answer begins with it, and answers come as readings reach the disk. With `"none"` they come in order.

An empty frame alone is what ZMQ_PROBE_ROUTER sends when it connects, and no reading, unless `skip_probes = false`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import zmq

from device_agent.config import InputConfig
from device_agent.intake.answering import Answering, Request
from device_agent.intake.native.layout import NUMBERED, PROBES, ROUTER
from device_agent.metrics import InputMetrics
from device_agent.ports import Sink

#: Value of `InputConfig.message_id`.
FIRST_FRAME: Final = "first-frame"


class RouterDealer(Answering):
    """A `router` input."""

    def __init__(
        self, config: InputConfig, socket: zmq.Socket[bytes], *, sink: Sink, metrics: InputMetrics, wake: Callable[[], None]
    ) -> None:
        self._numbered = config.message_id == FIRST_FRAME
        flags = ROUTER | (NUMBERED if self._numbered else 0) | (PROBES if config.skip_probes else 0)
        super().__init__(config, socket, sink=sink, metrics=metrics, wake=wake, ordered=not self._numbered, flags=flags)

    def parse(self, message: list[bytes]) -> Request | None:
        """Take off identity, delimiter and message id."""
        start = 2 if len(message) > 2 and not message[1] else 1
        if self._numbered:
            start += 1
            if len(message) < start:
                return None
        return Request(message[:start], message[start:])
