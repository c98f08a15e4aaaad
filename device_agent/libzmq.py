"""libzmq's public C functions, out of the very library that pyzmq's sockets come from; never a second copy of it.

How: pyzmq's backend is a C extension that is linked with libzmq. Looking a name up in the extension finds it in what the extension was
linked with: the library in pyzmq's wheel, or the system's. Where that does not work (another backend, a libzmq that hides its names)
there is None, and the callers do without.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import import_module
from typing import Any, Final

import zmq

_BACKENDS: Final = ("zmq.backend.cython._zmq", "zmq.backend.cython.socket")  # pyzmq 26 and newer; 24 and 25


@cache
def library() -> Any | None:
    """Return the library as `ctypes.PyDLL`: calls keep the interpreter lock. None if it is not found."""
    for backend in _BACKENDS:
        try:
            found: Any = ctypes.PyDLL(import_module(backend).__file__)
            version = found.zmq_version
        except (ImportError, OSError, AttributeError):
            continue  # another version or backend: the next
        parts = [ctypes.c_int() for _ in range(3)]
        version.restype = None
        version(*map(ctypes.byref, parts))
        if tuple(part.value for part in parts) == zmq.zmq_version_info():
            return found
    return None
