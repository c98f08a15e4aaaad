"""Door: a `Sink` before the sink, so that the inputs outlive the spool that they hand their readings to.

Promises: while it is shut no input is read: every verdict is BUSY, so what comes stays in ZeroMQ, and with the peers. Belongs to the
receiver's thread.
"""

from __future__ import annotations

from device_agent.ports import Batch, Sink, Verdict
from device_agent.wire.block import Payload


class Door:
    """`Sink` over the sink of the moment."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._open = True

    def shut(self) -> None:
        """Let nothing through from now on."""
        self._open = False

    def open(self, sink: Sink) -> None:
        """Let readings through to `sink`."""
        self._sink, self._open = sink, True

    def verdict(self, stream: str) -> Verdict:
        """See `Sink`."""
        return self._sink.verdict(stream) if self._open else Verdict.BUSY

    def why(self, stream: str) -> str:
        """See `Sink`."""
        return self._sink.why(stream)

    def max_reading(self, stream: str) -> int:
        """See `Sink`."""
        return self._sink.max_reading(stream)

    def put(self, batch: Batch) -> None:
        """See `Sink`."""
        self._sink.put(batch)

    def set_aside(self, stream: str, payload: Payload, reason: str) -> None:
        """See `Sink`."""
        self._sink.set_aside(stream, payload, reason)
