"""Standing: which streams can be sent for, since when, and how that is told to the source and to people.

Not safe between threads: the scheduler's lock guards it.
"""

from __future__ import annotations

from typing import Any

from device_agent.clock import Clock
from device_agent.ports import Source
from device_agent.uplink.lane import Lane
from device_agent.uplink.queue import Queue


class Standing:
    """Of all streams."""

    def __init__(self, source: Source, clock: Clock) -> None:
        """Begin without a word about any stream."""
        self._source, self._clock = source, clock
        self._sendable: dict[str, bool] = {}
        self._since: dict[str, tuple[int, float]] = {}  # wall and monotonic time at which the state began

    def report(self, stream: str, *, sendable: bool) -> None:
        """Tell the source, if it is news."""
        if self._sendable.get(stream) is not sendable:
            self._sendable[stream] = sendable
            self._since[stream] = self._clock.now(), self._clock.monotonic()
            self._source.sendable(stream, sendable)

    def stuck(self, stream: str, since: float) -> bool:
        """Whether a stream cannot be sent for since before `since` (monotonic)."""
        return not self._sendable.get(stream, True) and self._since[stream][1] <= since

    def of(self, queue: Queue, lane: Lane, now: float) -> dict[str, Any]:
        """Return how a stream stands, for people and `status --json`; times are microseconds since 1970, delays seconds."""
        problem = queue.problem or lane.problem
        until = max(queue.not_before if queue.problem else 0.0, lane.not_before if lane.problem else 0.0)
        name = lane.stream.name
        return {
            "queue": queue.url,
            "state": "backing off" if problem else "asking" if queue.unknown else "ok",
            "problem": f"stream {name}, queue {queue.url}: {problem}" if problem else "",
            "since": self._since[name][0] if name in self._since else None,
            "next_try_in": round(max(0.0, until - now), 3) if problem else None,
            "in_flight": lane.in_flight,
            "oldest": lane.oldest,
            "max_message": queue.limit,
        }
