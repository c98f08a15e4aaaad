"""Handshakes of one input: how many failed and why, for log, `status` and metrics.

libzmq's monitor names the connection when it is accepted and when it ends, not when its handshake succeeds or fails. But one thread of
libzmq's makes all events, and a failure is followed at once by the end of its connection. A success is taken for the newest connection that
has none yet, which is wrong only while several are in their handshakes, and then only in which of them is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import zmq

from device_agent import events
from device_agent.clock import Clock
from device_agent.config import InputConfig
from device_agent.intake import causes
from device_agent.metrics import InputMetrics
from device_agent.seldom import Seldom

#: Events that say that a handshake failed.
FAILED: Final = int(
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)  # fmt: skip


@dataclass(slots=True)
class Failure:
    """What failed for one cause."""

    cause: str
    count: int = 0
    peer: str = ""  # the last one
    time: int = 0  # of the last one, microseconds since 1970


class Handshakes:
    """Belongs to the receiver's thread; `status` is for all."""

    def __init__(self, config: Callable[[], InputConfig], *, metrics: InputMetrics, clock: Clock) -> None:
        """Begin without a connection; `config` is the input's of the moment."""
        self._config, self._metrics, self._clock = config, metrics, clock
        self._open: dict[int, str] = {}  # file descriptor -> peer, where nothing was told of the handshake yet; the newest last
        self._cause: str | None = None  # why the connection failed that ends next; empty: told already
        self._denied = 0  # connections that wait for their time-out after a denial
        self._failures: dict[str, Failure] = {}
        self._seldom = Seldom(clock.monotonic)

    def opened(self, descriptor: int, peer: str) -> None:
        """A connection begins."""
        self._open.pop(descriptor, None)
        self._open[descriptor] = peer

    def succeeded(self) -> None:
        """A handshake came to its good end."""
        if self._open:
            self._open.popitem()

    def failed(self, event: int, value: int) -> None:
        """A handshake failed; see `zmq_socket_monitor(3)` for the value."""
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH and self._config().authenticates:
            self._denied += 1
            self._count(causes.DENIED, peer="")
            return  # the log names its key: `zap`
        if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and self._denied:
            self._denied -= 1
            self._cause = ""
        else:
            self._cause = causes.of_event(self._config(), event, value)

    def closed(self, descriptor: int) -> None:
        """A connection ended."""
        peer = self._open.pop(descriptor, None)
        cause, self._cause = self._cause, None
        if cause is not None and peer is None and self._open:
            self._open.popitem()  # this one was taken for the success of another
        if cause:
            self._tell(cause, peer or "", certain=True)
        elif cause is None and peer is not None:
            config = self._config()
            self._tell(causes.of_leaving(config), peer, certain=config.greets)

    def _tell(self, cause: str, peer: str, *, certain: bool) -> None:
        failure = self._count(cause, peer, certain=certain)
        if self._seldom.due(cause):
            events.handshake_failed(input=self._config().name, cause=cause, peer=peer, count=failure.count, certain=certain)

    def _count(self, cause: str, peer: str, *, certain: bool = True) -> Failure:
        self._metrics.handshakes_failed += certain
        failure = self._failures.setdefault(cause, Failure(cause))
        failure.count += 1
        failure.peer, failure.time = peer or failure.peer, self._clock.now()
        return failure

    def status(self) -> list[dict[str, Any]]:
        """Return cause, count, last peer and time of what failed, the last first."""
        return [asdict(one) for one in sorted(self._failures.values(), key=lambda one: -one.time)]
