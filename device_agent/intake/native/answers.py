"""The way back of the drain in C: the answers of a commit are sent in one call, without an object an answer."""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import zmq

from device_agent.intake.native.layout import AnswersLayout
from device_agent.intake.native.library import Library
from device_agent.intake.replies import Slot

#: Bytes of an answer's text that drain.c has room for, beside the number.
LONGEST: Final = 256
_LENGTH: Final = 4  # bytes before each frame of an envelope


class Envelopes(Sequence[list[bytes]]):
    """What goes before the answers of some readings: frames each, the peer's identity first.

    `slots` are the places of these readings in the outbox, once there was a reason to give each its own.
    """

    __slots__ = ("_data", "_ends", "slots")

    def __init__(self, data: bytes, ends: array[int]) -> None:
        """Take over what the drain wrote: frames, each behind its length, and where each envelope ends."""
        self._data, self._ends = data, ends
        self.slots: list[Slot] | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> list[bytes]:  # type: ignore[override]  # parts are never asked for
        at, end = self._ends[number - 1] if number else 0, self._ends[number]
        frames = []
        while at < end:
            length = int.from_bytes(self._data[at : at + _LENGTH], sys.byteorder)
            at += _LENGTH
            frames.append(self._data[at : at + length])
            at += length
        return frames

    def raw(self) -> tuple[bytes, array[int]]:
        """Return what it was made of."""
        return self._data, self._ends


@dataclass(frozen=True, slots=True)
class Sent:
    """How far sending came."""

    done: int  # answers that were sent, or that nobody waits for any more
    lost: int  # of these, those whose peer has gone


class NativeAnswers:
    """Sends over one ROUTER socket; belongs to the thread that owns the socket."""

    def __init__(self, library: Library, socket: zmq.Socket[bytes]) -> None:
        self._library, self._socket = library, socket

    def send(self, envelopes: Envelopes, text: bytes, *, first: int | None) -> Sent:
        """Answer the readings in order: `text`, and with `first` also each one's number and `}`. Ends early where a peer takes no more.

        Raises:
            zmq.ZMQError: the socket or its context is closed.
        """
        if self._socket.closed:
            raise zmq.ZMQError(zmq.ENOTSOCK)
        data, ends = envelopes.raw()
        asked = AnswersLayout(
            envelopes=data, ends=ends.buffer_info()[0], count=len(ends), text=text,
            text_size=len(text), numbered=first is not None, first=first or 0,
        )  # fmt: skip
        self._library.answer(ctypes.byref(self._library.zmq), self._socket.underlying, ctypes.byref(asked))
        if asked.error not in {0, zmq.EAGAIN}:
            raise zmq.ContextTerminated(asked.error) if asked.error == zmq.ETERM else zmq.ZMQError(asked.error)
        return Sent(asked.done, asked.lost)
