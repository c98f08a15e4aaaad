"""Connection count of one input, from libzmq's socket monitor; keeps it at `max_connections`.

Promises: a connection beyond the limit is cut before its handshake ends, so its peer keeps what it has to send, and tries again by
itself. Connections that were let in are never cut. This holds because every handshake asks ZAP, in our thread (`zap`), and the monitor
is read before ZAP is answered. libzmq itself has no such limit, and `unbind` is none: it closes the listener's connections too.
Cutting needs no new file descriptor, so it also works when there are none.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Final

import zmq

from device_agent import events
from device_agent.descriptors import SHORT, Spare
from device_agent.intake.sockets import InputSocket

_EVENTS: Final = int(
    zmq.EVENT_LISTENING | zmq.EVENT_ACCEPTED | zmq.EVENT_ACCEPT_FAILED | zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED
)  # fmt: skip
_HEADER: Final = struct.Struct("=Hi")  # event, file descriptor of the connection or errno (zmq_socket_monitor(3))


class Connections:
    """The peers of one input; belongs to the receiver's thread."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], watched: InputSocket, *, spare: Spare) -> None:
        """Watch a socket from its first bind on; `spare` is the receiver's."""
        self._watched, self._spare = watched, spare
        #: Connections at most: `max_connections`, or the input's part of the file descriptors.
        self.limit = watched.config.max_connections
        self.listeners: set[int] = set()  # file descriptors of bound endpoints
        self.starved = False  # whether an accept failed for want of a descriptor since somebody last looked
        self._accepted: set[int] = set()  # file descriptors
        self._connected: set[int] = set()
        self._crowded = False
        address = f"inproc://monitor-{id(self)}"
        watched.zmq.monitor(address, _EVENTS)
        self.events: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        self.events.setsockopt(zmq.RCVHWM, 0)  # at a mark, libzmq's own thread would wait for us
        self.events.setsockopt(zmq.LINGER, 0)
        self.events.connect(address)

    @property
    def peers(self) -> int:
        """Connections that exist."""
        return len(self._accepted) + len(self._connected)

    def update(self) -> None:
        """Take in what happened, and cut what is too much."""
        while True:
            try:
                header = self.events.recv(zmq.NOBLOCK)
                endpoint = self.events.recv(zmq.NOBLOCK).decode(errors="replace")
            except zmq.Again:
                return
            event, descriptor = _HEADER.unpack(header)
            if event == zmq.EVENT_ACCEPTED:
                self._accept(descriptor)
            elif event == zmq.EVENT_LISTENING:
                self.listeners.add(descriptor)
            elif event == zmq.EVENT_ACCEPT_FAILED:
                self.starved = self.starved or descriptor in SHORT
            elif event == zmq.EVENT_CONNECTED:
                self._connected.add(descriptor)
                self._watched.dialer.connected(endpoint)
            else:
                if descriptor in self._connected:
                    self._watched.dialer.disconnected(endpoint)
                self._accepted.discard(descriptor)
                self._connected.discard(descriptor)
                self._crowded = self._crowded and len(self._accepted) >= self.limit

    def _accept(self, descriptor: int) -> None:
        self._accepted.add(descriptor)
        if len(self._accepted) <= self.limit:
            return
        if not self._crowded:
            events.input_crowded(input=self._watched.config.name, limit=self.limit)
        self._crowded = True
        with suppress(OSError):  # it has closed meanwhile: so much the better
            self._cut(descriptor)

    def _cut(self, descriptor: int) -> None:
        """Shut a connection of libzmq's down; libzmq sees its end, and closes it.

        Its number may belong to something else by now: what is not on one of our endpoints is left alone. What is, is as new, has not
        passed our handshake either, and comes again.
        """
        with self._spare.copy(descriptor) as copy:
            connection = socket.socket(fileno=copy)  # raises OSError if it is no socket
            try:
                name = connection.getsockname()
                place = f":{name[1]}" if isinstance(name, tuple) else f"ipc://{name}"
                if any(endpoint.endswith(place) for endpoint in self._watched.endpoints):
                    connection.shutdown(socket.SHUT_RDWR)
            finally:
                connection.detach()

    def close(self) -> None:
        """Stop watching."""
        self._watched.zmq.disable_monitor()
        self.events.close()
