"""Courier: the way of one source to the intake and back, over a DEALER in this process.

Invariants:
1. A message is in one place: under way (the intake owes an answer), or held (refused for want of room, to be offered again).
2. There is no room while both together reach the window, or while a message is held.
3. Each message is settled once; `taken` only after the intake's durable answer.
4. Nothing is sent while a message is held, until all that are held are sent again in their order.
5. What is offered while something is under way leaves with others, at the next `settled` or `wait`: the intake takes them in one turn,
   and the spool in one go. A message that would be alone leaves at once.

A message is `[number, topic?, payload]`, the answer `[number, {"ok": ...}]` (docs/intake.md): what a program of the user's own would
send over ipc to a `router` input with `message_id = "first-frame"` and `topic = "first-frame"`.
"""

from __future__ import annotations

import json
import math
import os
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import zmq

from device_agent.sources import pipe
from device_agent.sources.port import Settled
from device_agent.wire.limits import MAX_LABEL

#: Seconds before messages that found no room are offered again.
PAUSE: Final = 0.2
_NUMBER: Final = 8  # bytes
_TAKEN: Final = b'{"ok":true,'  # how the answer for a reading on disk begins; its last key is the number (docs/intake.md)
_TOPIC: Final = f"the topic is longer than {MAX_LABEL} bytes in UTF-8"


@dataclass(frozen=True, slots=True)
class _Held:
    """A message that was refused for want of room, or was offered behind such a one."""

    number: int
    token: object
    frames: list[bytes]
    why: str


class Courier:
    """`Deliver` of one run of one source."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, *, window: int, insists: bool, monotonic: Callable[[], float]
    ) -> None:
        """Connect to the intake's socket at `endpoint`, `inproc://...` of this `context`."""
        self._window, self._insists, self._monotonic = window, insists, monotonic
        self._numbers = 0
        self._under_way: dict[bytes, tuple[object, list[bytes]]] = {}
        self._held: list[_Held] = []  # in the order of their numbers
        self._unsent: list[list[bytes]] = []  # of those under way
        self._settled: list[Settled] = []
        self._next_offer = 0.0
        self._stopping = False
        self._end = 0.0  # monotonic, once it is stopping
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        try:
            for option in (zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER):
                self._socket.setsockopt(option, 0)  # the window bounds what is queued
            self._socket.connect(endpoint)
            self._pipe = pipe.over(self._socket)
            self._polled: tuple[object, list[tuple[Any, int]]] = ((), [])
        except BaseException:
            self.close()
            raise

    @property
    def room(self) -> int:
        """See `Deliver`."""
        return 0 if self._held or self._stopping else max(0, self._window - len(self._under_way))

    @property
    def under_way(self) -> int:
        """See `Deliver`."""
        return len(self._under_way) + len(self._held)

    @property
    def stopping(self) -> bool:
        """See `Deliver`."""
        return self._stopping

    @property
    def finished(self) -> bool:
        """See `Deliver`."""
        return self._stopping and (not self.under_way or self._monotonic() >= self._end)

    def stop(self, seconds: float) -> None:
        """Let `wait` return, `stopping` be true, and after `seconds` at most `finished`, too. For other threads."""
        self._end = self._monotonic() + seconds
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def offer(self, token: object, payload: bytes, *, topic: str | None = None) -> None:
        """See `Deliver`."""
        if topic is None:
            self._send(token, [payload])
            return
        label = topic.encode("utf-8", "replace")
        if len(label) > MAX_LABEL and not self._insists:
            self._settled.append(Settled(token, taken=False, reason=_TOPIC))
        else:
            self._send(token, [label, payload])

    def _send(self, token: object, frames: list[bytes]) -> None:
        number, self._numbers = self._numbers, self._numbers + 1
        if self._held and self._insists:
            self._hold(_Held(number, token, frames, self._held[-1].why))
            return
        alone, name = not self._under_way, number.to_bytes(_NUMBER, "big")
        self._under_way[name] = (token, frames if self._insists else [])
        self._unsent.append([name, *frames])
        if alone:
            self._flush()

    def _hold(self, one: _Held) -> None:
        insort(self._held, one, key=lambda held: held.number)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self._pipe.send(message)

    def settled(self) -> Sequence[Settled]:
        """See `Deliver`."""
        if self._held and self._monotonic() >= self._next_offer:
            held, self._held = self._held, []
            for waiting in held:
                self._send(waiting.token, waiting.frames)
        self._flush()
        found, self._settled = self._settled, []
        while (said := self._pipe.receive()) is not None:
            token, frames = self._under_way.pop(said[0])
            one = _parse(token, said[1])
            if one.again and self._insists and not self._stopping:
                self._hold(_Held(int.from_bytes(said[0], "big"), token, frames, one.reason))
                self._next_offer = self._monotonic() + PAUSE
            else:
                found.append(one)
        return found

    def give_back(self) -> None:
        """See `Deliver`."""
        self._settled += [Settled(one.token, taken=False, again=True, reason=one.why) for one in self._held]
        self._held.clear()

    def wait(self, descriptors: Sequence[int], timeout: float | None, *, writing: Sequence[int] = ()) -> frozenset[int]:
        """See `Deliver`."""
        self._flush()
        limits = [timeout] if timeout is not None else []
        limits += [0.0] if self._settled or self.finished else []
        limits += [PAUSE] if self._held else []
        limits += [max(0.0, self._end - self._monotonic())] if self._stopping else []
        ready = zmq.zmq_poll(self._sockets(descriptors, writing), math.ceil(min(limits) * 1000) if limits else -1)
        return frozenset(found for found, _ in ready if isinstance(found, int) and found != self._wake)

    def _sockets(self, descriptors: Sequence[int], writing: Sequence[int]) -> list[tuple[Any, int]]:
        """Return what is waited for, and for which events."""
        key = (self._stopping, *descriptors, None, *writing)
        if self._polled[0] != key:
            found: list[tuple[Any, int]] = [(self._socket, zmq.POLLIN)]
            if not self._stopping:  # afterwards it stays readable
                found.append((self._wake, zmq.POLLIN))
            found += [(one, (zmq.POLLIN * (one in descriptors)) | (zmq.POLLOUT * (one in writing))) for one in {*descriptors, *writing}]
            self._polled = (key, found)
        return self._polled[1]

    @property
    def descriptors(self) -> tuple[int, int]:
        """See `Deliver`."""
        return int(self._socket.getsockopt(zmq.FD)), self._wake

    def close(self) -> None:
        """Forget what is under way."""
        self._socket.close(0)
        os.close(self._wake)


def _parse(token: object, answer: bytes) -> Settled:
    """Return what an answer of the intake says."""
    if answer.startswith(_TAKEN):
        return Settled(token, taken=True, seq=int(answer[answer.rindex(b":") + 1 : -1]))
    said = json.loads(answer)
    return Settled(token, taken=said["ok"], again=said.get("again", False), reason=said.get("error", ""), seq=said.get("seq", 0))
