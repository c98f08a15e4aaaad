"""Pipe: messages over a ZeroMQ socket of this process, without giving the interpreter lock away.

pyzmq gives it away at every frame, and gets it back when the other threads (intake, spool) leave it: a frame then costs more than all
the rest of a message's way. What is sent and received here never blocks, so the lock can be kept: libzmq's own functions are called.
Where they are not found (`libzmq`), pyzmq's are.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Sequence
from typing import Any, Final

import zmq

from device_agent import libzmq

_LARGEST: Final = 64 * 1024  # bytes of a frame that is received
_SEND: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
_RECEIVE: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_ERROR: Final = ctypes.PYFUNCTYPE(ctypes.c_int)
_LAST: Final = int(zmq.DONTWAIT)
_MORE: Final = int(zmq.DONTWAIT | zmq.SNDMORE)


class Pipe:
    """Sends messages of some frames over a socket, and receives those of two. Belongs to the thread that owns the socket."""

    def __init__(self, socket: zmq.Socket[bytes], *, library: Any) -> None:
        """Use `socket`, and no more after it is closed; `library`: libzmq."""
        self._handle = ctypes.c_void_p(socket.underlying)
        self._room = ctypes.create_string_buffer(_LARGEST)
        self._place = ctypes.addressof(self._room)
        self._bytes = memoryview(self._room).cast("B")
        self._zmq_send: Any = _SEND(("zmq_send", library))
        self._zmq_recv: Any = _RECEIVE(("zmq_recv", library))
        self._zmq_errno: Any = _ERROR(("zmq_errno", library))

    def send(self, frames: Sequence[bytes]) -> None:
        """Send a message. Raises `zmq.ZMQError`."""
        last = len(frames) - 1
        for at, frame in enumerate(frames):
            while self._zmq_send(self._handle, frame, len(frame), _LAST if at == last else _MORE) < 0:
                self._raise_unless_interrupted()

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return a message; None: there is none now. Raises `zmq.ZMQError`."""
        first = self._frame()
        return None if first is None else (first, self._frame() or b"")

    def _frame(self) -> bytes | None:
        while (size := self._zmq_recv(self._handle, self._place, _LARGEST, _LAST)) < 0:
            if self._zmq_errno() == zmq.EAGAIN:
                return None
            self._raise_unless_interrupted()
        if size > _LARGEST:
            raise zmq.ZMQError(zmq.EMSGSIZE)
        return self._bytes[:size].tobytes()

    def _raise_unless_interrupted(self) -> None:
        error = self._zmq_errno()
        if error == zmq.ETERM:
            raise zmq.ContextTerminated(error)
        if error != errno.EINTR:
            raise zmq.ZMQError(error)


class PlainPipe:
    """The same over pyzmq."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        """Use `socket`."""
        self._socket = socket

    def send(self, frames: Sequence[bytes]) -> None:
        """See `Pipe`."""
        self._socket.send_multipart(frames, zmq.NOBLOCK, copy=True)

    def receive(self) -> tuple[bytes, bytes] | None:
        """See `Pipe`."""
        try:
            first, second = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return first, second


def over(socket: zmq.Socket[bytes]) -> Pipe | PlainPipe:
    """Return the faster one that works here."""
    library = libzmq.library()
    return PlainPipe(socket) if library is None else Pipe(socket, library=library)
