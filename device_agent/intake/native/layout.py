"""Memory that the drain in C and Python share: the structures of drain.c field by field, and one thread's buffers for a turn."""

from __future__ import annotations

import ctypes
from threading import local
from typing import Any, Final

from device_agent.wire.limits import KIB, MAX_FRAMES, MAX_READING, MIB

#: Version of the structures; drain.c has the same.
ABI: Final = 3
#: Most readings of a turn, and bytes after which it ends: drain.c's arrays, and the Python path's turns.
READINGS: Final = 2048
BYTES: Final = 1 * MIB
#: Flags of `drain_open`.
TOPICS, CLIENTS, REP, ROUTER, NUMBERED, PROBES = 1, 2, 4, 8, 16, 32
ANSWERS: Final = REP | ROUTER

_DATA: Final = BYTES + 2 * (MAX_READING + 5 * (MAX_FRAMES + 1))  # what begins a turn's last reading, and that reading
_TEXTS: Final = 64 * KIB
_ENVELOPES: Final = 256 * KIB


#: libzmq's functions that the drain uses, in the order of `struct libzmq`.
NAMES: Final = (
    "zmq_msg_init", "zmq_msg_recv", "zmq_msg_data", "zmq_msg_size", "zmq_msg_more", "zmq_msg_close", "zmq_msg_gets",
    "zmq_send", "zmq_errno",
)  # fmt: skip


class LabelsLayout(ctypes.Structure):
    """`struct labels`."""

    _fields_ = (
        ("text", ctypes.c_void_p),
        ("text_size", ctypes.c_uint32),
        ("ends", ctypes.c_void_p),
        ("of", ctypes.c_void_p),
        ("count", ctypes.c_uint32),
        ("none", ctypes.c_int32),
    )


class TurnLayout(ctypes.Structure):
    """`struct turn`."""

    _fields_ = (
        ("max_readings", ctypes.c_uint32),
        ("max_bytes", ctypes.c_uint32),
        ("max_reading", ctypes.c_uint32),
        ("max_frames", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("data_size", ctypes.c_uint32),
        ("ends", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("envelopes", ctypes.c_void_p),
        ("envelopes_size", ctypes.c_uint32),
        ("envelope_ends", ctypes.c_void_p),
        ("topics", LabelsLayout),
        ("clients", LabelsLayout),
        ("readings", ctypes.c_uint32),
        ("bytes", ctypes.c_uint32),
        ("malformed", ctypes.c_uint32),
        ("plain", ctypes.c_uint32),
        ("odd_frames", ctypes.c_uint32),
        ("odd", ctypes.c_void_p),
        ("odd_ends", ctypes.c_void_p),
        ("odd_client", ctypes.c_uint32),
        ("error", ctypes.c_int32),
    )


class LibzmqLayout(ctypes.Structure):
    """`struct libzmq`; the names are those of libzmq's functions."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in NAMES)


class AnswersLayout(ctypes.Structure):
    """`struct answers`."""

    _fields_ = (
        ("envelopes", ctypes.c_char_p),
        ("ends", ctypes.c_void_p),
        ("count", ctypes.c_uint32),
        ("text", ctypes.c_char_p),
        ("text_size", ctypes.c_uint32),
        ("numbered", ctypes.c_uint32),
        ("first", ctypes.c_uint64),
        ("done", ctypes.c_uint32),
        ("lost", ctypes.c_uint32),
        ("error", ctypes.c_int32),
    )


class Label:
    """The distinct labels of a turn."""

    def __init__(self, layout: Any) -> None:
        self._text = _memory(_TEXTS)
        self._ends = _memory(4 * READINGS)
        self._of = _memory(2 * READINGS)
        self._layout = layout
        layout.text, layout.text_size = _address(self._text), _TEXTS
        layout.ends, layout.of = _address(self._ends), _address(self._of)
        self.of = memoryview(self._of).cast("B")
        self._texts, self._places = memoryview(self._text).cast("B"), memoryview(self._ends).cast("B").cast("I")
        self._known: dict[bytes, str] = {}

    def values(self) -> list[str | None]:
        """Return them, in order of their first appearance."""
        found: list[str | None] = []
        start, known = 0, self._known
        for end in self._places[: self._layout.count]:
            raw = self._texts[start:end].tobytes()
            text = known.get(raw)
            if text is None:
                if len(known) >= READINGS:
                    known.clear()  # so peers that invent topics cost time, not memory
                text = known[raw] = raw.decode()
            found.append(text)
            start = end
        if self._layout.none >= 0:
            found[self._layout.none] = None
        return found


class Turn:
    """Buffers of one turn, large enough for whatever a turn may bring; memory that is not used is not taken."""

    def __init__(self) -> None:
        self.c = TurnLayout(max_readings=READINGS, max_bytes=BYTES, data_size=_DATA, envelopes_size=_ENVELOPES)
        self._data, self._envelopes = _memory(_DATA), _memory(_ENVELOPES)
        self._ends, self._sizes, self._envelope_ends = (_memory(4 * READINGS) for _ in range(3))
        self.c.data, self.c.envelopes = _address(self._data), _address(self._envelopes)
        self.c.ends, self.c.sizes, self.c.envelope_ends = map(_address, (self._ends, self._sizes, self._envelope_ends))
        self.topics, self.clients = Label(self.c.topics), Label(self.c.clients)
        self.data, self.envelopes = memoryview(self._data).cast("B"), memoryview(self._envelopes).cast("B")
        self.ends, self.envelope_ends = (memoryview(one).cast("B").cast("I") for one in (self._ends, self._envelope_ends))
        self.address = ctypes.byref(self.c)


class _Own(local):
    """One thread's buffers: those that the drain fills, and those that parts of them are copied to."""

    def __init__(self) -> None:
        self.turns: dict[bool, Turn] = {}


_own = _Own()


def turn(*, part: bool = False) -> Turn:
    """Return this thread's buffers; the sockets of a thread use the same, one after the other. `part`: for parts of a turn."""
    found = _own.turns.get(part)
    if found is None:
        found = _own.turns[part] = Turn()
    return found


def _memory(size: int) -> Any:
    return (ctypes.c_ubyte * size)()


def _address(memory: Any) -> int:
    return ctypes.addressof(memory)
