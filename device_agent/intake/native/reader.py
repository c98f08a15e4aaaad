"""Batches out of what the drain in C received: the native twin of `frames.FrameReader` and of the router's work a reading."""

from __future__ import annotations

import ctypes
import weakref
from array import array
from dataclasses import dataclass

import zmq

from device_agent.intake.native.answers import Envelopes
from device_agent.intake.native.layout import ANSWERS, CLIENTS, TOPICS, Label, Turn, turn
from device_agent.intake.native.library import Library
from device_agent.ports import Batch
from device_agent.router import Received, Routed, Router
from device_agent.wire.block import Payload, Run
from device_agent.wire.labels import Labels, Numbered
from device_agent.wire.limits import MAX_FRAMES
from device_agent.wire.packed import STEP, Packed


@dataclass(frozen=True, slots=True)
class Odd:
    """A message that no log takes as it is: for Python to judge."""

    frames: list[bytes]
    clients: list[str | None] | None  # of this one reading; None if the input does not tell clients apart

    def received(self, time: int, synced: bool) -> Received:  # data, as in Run
        """Return it as the Python path receives it."""
        payload: Payload = self.frames[0] if len(self.frames) == 1 else self.frames
        size = sum(map(len, self.frames))
        return Received(time=time, synced=synced, payloads=[payload], size=size, plain=len(self.frames) == 1, clients=self.clients)


class NativeReader:
    """Reads one socket; belongs to the thread that owns the socket."""

    def __init__(self, library: Library, socket: zmq.Socket[bytes], *, flags: int) -> None:
        """Read from `socket`, as long as it is open.

        Raises:
            MemoryError: there is no memory for it.
        """
        self._library, self._socket, self._flags = library, socket, flags
        handle = library.open(ctypes.byref(library.zmq), socket.underlying, flags)
        if not handle:
            raise MemoryError("no memory for the drain of a socket")
        self._handle = ctypes.c_void_p(handle)
        weakref.finalize(self, library.close, self._handle)

    def routed(self, router: Router, time: int, synced: bool) -> Routed:  # data, as in Run
        """See `readers.Reader`."""
        found = self.receive(router)
        routed = Routed(self.batches(found, router, time, synced), [], found.c.readings, found.c.bytes)
        last = self.odd(found)
        return routed if last is None else routed + router.routed(last.received(time, synced))

    def receive(self, router: Router) -> Turn:
        """Receive a turn for `router` and return its buffers; they are valid until the next call in this thread.

        Raises:
            zmq.ZMQError: the socket or its context is closed; what was received before that is handed out first.
        """
        if self._socket.closed:
            raise zmq.ZMQError(zmq.ENOTSOCK)
        found = turn()
        found.c.max_reading, found.c.max_frames = router.certain, MAX_FRAMES
        self._library.turn(self._handle, found.address)
        if found.c.error and not found.c.readings:
            raise zmq.ContextTerminated(found.c.error) if found.c.error == zmq.ETERM else zmq.ZMQError(found.c.error)
        return found

    def batches(self, found: Turn, router: Router, time: int, synced: bool) -> list[Batch]:  # data, as in Run
        """Return the readings of a turn as batches, one a stream."""
        if not found.c.readings:
            return []
        clients = found.clients.values() if self._flags & CLIENTS else None
        if not self._flags & TOPICS:
            run = Run(time, synced, _packed(found), router.topic, _labels(found, found.clients, clients))
            return [self._batch(found, router, router.streams[0], run)]
        topics = found.topics.values()
        streams = list(map(router.stream_for, topics))
        different = list(dict.fromkeys(streams))
        made = []
        for number, stream in enumerate(different):
            part = found
            if len(different) > 1:
                part = turn(part=True)
                self._library.pick(found.address, bytes(map(different.index, streams)), number, part.address)
            run = Run(time, synced, _packed(part), _labels(part, part.topics, topics), _labels(part, part.clients, clients))
            made.append(self._batch(part, router, stream, run))
        return made

    def odd(self, found: Turn) -> Odd | None:
        """Return the message behind the readings of a turn that the drain has not judged."""
        count = found.c.odd_frames
        if not count:
            return None
        ends = list((ctypes.c_uint32 * count).from_address(found.c.odd_ends))
        whole = ctypes.string_at(found.c.odd, ends[-1])
        frames = [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return Odd(frames, [found.clients.values()[found.c.odd_client]] if self._flags & CLIENTS else None)

    def _batch(self, found: Turn, router: Router, stream: str, run: Run) -> Batch:
        tokens = _envelopes(found) if self._flags & ANSWERS else None
        return Batch(stream, run, found.c.bytes, router.replies, tokens)


def _packed(found: Turn) -> Packed:
    count = found.c.readings
    ends = found.ends
    return Packed(found.data[: ends[count - 1]].tobytes(), count, ends[STEP - 1 : count : STEP].tolist())


def _envelopes(found: Turn) -> Envelopes:
    ends = array("I", found.envelope_ends[: found.c.readings].tobytes())
    return Envelopes(found.envelopes[: ends[-1]].tobytes(), ends)


def _labels(found: Turn, label: Label, values: list[str | None] | None) -> Labels:
    if values is None:
        return None
    numbers = array("H")
    numbers.frombytes(label.of[: 2 * found.c.readings])
    return Numbered(values, numbers)
