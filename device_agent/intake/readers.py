"""Which reader a socket gets: the native one where it can be had, else the Python one. Both pass tests/contract/test_readers.py."""

from __future__ import annotations

from typing import Protocol

import zmq

from device_agent.intake.frames import FrameReader
from device_agent.intake.native import library
from device_agent.intake.native.layout import CLIENTS, TOPICS
from device_agent.intake.native.library import Library
from device_agent.intake.native.reader import NativeReader
from device_agent.router import Routed, Router


class Reader(Protocol):
    """Reads one socket of a pattern without answers; belongs to the thread that owns the socket."""

    def routed(self, router: Router, time: int, synced: bool) -> Routed:
        """Receive a turn without blocking, and return what becomes of it by `router`.

        A turn ends after about `TURN_READINGS` readings or `TURN_BYTES` bytes, or when nothing is left. Frames of a message stay together,
        and of one that is too large for any log only so much is kept as shows that it is.

        Raises:
            zmq.ZMQError: the socket or its context has been closed.
        """


def reader(socket: zmq.Socket[bytes], *, topics: bool, authenticated: bool) -> Reader:
    """Return the reader for a socket.

    Args:
        socket: open, PULL or SUB.
        topics: the first of several frames is a topic.
        authenticated: learn each reading's CURVE key.
    """
    found = library.find().library
    if found is None:
        return FrameReader(socket, authenticated=authenticated)
    return native_reader(found, socket, 0, topics=topics, clients=authenticated)


def native_reader(found: Library, socket: zmq.Socket[bytes], flags: int, *, topics: bool, clients: bool) -> NativeReader:
    """Return the native reader; `flags` of a pattern that answers say how its messages are taken apart."""
    return NativeReader(found, socket, flags=flags | (TOPICS if topics else 0) | (CLIENTS if clients else 0))
