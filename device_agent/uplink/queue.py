"""Queue: what is known of one SQS queue: how it answers, how large its messages and requests may be.

Invariants:
- While `problem` is set, one request at a time is tried, after `not_before`.
- `budget` (bytes) and `entries` bound the next request; they shrink when requests fail for their size or content, and grow back.

Not safe between threads: the scheduler's lock guards it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from device_agent import events
from device_agent.backoff import Backoff
from device_agent.seldom import Seldom
from device_agent.uplink.lane import Lane
from device_agent.uplink.verdicts import Cause, NotSent, Refused
from device_agent.wire.limits import MAX_BATCH_ENTRIES, MAX_MESSAGE

#: A limit that was read longer ago than this is read again before a message is set aside for its size; seconds.
_LIMIT_AGE: Final = 60.0
#: Requests are not made smaller than this on a bad network (a single larger message still goes, alone); bytes.
_SMALLEST: Final = 16 * 1024


@dataclass(slots=True, eq=False, kw_only=True)
class Queue:
    """State of one queue URL and the lanes that lead there."""

    url: str
    fifo: bool
    backoff: Backoff
    seldom: Seldom
    lanes: list[Lane] = field(default_factory=list)
    in_flight: int = 0  # requests
    groups: set[str] = field(default_factory=set)  # in flight, FIFO only
    stuck: dict[str, Lane] = field(default_factory=dict)  # group -> the lane whose failed message goes first
    not_before: float = float("-inf")  # monotonic
    problem: str = ""
    cause: Cause | None = None  # of the problem
    asking: bool = False  # a question for the limit is in flight: nothing is sent before its answer
    limit: int | None = None  # MaximumMessageSize, bytes
    limit_at: float = float("-inf")  # monotonic
    ceiling: int = MAX_MESSAGE  # bytes of a request that the endpoint takes
    budget: int = MAX_MESSAGE  # ... and that the network carries in time
    entries: int = MAX_BATCH_ENTRIES
    careful: int = 0  # messages to go in small requests, since one of them made a request fail

    @property
    def unknown(self) -> bool:
        """Whether the queue has never answered a question for its limit."""
        return self.limit_at == float("-inf")

    def failed(self, error: NotSent, now: float) -> None:
        """A request failed as a whole: wait, and try a smaller one where the network may be too slow; see `Lane.failed`."""
        if self.cause is not error.cause or (self.problem != str(error) and self.seldom.due(error.cause)):
            events.uplink_waits(queue=self.url, streams=[lane.stream.name for lane in self.lanes], problem=str(error))
        self.not_before = now + self.backoff.failed()
        self.problem, self.cause = str(error), error.cause
        if error.cause is Cause.NETWORK:
            self.budget = max(_SMALLEST, self.budget // 2)

    def answered(self) -> None:
        """A request was answered message by message."""
        self.backoff.succeeded()
        self.not_before = float("-inf")
        self.problem, self.cause = "", None
        self.budget = min(self.ceiling, self.budget * 2)

    def split(self, error: Refused | NotSent, *, count: int, size: int) -> None:
        """A request of several messages was refused for what is in it: send them in smaller ones, at last alone, to see which it is."""
        self.entries = max(1, count // 2)
        self.careful = max(self.careful, count)
        if error.cause in {Cause.SIZE, Cause.PASSAGE}:
            self.ceiling = max(1, size // 2)
            self.budget = min(self.budget, self.ceiling)
            self.limit = None

    def sent(self, count: int) -> None:
        """So many messages have their verdict."""
        if self.careful:
            self.careful = max(0, self.careful - count)
            if not self.careful:
                self.entries = MAX_BATCH_ENTRIES

    def limit_is_old(self, now: float) -> bool:
        """Whether the queue's owner may have raised the limit since it was read."""
        return now - self.limit_at > _LIMIT_AGE

    def learned(self, limit: int, now: float) -> None:
        """Remember the queue's MaximumMessageSize."""
        self.limit, self.limit_at = limit, now
