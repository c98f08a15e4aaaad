"""Clock: the one place that asks the system for time. Durations are monotonic; wall time is only ever recorded.

Passed in everywhere, so that tests run days in milliseconds.
"""

from __future__ import annotations

import ctypes
import time
from typing import Protocol

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


class Clock(Protocol):
    """What the agent asks of time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps."""

    def now(self) -> int:
        """Wall time in microseconds since 1970 UTC; may step, and is 1970 on a board without a battery."""

    def synced(self) -> bool:
        """Whether the kernel says that the wall clock is synchronised (NTP, PTP, GPS)."""


class SystemClock:
    """The machine's clock."""

    _REFRESH = 1.0  # seconds for which an answer of the kernel holds: a system call a reading would be too dear

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._asked = float("-inf")
        self._synced = False

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def now(self) -> int:
        """Microseconds since 1970 UTC, never negative."""
        return max(0, time.time_ns() // 1000)

    def synced(self) -> bool:
        """Ask the kernel with adjtimex(2), at most once a second."""
        now = time.monotonic()
        if now - self._asked >= self._REFRESH:
            self._asked = now
            state = self._libc.adjtimex(ctypes.create_string_buffer(512))  # struct timex, all zero: read only; it has 208 bytes
            self._synced = 0 <= state < _TIME_ERROR
        return self._synced
