"""Whether more frames of a message follow: asked after every frame, so it decides the speed of the whole intake.

How: libzmq's own `zmq_getsockopt(ZMQ_RCVMORE)`, called by ctypes without giving the interpreter lock away, in half the time that pyzmq
takes for it. It writes each answer into an array, which is looked at once for many frames. Where that function cannot be found, pyzmq is
asked. Figures and what was refused: docs/decisions/0006.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Final

import zmq

from device_agent import libzmq

_INT: Final = ctypes.sizeof(ctypes.c_int)


class MoreFlags:
    """Answers about up to `size` frames; for the thread that owns the socket, and as long as it is open.

    After the frame with index i is received, `ask(*calls[i])` stores whether more frames of its message follow.
    """

    __slots__ = ("_clear", "_flags", "_seen", "_zero", "ask", "calls")

    def __init__(self, socket: zmq.Socket[bytes], size: int) -> None:
        self._flags = (ctypes.c_int * size)()
        self._seen = memoryview(self._flags).cast("B")
        self._clear = b"\xff" * len(self._seen)
        self._zero = bytes(len(self._seen))
        function = _getsockopt()
        self.ask: Callable[..., object]
        self.calls: Sequence[tuple[Any, ...]]
        if function is None:
            self.ask = lambda index: self._flags.__setitem__(index, int(socket.get(zmq.RCVMORE)))
            self.calls = [(index,) for index in range(size)]
        else:
            self.ask = function
            # converted once: 94 ns a call instead of 137
            handle, option = ctypes.c_void_p.from_param(socket.underlying), ctypes.c_int.from_param(zmq.RCVMORE)
            length = ctypes.byref(ctypes.c_size_t(_INT))
            self.calls = [(handle, option, ctypes.byref(self._flags, _INT * index), length) for index in range(size)]

    def clear(self) -> None:
        """Forget all answers."""
        self._seen[:] = self._clear

    def none(self, count: int) -> bool:
        """Tell whether the first `count` answers are all no."""
        return self._seen[: _INT * count] == self._zero[: _INT * count]

    def first(self, count: int) -> list[int]:
        """Return the first `count` answers."""
        answers = self._flags[:count]
        if not {0, 1}.issuperset(answers):
            raise zmq.ZMQError(zmq.ENOTSOCK)  # libzmq gave none, which it does only for a socket that is closed
        return answers

    def __call__(self) -> int:
        """Ask about the frame that was received last, by itself."""
        flags = self._flags
        flags[0] = -1
        self.ask(*self.calls[0])
        more = flags[0]
        return more if more >= 0 else self.first(1)[0]


def _getsockopt() -> Callable[..., int] | None:
    found = libzmq.library()
    if found is None:
        return None
    function: Callable[..., int] = found.zmq_getsockopt
    found.zmq_getsockopt.restype = None  # the preset answer tells whether it failed
    return function
