"""Request-Reply (Hohpe, Woolf) for REQ peers: a ROUTER socket that speaks as a REP would, so that many clients share one fsync.

A REQ sends `[identity, "", body ...]`, with ZMQ_REQ_CORRELATE `[identity, request id, "", body ...]`: every frame up to and including the
first empty one is echoed before the answer (RFC 28, REQ/REP). A message without an empty frame is no request: counted and discarded, as
a REP does. An empty frame alone is none either: it is what ZMQ_PROBE_ROUTER sends when it connects. A client that re-sends makes a second
reading: exactly once begins at our commit.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq

from device_agent.config import InputConfig
from device_agent.intake.answering import Answering, Request
from device_agent.intake.native.layout import PROBES, REP
from device_agent.metrics import InputMetrics
from device_agent.ports import Sink

_DEEPEST = 32  # frames of an envelope: devices add one a hop, and 30 hops are a loop


class Rep(Answering):
    """A `rep` input."""

    def __init__(
        self, config: InputConfig, socket: zmq.Socket[bytes], *, sink: Sink, metrics: InputMetrics, wake: Callable[[], None]
    ) -> None:
        super().__init__(config, socket, sink=sink, metrics=metrics, wake=wake, ordered=True, flags=REP | PROBES)

    def parse(self, message: list[bytes]) -> Request | None:
        """Cut behind the first empty frame after the identity."""
        try:
            end = message.index(b"", 1, _DEEPEST) + 1
        except ValueError:
            return None
        return Request(message[:end], message[end:])
