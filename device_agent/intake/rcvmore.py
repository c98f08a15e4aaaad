"""Whether more frames of a message follow: asked after every frame, so it decides the speed of the whole intake."""

from __future__ import annotations

from typing import Protocol

import zmq


class More(Protocol):
    """`more[0]` is true while further frames of the message belong to the frame that was received last."""

    def __getitem__(self, index: int, /) -> object: ...


class Asked:
    """Asks libzmq by its option ZMQ_RCVMORE."""

    __slots__ = ("_socket",)

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket

    def __getitem__(self, index: int, /) -> object:
        return self._socket.get(zmq.RCVMORE)


def more_of(socket: zmq.Socket[bytes]) -> More:
    """Return the quickest right way for this socket."""
    return Asked(socket)
