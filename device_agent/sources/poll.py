"""Polling Consumer (Hohpe, Woolf) for ZeroMQ programs that only answer: REP, or ROUTER.

One question, to one endpoint or to many at the same time (a survey); the answers that come by the deadline are readings, with the
endpoint as topic. Who does not answer is counted, and named in `status`.

Promises
- An answer that comes too late is never taken for one to a later question: a socket that has no answer at the deadline is closed.
- No question is asked unless there is room for all its answers: nobody has an answer a second time. A round that is left out is counted.
- A program that never answers holds up nobody else.

How: a REQ socket an endpoint, closed and opened again after a time-out (the Lazy Pirate of the ZeroMQ guide, chapter 4). ZeroMQ's own
descriptors are edge-triggered, so all sockets are tried before each wait.
"""

from __future__ import annotations

import math
import time
from typing import Final

import zmq

from device_agent import events
from device_agent.config.sources import PollConfig
from device_agent.sources.port import Away, Deliver, NotNow, Place, Source

_PROBE: Final = 10.0  # seconds that a probe waits for answers at most
_NAMED: Final = 3  # endpoints that are named as silent; of more, the number


class Poll(Source):
    """One run of a `poll` input."""

    def __init__(self, settings: PollConfig, _place: Place) -> None:
        """Nobody is asked yet."""
        super().__init__()
        self._settings = settings
        self._request = settings.request.encode()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._waiting: set[str] = set()  # endpoints that owe an answer
        self._counts = {"rounds": 0, "answered": 0, "silent": 0, "skipped": 0}
        self._refused = False  # an answer of several frames has been logged

    def run(self, deliver: Deliver) -> None:
        """See `Source`."""
        try:
            for endpoint in self._settings.endpoints:
                self._open(endpoint)
            self._tell(0)
            self.on_stand()
            self._loop(deliver)
        finally:
            self._context.destroy(linger=0)

    def probe(self) -> str:
        """See `Source`. One question, as in any round; the answers are dropped."""
        patience = min(self._settings.timeout, _PROBE)
        try:
            for endpoint in self._settings.endpoints:
                self._open(endpoint)
            self._send()
            self._hear(time.monotonic() + patience)
        finally:
            self._context.destroy(linger=0)
        if self._waiting:
            raise Away(self._silence(patience))
        count = len(self._sockets)
        return "the program answers" if count == 1 else f"all {count} programs answer"

    def _hear(self, until: float) -> None:
        """Drop answers until all are there, or the time is over."""
        poller = zmq.Poller()
        for socket in self._sockets.values():
            poller.register(socket, zmq.POLLIN)
        while self._waiting and (left := until - time.monotonic()) > 0:
            poller.poll(math.ceil(left * 1000))
            for endpoint in list(self._waiting):
                frames = self._receive(endpoint)
                if frames is not None and len(frames) != 1:
                    raise NotNow(_several(endpoint, frames))

    def _loop(self, deliver: Deliver) -> None:
        following = time.monotonic()
        deadline = following
        while not deliver.finished:
            deliver.settled()  # nobody is told
            now = time.monotonic()
            if self._waiting and now >= deadline:
                self._give_up()
            if now >= following and not deliver.stopping:
                self._ask(deliver)
                deadline = now + self._settings.timeout
                following += self._settings.every * (1 + (now - following) // self._settings.every)
            if not deliver.stopping:
                self._collect(deliver)
            until = deadline if self._waiting else following
            deliver.wait(
                [int(self._sockets[endpoint].getsockopt(zmq.FD)) for endpoint in self._waiting],
                None if deliver.stopping else max(0.0, until - time.monotonic()),
            )

    def _open(self, endpoint: str) -> None:
        socket = self._context.socket(zmq.REQ)
        self._sockets[endpoint] = socket
        socket.setsockopt(zmq.MAXMSGSIZE, 2 * self._settings.max_reading)  # the intake tells what is a little too large
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise NotNow(f"cannot connect to {endpoint}: {error.strerror}; correct endpoints") from None

    def _ask(self, deliver: Deliver) -> None:
        if deliver.room < len(self._sockets):
            self._counts["skipped"] += 1
            self._tell(0, "no question is asked while the stream is full")
            return
        self._counts["rounds"] += 1
        self._send()

    def _send(self) -> None:
        for endpoint, socket in self._sockets.items():
            socket.send(self._request, zmq.NOBLOCK)
            self._waiting.add(endpoint)

    def _collect(self, deliver: Deliver) -> None:
        """Take the answers that are there."""
        for endpoint in list(self._waiting):
            frames = self._receive(endpoint)
            if frames is None:
                continue
            self._counts["answered"] += 1
            if len(frames) == 1:
                deliver.offer(None, frames[0], topic=endpoint)
            elif not self._refused:
                self._refused = True
                events.source_refused(name=self._settings.name, reason=_several(endpoint, frames))
            if not self._waiting:
                self._tell(len(self._sockets))

    def _receive(self, endpoint: str) -> list[bytes] | None:
        """Return the answer of an endpoint; None: it still owes one."""
        try:
            frames = self._sockets[endpoint].recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        self._waiting.remove(endpoint)
        return frames

    def _give_up(self) -> None:
        """Count those who are silent, and forget what they may still send."""
        self._counts["silent"] += len(self._waiting)
        silent, problem = self._silent(), self._silence(self._settings.timeout)
        for endpoint in silent:
            self._sockets.pop(endpoint).close(0)
        self._waiting.clear()
        for endpoint in silent:
            self._open(endpoint)
        self._tell(len(self._sockets) - len(silent), problem)

    def _silent(self) -> list[str]:
        return [endpoint for endpoint in self._sockets if endpoint in self._waiting]

    def _silence(self, seconds: float) -> str:
        """Say who has not answered."""
        silent = self._silent()
        named = ", ".join(silent) if len(silent) <= _NAMED else f"{', '.join(silent[:_NAMED])} and {len(silent) - _NAMED} more"
        return f"no answer within {seconds:g} s: {named}"

    def _tell(self, answering: int, problem: str = "") -> None:
        self.knows(endpoints=list(self._settings.endpoints), peers=answering, problem=problem, **self._counts)


def _several(endpoint: str, frames: list[bytes]) -> str:
    return f"{endpoint} answers with {len(frames)} frames; a reading has one"
