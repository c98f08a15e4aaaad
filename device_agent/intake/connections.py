"""Connection count of one input, from libzmq's socket monitor; keeps it at `max_connections`.

Promises: at the limit the socket stops listening, so the kernel turns further peers away before they cost anything, and they try again
by themselves; below it the socket listens again. The limit is exact but for those that the kernel accepted in the same instant.
Connections that were made are never cut: PUSH peers would lose what is on its way.
"""

from __future__ import annotations

import struct
from typing import Final

import zmq

from device_agent import events
from device_agent.intake.sockets import InputSocket

_EVENTS: Final = int(zmq.EVENT_ACCEPTED | zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
_HEADER: Final = struct.Struct("=hi")  # event, file descriptor of the connection (zmq_socket_monitor(3))


class Connections:
    """The peers of one input; belongs to the receiver's thread."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], socket: InputSocket) -> None:
        """Watch `socket` from its first bind on."""
        self._socket = socket
        self._limit = socket.config.max_connections
        self._accepted: set[int] = set()
        self._connected: set[int] = set()
        address = f"inproc://monitor-{id(self)}"
        socket.zmq.monitor(address, _EVENTS)
        self.events: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        self.events.setsockopt(zmq.RCVHWM, 0)  # libzmq's own thread would wait for us at a mark
        self.events.setsockopt(zmq.LINGER, 0)
        self.events.connect(address)

    @property
    def peers(self) -> int:
        """Connections that exist."""
        return len(self._accepted) + len(self._connected)

    @property
    def throttled(self) -> bool:
        """Whether the limit keeps the socket from listening."""
        return not self._socket.listening

    def update(self) -> None:
        """Take in what happened."""
        while True:
            try:
                header = self.events.recv(zmq.NOBLOCK)
                self.events.recv(zmq.NOBLOCK)  # the endpoint
            except zmq.Again:
                break
            event, descriptor = _HEADER.unpack(header)
            if event == zmq.EVENT_ACCEPTED:
                self._accepted.add(descriptor)
            elif event == zmq.EVENT_CONNECTED:
                self._connected.add(descriptor)
            else:
                self._accepted.discard(descriptor)
                self._connected.discard(descriptor)
        if len(self._accepted) >= self._limit and self._socket.listening:
            self._socket.stop_listening()
            events.input_crowded(input=self._socket.config.name, peers=len(self._accepted))

    def reconsider(self) -> None:
        """Listen again if there is room; called now and then while `throttled`."""
        if self.throttled and len(self._accepted) < self._limit:
            self._socket.listen_again()

    def close(self) -> None:
        """Stop watching."""
        self._socket.zmq.disable_monitor()
        self.events.close()
