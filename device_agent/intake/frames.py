"""Message Endpoint, its innermost loop: frames out of one socket, without blocking, a bounded turn at a time.

Promises: a turn ends after `TURN_READINGS` readings or `TURN_BYTES` bytes, or when nothing is left; frames of one message stay together
and in order; of a message that is too large for any log only so much is kept as shows that it is.

How: frames are received a chunk at a time; each costs one `recv`, one `append` and one question whether more follow. Bytes and answers
are looked at once a chunk, and only a chunk in which messages of several frames showed up is taken apart. Chunks shrink when frames are
large, so that a turn does not overshoot `TURN_BYTES` by much.
"""

from __future__ import annotations

from itertools import repeat
from typing import Final

import zmq

from device_agent.intake.rcvmore import MoreFlags
from device_agent.router import Received, Routed, Router, size_of
from device_agent.wire.block import Payload
from device_agent.wire.limits import KIB, MAX_FRAMES, MAX_READING, MIB

#: Readings that one socket may hand over before the others have their turn.
TURN_READINGS: Final = 2048
#: Bytes likewise; a turn may exceed it by one chunk.
TURN_BYTES: Final = 1 * MIB
#: Frames and bytes of a message that are kept, so that it can be set aside; the rest is read and thrown away.
KEEP_FRAMES: Final = 4 * MAX_FRAMES
KEEP_BYTES: Final = 4 * MAX_READING
_CHUNK: Final = (4, 64)  # frames
_CHUNK_BYTES: Final = 64 * KIB
_NOBLOCK: Final = int(zmq.NOBLOCK)  # an enum member costs more on the way into C
_COPY: Final = True
_FRAME: Final = False


class FrameReader:
    """Reads one socket; belongs to the thread that owns the socket."""

    def __init__(self, socket: zmq.Socket[bytes], *, authenticated: bool) -> None:
        """Read from `socket`; with `authenticated` also learn each reading's CURVE key, which costs about a microsecond more."""
        self._socket = socket
        self._recv = socket.recv
        self._more = MoreFlags(socket, _CHUNK[1])
        self._authenticated = authenticated
        self._limit = _CHUNK[0]

    def routed(self, router: Router, time: int, synced: bool) -> Routed:  # data, as in Run
        """See `readers.Reader`."""
        return router.routed(self.turn(time, synced))

    def turn(self, time: int, synced: bool) -> Received:  # data, as in Run
        """Receive a turn of readings, all frames of each being payload."""
        payloads: list[Payload] = []
        clients: list[str | None] = []
        size = 0
        plain = True
        left = True
        while left and len(payloads) < TURN_READINGS and size < TURN_BYTES:
            chunk, single, left = self._chunk_authenticated(clients) if self._authenticated else self._chunk()
            received = sum(map(len, chunk)) if single else sum(map(size_of, chunk))
            if left:
                self._limit = min(2 * self._limit, _CHUNK[1]) if received <= _CHUNK_BYTES else max(self._limit // 2, _CHUNK[0])
            payloads += chunk
            size += received
            plain = plain and single
        return Received(
            time=time, synced=synced, payloads=payloads, size=size, plain=plain, clients=clients if self._authenticated else None
        )

    def _chunk(self) -> tuple[list[Payload], bool, bool]:
        """Receive up to a chunk of frames; return the readings, whether each has one frame, and whether more may wait."""
        frames: list[Payload] = []
        append, recv, ask = frames.append, self._recv, self._more.ask
        self._more.clear()
        left = True
        try:
            for call in self._more.calls[: self._limit]:
                append(recv(_NOBLOCK))
                ask(*call)
        except zmq.Again:
            left = False
        if self._more.none(len(frames)):
            return frames, True, left
        return self._group(frames), False, left  # type: ignore[arg-type]  # only frames so far

    def _group(self, frames: list[bytes]) -> list[Payload]:
        """Put the frames of a chunk together to messages, and receive what is missing of the last one."""
        readings: list[Payload] = []
        message: list[bytes] = []
        for frame, more in zip(frames, self._more.first(len(frames)), strict=True):
            if more or message:
                message.append(frame)
            if not more:
                readings.append(message or frame)
                message = []
        if message:
            readings.append(self.rest(message))
        return readings

    def _chunk_authenticated(self, clients: list[str | None]) -> tuple[list[Payload], bool, bool]:
        """Do the same one message at a time, and learn who sent it."""
        chunk: list[Payload] = []
        single = True
        try:
            for _ in repeat(None, self._limit):
                frame = self._socket.recv(_NOBLOCK, copy=_FRAME)
                chunk.append(self.rest([frame.bytes]) if frame.more else frame.bytes)
                clients.append(client_of(frame))
                single = single and not frame.more
        except zmq.Again:
            return chunk, single, False
        return chunk, single, True

    def rest(self, frames: list[bytes]) -> list[bytes]:
        """Receive the frames that follow the first ones; they are there, since ZeroMQ delivers messages whole."""
        size = sum(map(len, frames))
        recv, more = self._recv, self._more
        while True:
            frame = recv()
            if size <= KEEP_BYTES and len(frames) < KEEP_FRAMES:
                frames.append(frame)
                size += len(frame)
            if not more():
                return frames

    def message(self) -> tuple[list[bytes], str | None]:
        """Receive all frames of one message of a ROUTER, its peer's identity first, and the client that sent it if it is authenticated.

        Raises:
            zmq.Again: there is none.
        """
        identity = self._recv(_NOBLOCK)
        if not self._authenticated:
            return self.rest([identity]), None  # a ROUTER always adds the identity to something
        frame = self._socket.recv(copy=_FRAME)  # libzmq 4.3.4 gives the identity's frame no properties
        return [identity, *(self.rest([frame.bytes]) if frame.more else [frame.bytes])], client_of(frame)


def client_of(frame: zmq.Frame) -> str | None:
    """Return the key (Z85) that ZAP gave the connection as its User-Id."""
    try:
        user = frame.get("User-Id")
    except zmq.ZMQError:  # EINVAL: the connection has no such property
        return None
    return str(user) or None
