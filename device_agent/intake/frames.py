"""Message Endpoint, its innermost loop: frames out of one socket, without blocking, a bounded turn at a time.

Promises: a turn ends after `TURN_READINGS` readings or `TURN_BYTES` bytes, or when nothing is left; frames of one message stay together
and in order; of a message that is too large for any log only so much is kept as shows that it is.

How: a reading of one frame costs one `recv`, one `append` and one look at `more`. Bytes are summed up a chunk at a time; chunks shrink
when messages are large, so that a turn does not overshoot `TURN_BYTES` by much.
"""

from __future__ import annotations

from itertools import repeat
from typing import Final

import zmq

from device_agent.intake.rcvmore import more_of
from device_agent.router import Received, size_of
from device_agent.wire.block import Payload
from device_agent.wire.limits import KIB, MAX_FRAMES, MAX_READING, MIB

#: Readings that one socket may hand over before the others have their turn.
TURN_READINGS: Final = 2048
#: Bytes likewise; a turn may exceed it by one chunk.
TURN_BYTES: Final = 1 * MIB
#: Frames and bytes of a message that are kept, so that it can be set aside; the rest is read and thrown away.
KEEP_FRAMES: Final = 4 * MAX_FRAMES
KEEP_BYTES: Final = 4 * MAX_READING
_CHUNK: Final = (4, 64)  # readings
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
        self._more = more_of(socket)
        self._authenticated = authenticated
        self._limit = _CHUNK[0]

    def turn(self, time: int, synced: bool) -> Received:  # data, as in Run
        """Receive a turn of readings, all frames of each being payload."""
        payloads: list[Payload] = []
        clients: list[str | None] = []
        size = 0
        plain = True
        more = True
        while more and len(payloads) < TURN_READINGS and size < TURN_BYTES:
            limit = self._limit
            chunk, single = self._chunk_authenticated(clients) if self._authenticated else self._chunk()
            received = sum(map(len, chunk)) if single else sum(map(size_of, chunk))
            more = len(chunk) == limit
            if more:
                self._limit = min(2 * limit, _CHUNK[1]) if received <= _CHUNK_BYTES else max(limit // 2, _CHUNK[0])
            payloads += chunk
            size += received
            plain = plain and single
        return Received(
            time=time, synced=synced, payloads=payloads, size=size, plain=plain, clients=clients if self._authenticated else None
        )

    def _chunk(self) -> tuple[list[Payload], bool]:
        """Receive up to a chunk of readings; tell whether each has one frame."""
        chunk: list[Payload] = []
        append, recv, more, single = chunk.append, self._recv, self._more, True
        try:
            for _ in repeat(None, self._limit):
                append(recv(_NOBLOCK))
                if more():
                    chunk[-1] = self.rest(chunk[-1])  # type: ignore[arg-type]  # the frame that was just appended
                    single = False
        except zmq.Again:
            pass  # nothing is left: the chunk is what there was
        return chunk, single

    def _chunk_authenticated(self, clients: list[str | None]) -> tuple[list[Payload], bool]:
        chunk: list[Payload] = []
        single = True
        try:
            for _ in repeat(None, self._limit):
                frame = self._socket.recv(_NOBLOCK, copy=_FRAME)
                chunk.append(self.rest(frame.bytes) if frame.more else frame.bytes)
                clients.append(client_of(frame))
                single = single and not frame.more
        except zmq.Again:
            pass  # as above
        return chunk, single

    def rest(self, first: bytes) -> list[bytes]:
        """Receive the frames that follow `first`; they are there, since ZeroMQ delivers messages whole."""
        frames, size = [first], len(first)
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
            return self.rest(identity), None  # a ROUTER always adds the identity to something
        frame = self._socket.recv(copy=_FRAME)  # libzmq 4.3.4 gives the identity's frame no properties
        return [identity, *(self.rest(frame.bytes) if frame.more else [frame.bytes])], client_of(frame)


def client_of(frame: zmq.Frame) -> str | None:
    """Return the key (Z85) that ZAP gave the connection as its User-Id."""
    try:
        user = frame.get("User-Id")
    except zmq.ZMQError:  # EINVAL: the connection has no such property
        return None
    return str(user) or None
