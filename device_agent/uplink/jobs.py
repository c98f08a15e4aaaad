"""Jobs: what the scheduler tells a sender to do next."""

from __future__ import annotations

from dataclasses import dataclass

from device_agent.uplink.lane import Item
from device_agent.uplink.queue import Queue


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """Job: read the queue's MaximumMessageSize. The result is a number of bytes, or `NotSent`."""

    queue: Queue


@dataclass(frozen=True, slots=True, eq=False)
class Send:
    """Job: send these messages in one request. The result is a verdict each, or `NotSent` or `Refused` for all."""

    queue: Queue
    items: tuple[Item, ...]

    @property
    def size(self) -> int:
        """Bytes as SQS counts them."""
        return sum(item.message.size for item in self.items)


@dataclass(frozen=True, slots=True)
class Wait:
    """No job for so many seconds, unless the source has something new."""

    seconds: float
