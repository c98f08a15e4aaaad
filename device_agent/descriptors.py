"""File descriptors: how many there are, who may take the last ones, and what is said when there are none.

The kernel refuses a new descriptor with EMFILE (the process's own RLIMIT_NOFILE) or ENFILE (the whole machine's fs.file-max).

Promises
- The soft limit is raised to the hard limit at the start, and again when descriptors run out.
- Connections of programs never take the last `HEADROOM` descriptors: those are for the log, the uplink and the status socket.
- A shortage is logged once when it begins and once when it is over, and counted.

Safe from every thread, except `Spare`, which belongs to one.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from device_agent import events
from device_agent.errors import ConfigError
from device_agent.metrics import ProcessMetrics

#: What the kernel says when it has no descriptor, or no memory for one (accept(2), open(2), socket(2)).
SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: Descriptors that connections leave free. The uplink opens up to one a sender and two for a name look-up, the spool up to one a sender,
#: two segments, a journal and a directory (measured: 11 with three senders and two streams while all of them were busy).
HEADROOM: Final = 8
#: Seconds between two tries while there are none.
PAUSE: Final = 1.0
_COUNT_AGE: Final = 1.0  # seconds for which a count holds


def is_short(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that there are no descriptors."""
    while error is not None:
        if getattr(error, "errno", None) in SHORT:
            return True
        error = error.__cause__ or error.__context__
    return False


class Descriptors:
    """What the threads of one process share."""

    def __init__(self, metrics: ProcessMetrics, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with enough of them."""
        self._metrics = metrics
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._short = False
        self._lately = False  # since the last look
        self._room = 0  # connections that may still be accepted before the next count
        self._counted = float("-inf")
        self._limit = 0  # when it was counted

    @property
    def are_short(self) -> bool:
        """Whether there were none when somebody last asked."""
        return self._short

    def room(self) -> bool:
        """Whether one more connection may be accepted; each "yes" is taken for one."""
        now, limit = self._monotonic(), _soft()
        if self._room <= 0 or limit != self._limit or now - self._counted >= _COUNT_AGE:
            self._room, self._limit, self._counted = spare_for_connections(), limit, now
        self._room -= 1
        return self._room >= 0

    def short(self) -> None:
        """There are none: say so, once, and ask for more where the hard limit allows it."""
        with self._lock:
            self._lately = True
            if self._short:
                return
            self._short = True
            self._metrics.descriptor_shortages += 1
        raise_limit()
        events.descriptors_short(limit=_soft())

    def look(self) -> None:
        """Look whether a shortage has begun, or is over: nobody felt it since the last look. Cheap; for the main thread's rounds."""
        room = spare_for_connections()
        if room <= -HEADROOM:
            self.short()
        with self._lock:
            lately, self._lately = self._lately, False
            if not self._short or lately or room <= 0:
                return
            self._short = False
        events.descriptors_back(free=room + HEADROOM)


def raise_limit() -> None:
    """Raise the soft limit to the hard one; what the kernel does not allow is left as it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # a sandbox that forbids setrlimit(2): the soft limit it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def demand(needed: int, *, what: str, key: tuple[str | int, ...]) -> None:
    """See that there are so many, before libzmq is asked for what they are for: without one it aborts the process in some places.

    Raises:
        ConfigError: there are fewer; `key` is of the configuration.
    """
    free = spare_for_connections() + HEADROOM
    if free < needed:
        raise ConfigError(
            f"{what}: Too many open files: {needed} more are needed, and of the {_soft()} allowed {max(0, free)} are left; "
            "raise LimitNOFILE of the unit (or `ulimit -n`)",
            key=key,
        )


def spare_for_connections() -> int:
    """Return how many descriptors connections may still take; `-HEADROOM` if there is not a single one.

    Counts the entries of /proc/self/fd below the limit, since a limit that was lowered does not close anything.
    """
    limit = _soft()
    try:
        taken = sum(1 for name in os.listdir("/proc/self/fd") if int(name) < limit)  # noqa: PTH208  # names, not paths: there may be thousands
    except OSError as error:
        return -HEADROOM if error.errno in SHORT else limit  # no /proc here: nothing is known, and nothing is held back
    return limit - (taken - 1) - HEADROOM  # the listing itself was one of them


class Spare:
    """A descriptor that is held so that there is one when there is no other. Belongs to one thread."""

    def __init__(self) -> None:
        """Take it; raises OSError."""
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._fd = -1
        self._take()

    def _take(self) -> None:
        with suppress(OSError):  # somebody was quicker: the next time, then
            self._fd = os.dup(self._null)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Leave it to whatever is opened meanwhile, and take it back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        try:
            yield
        finally:
            self._take()

    def close(self) -> None:
        """Give it up."""
        for descriptor in (self._null, self._fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._null = self._fd = -1
