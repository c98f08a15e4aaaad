"""Channel Adapter (Hohpe, Woolf): what the four patterns share: one socket, its router, its counters, and when it may be read.

A channel belongs to the receiver's thread, but for `committed` and `refused` of those that answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import Final

import zmq

from device_agent import events
from device_agent.config import InputConfig
from device_agent.metrics import InputMetrics
from device_agent.ports import Batch, Replies, Sink, Verdict
from device_agent.router import Oversize, Routed, Router
from device_agent.wire.limits import MIB

#: Bytes that ZeroMQ may hold of one peer before the log says which setting bounds them: a sixteenth of a board of 512 MB.
HELD: Final = 32 * MIB
#: Readings over which their mean size is taken.
_SAMPLE: Final = 100


class Gate(Enum):
    """Whether a channel's socket is read now."""

    READ = "read"
    REFUSE = "refuse"  # read, and refuse what a full stream would get
    WAIT = "wait"


class Channel(ABC):
    """One input at work."""

    def __init__(
        self, config: InputConfig, socket: zmq.Socket[bytes], *, sink: Sink, metrics: InputMetrics, replies: Replies | None = None
    ) -> None:
        self.config = config
        self.socket = socket
        self.metrics = metrics
        self._sink = sink
        self._replies = replies
        self._router = Router(config, max_reading=sink.max_reading, replies=replies)
        self._sample: tuple[int, int] | None = (0, 0)  # readings and bytes since the last look at their mean; None: it was told
        self._full: dict[str, str] = {}  # streams that are full, with what a refused client is told

    def become(self, config: InputConfig) -> None:
        """Go on for a changed configuration of the same socket."""
        self.config = config
        self._router = Router(config, max_reading=self._sink.max_reading, replies=self._replies)
        self._sample = (0, 0)

    def gate(self) -> Gate:
        """Ask the sink about every stream of this input: a reading is taken off ZeroMQ only when there is room wherever it may go."""
        verdicts = {stream: self._sink.verdict(stream) for stream in self._router.streams}
        if Verdict.BUSY in verdicts.values():
            return Gate.WAIT
        full = [stream for stream, verdict in verdicts.items() if verdict is Verdict.FULL]
        if full and not self.config.pattern.acknowledges:
            return Gate.WAIT
        self._full = {stream: self._sink.why(stream) for stream in full}
        return Gate.REFUSE if full else Gate.READ

    @abstractmethod
    def receive(self, time: int, synced: bool) -> Routed:  # data, as in Run
        """Receive a turn without blocking; `gate` said that it may be."""

    def turn(self, time: int, synced: bool) -> int:  # data, as in Run
        """Receive a turn, hand it to the sink, and return the number of readings."""
        received = self.receive(time, synced)
        if self._sample is not None:
            self._weigh(received)
        for batch in received.batches:
            if batch.stream in self._full:
                self.refuse(batch, self._full[batch.stream])
            else:
                self.metrics.received += len(batch.run)
                self.metrics.received_bytes += batch.size
                self.handed_over(batch)
                self._sink.put(batch)
        for reading in received.oversize:
            self.metrics.oversize += 1
            self.too_large(reading)
        return received.readings

    def _weigh(self, received: Routed) -> None:
        """Tell once if the readings are so large that ZeroMQ may hold more of a peer than `HELD`: it counts messages, not bytes."""
        count, size = self._sample or (0, 0)
        count, size = count + received.readings, size + received.size
        self._sample = (count, size)
        if count < _SAMPLE:
            return
        self._sample = (0, 0)
        if size // count * self.config.high_water_mark > HELD:
            self._sample = None
            mean = size // count
            events.input_heavy(
                input=self.config.name, size=mean, high_water_mark=self.config.high_water_mark, enough=max(1, HELD // mean)
            )  # fmt: skip

    def handed_over(self, batch: Batch) -> None:  # noqa: B027  # patterns without replies expect nothing back
        """Take note of a batch that the sink is about to get."""

    def refuse(self, batch: Batch, reason: str) -> None:
        """Answer that nothing of a batch was kept; only patterns that answer read while a stream is full."""
        raise AssertionError(f"{self.config.pattern.value} is not read while a stream is full: {batch.stream}, {reason}")

    @abstractmethod
    def too_large(self, reading: Oversize) -> None:
        """Deal with a reading that no log takes."""

    def flush(self) -> None:  # noqa: B027  # patterns without replies have nothing to send
        """Send the answers that have become possible."""

    def retry(self) -> None:  # noqa: B027
        """Try again what peers did not take before."""

    @property
    def unanswered(self) -> int:
        """Readings whose answer has not been given to ZeroMQ."""
        return 0

    @property
    def stuck(self) -> bool:
        """Whether answers wait for peers that do not take them."""
        return False

    def abandon(self) -> int:
        """Give up what is still to be said at a stop, and return how much that is."""
        return 0
