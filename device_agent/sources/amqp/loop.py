"""The loop under a pika connection: one thread waits for the broker's socket and for the courier together.

Promises: handlers, timers and callbacks run in the thread that calls `turn`; nothing is polled. `add_callback` may be called by other
threads: pika resolves host names in one of its own.

It has the methods that pika asks of a loop (pika.adapters.utils.selector_ioloop_adapter.AbstractSelectorIOLoop).
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from device_agent.sources.port import Deliver


class Timer:
    """A call at a later time, unless it is cancelled."""

    def __init__(self, call: Callable[[], None]) -> None:
        """Make one that is due to `call`."""
        self.call: Callable[[], None] | None = call


class Loop:
    """Runs what pika asked for, a turn at a time. Belongs to one thread."""

    READ: Final = 1
    WRITE: Final = 2
    ERROR: Final = 4

    def __init__(self, deliver: Deliver) -> None:
        """Wait with `deliver`."""
        self._deliver = deliver
        self._handlers: dict[int, tuple[Callable[[int, int], None], int]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._callbacks: deque[Callable[[], None]] = deque()
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._closed = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def turn(self, timeout: float) -> None:
        """Wait until there is something to do, a message is settled, or `timeout` seconds are over; do it."""
        reading = [file for file, (_, events) in self._handlers.items() if events & self.READ]
        writing = [file for file, (_, events) in self._handlers.items() if events & self.WRITE]
        for file in self._deliver.wait([self._wake, *reading], self._pause(timeout), writing=writing):
            if file == self._wake:
                os.eventfd_read(self._wake)
            elif file in self._handlers:  # one before it may have taken it off
                handler, events = self._handlers[file]
                handler(file, events)  # pika's sockets do not block: it may try what it waits for
        self._call()

    def _pause(self, timeout: float) -> float:
        if self._callbacks:
            return 0.0
        return min(timeout, max(0.0, self._timers[0][0] - time.monotonic())) if self._timers else timeout

    def _call(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.call is not None:
                timer.call()
        for _ in range(len(self._callbacks)):  # what these add has its turn next
            self._callbacks.popleft()()

    # What pika calls

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call in `delay` seconds."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._order), timer))
        return timer

    def remove_timeout(self, timer: Timer) -> None:
        """Cancel a call."""
        timer.call = None

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Call in the next turn. For other threads, too."""
        with self._lock:
            if self._closed:
                return
            self._callbacks.append(callback)
            if threading.get_ident() != self._thread:
                os.eventfd_write(self._wake, 1)

    def add_handler(self, file: int, handler: Callable[[int, int], None], events: int) -> None:
        """Call `handler` when a descriptor can be used."""
        self._handlers[file] = (handler, events)

    def update_handler(self, file: int, events: int) -> None:
        """Wait for other events of a descriptor."""
        self._handlers[file] = (self._handlers[file][0], events)

    def remove_handler(self, file: int) -> None:
        """Forget a descriptor."""
        del self._handlers[file]

    def close(self) -> None:
        """Run nothing more."""
        with self._lock:
            self._closed = True
            os.close(self._wake)
        self._timers.clear()
        self._callbacks.clear()
        self._handlers.clear()
