"""Whether more frames of a message follow: asked after every frame, so it decides the speed of the whole intake.

How: libzmq's own `zmq_getsockopt(ZMQ_RCVMORE)`, called by ctypes without giving the interpreter lock away, in half the time that pyzmq
takes for it. Where that function cannot be found, pyzmq is asked. Figures and what was refused: docs/decisions/0006.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib import import_module
from typing import Any

import zmq


def more_of(socket: zmq.Socket[bytes]) -> Callable[[], object]:
    """Return a function that tells whether further frames belong to the frame that was received last.

    For the thread that owns the socket, and as long as it is open.
    """
    function = _getsockopt()
    if function is None:
        return lambda: socket.get(zmq.RCVMORE)
    value, size = ctypes.c_int(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    arguments = (ctypes.c_void_p(socket.underlying), ctypes.c_int(zmq.RCVMORE), ctypes.byref(value), ctypes.byref(size))

    def more() -> object:
        if function(*arguments):
            raise zmq.ZMQError
        return value.value

    return more


def _getsockopt() -> Callable[..., int] | None:
    """Return libzmq's function out of the very library that pyzmq's backend is linked with."""
    for backend in ("zmq.backend.cython._zmq", "zmq.backend.cython.socket"):  # pyzmq 26 and newer; 24 and 25
        try:
            library: Any = ctypes.PyDLL(import_module(backend).__file__)
            function: Callable[..., int] = library.zmq_getsockopt
        except (ImportError, OSError, AttributeError):
            continue  # another version or backend: the next
        return function
    return None
