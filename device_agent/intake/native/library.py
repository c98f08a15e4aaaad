"""Which path runs: the drain in C, or the Python one and why. Decided once a process, when the first socket is opened."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import zmq

from device_agent import libzmq
from device_agent.intake.native.layout import ABI, NAMES, AnswersLayout, LibzmqLayout, TurnLayout

#: Where `build` puts what it compiled of drain.c, and where a wheel has it.
PATH: Final = Path(__file__).with_name("drain.so")


@dataclass(frozen=True, slots=True)
class Library:
    """The drain's functions; calls give the interpreter lock away."""

    open: Any
    turn: Any
    pick: Any
    answer: Any
    close: Any
    zmq: LibzmqLayout


@dataclass(frozen=True, slots=True)
class Found:
    """The library, or why there is none."""

    library: Library | None
    why: str = ""

    def __str__(self) -> str:
        return "native" if self.library else f"python: {self.why}"


@cache
def find() -> Found:
    """Load the drain, unless something does not fit: then the Python path runs."""
    zeromq = libzmq.library()
    if zeromq is None:
        return Found(None, "libzmq's functions are not found in this pyzmq")
    try:
        functions = LibzmqLayout(**{name: ctypes.cast(getattr(zeromq, name), ctypes.c_void_p).value for name in NAMES})
    except AttributeError as error:
        return Found(None, f"this libzmq ({zmq.zmq_version()}) lacks a function: {error}")
    if not PATH.exists():
        return Found(None, "the drain was not built (no C compiler at the set-up, or a wheel for any machine)")
    try:
        drain: Any = ctypes.CDLL(str(PATH))
        drain.drain_fits.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t)
        fits = drain.drain_fits(ABI, ctypes.sizeof(TurnLayout), ctypes.sizeof(AnswersLayout))
    except (OSError, AttributeError) as error:
        return Found(None, f"the drain does not load here: {error}")
    if not fits:
        return Found(None, "the drain was built of another version; build it again")
    drain.drain_open.restype = ctypes.c_void_p
    drain.drain_open.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)
    drain.drain_close.restype = drain.drain_turn.restype = drain.drain_pick.restype = drain.drain_answer.restype = None
    drain.drain_close.argtypes = (ctypes.c_void_p,)
    drain.drain_turn.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    drain.drain_pick.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint8, ctypes.c_void_p)
    drain.drain_answer.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return Found(Library(drain.drain_open, drain.drain_turn, drain.drain_pick, drain.drain_answer, drain.drain_close, functions))
