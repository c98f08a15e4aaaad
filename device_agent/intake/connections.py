"""Connection count of one input, from libzmq's socket monitor; `acceptor` keeps it at `max_connections` by it."""

from __future__ import annotations

import socket
import struct
from itertools import count
from typing import Final

import zmq

from device_agent import events
from device_agent.clock import Clock
from device_agent.descriptors import SHORT
from device_agent.intake.handshakes import FAILED, Handshakes
from device_agent.intake.sockets import InputSocket
from device_agent.metrics import InputMetrics
from device_agent.seldom import Seldom

_EVENTS: Final = FAILED | int(
    zmq.EVENT_LISTENING | zmq.EVENT_ACCEPTED | zmq.EVENT_ACCEPT_FAILED | zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_DELAYED | zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_HANDSHAKE_SUCCEEDED
)  # fmt: skip
_HEADER: Final = struct.Struct("=Hi")  # event, file descriptor of the connection or errno (zmq_socket_monitor(3))
_numbers: Final = count()  # of monitors: libzmq gives the address of a closed one up a moment later
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: process, user, group (unix(7))


class Connections:
    """The peers of one input; belongs to the receiver's thread."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], watched: InputSocket, *, metrics: InputMetrics, clock: Clock) -> None:
        """Watch a socket from its first bind on."""
        self._watched = watched
        self.handshakes = Handshakes(lambda: watched.config, metrics=metrics, clock=clock)
        self._seldom = Seldom(clock.monotonic)
        #: Connections at most: `max_connections`, or the input's part of the file descriptors.
        self.limit = watched.config.max_connections
        self.listeners: set[int] = set()  # file descriptors of bound endpoints
        self.starved = False  # whether an accept failed for want of a descriptor since somebody last looked
        self.accepting = False  # whether libzmq was let accept one, and has not told yet what became of it
        self._accepted: set[int] = set()  # file descriptors
        self._connected: set[int] = set()
        self._turned_away = False
        address = f"inproc://monitor-{next(_numbers)}"
        watched.zmq.monitor(address, _EVENTS)
        self.events: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        self.events.setsockopt(zmq.RCVHWM, 0)  # at a mark, libzmq's own thread would wait for us
        self.events.setsockopt(zmq.LINGER, 0)
        self.events.connect(address)

    @property
    def peers(self) -> int:
        """Connections that exist."""
        return len(self._accepted) + len(self._connected)

    @property
    def has_room(self) -> bool:
        """Whether one more may come in."""
        return len(self._accepted) < self.limit

    @property
    def crowded(self) -> bool:
        """Whether somebody waits for want of room."""
        return self._turned_away and not self.has_room

    def turn_away(self) -> None:
        """Somebody wants in, and there is no room."""
        if self._seldom.due():
            events.input_crowded(input=self._watched.config.name, limit=self.limit)
        self._turned_away = True

    def update(self) -> None:
        """Take in what happened."""
        while True:
            try:
                header = self.events.recv(zmq.NOBLOCK)
                endpoint = self.events.recv(zmq.NOBLOCK).decode(errors="replace")
            except zmq.Again:
                return
            event, value = _HEADER.unpack(header)
            self._take(event, value, endpoint)

    def _take(self, event: int, value: int, endpoint: str) -> None:
        """Take in one event; `value` is the file descriptor of a connection, or what `zmq_socket_monitor(3)` says."""
        dialer = self._watched.dialer
        if event == zmq.EVENT_ACCEPTED:
            self.accepting = False
            self._accepted.add(value)
            self.handshakes.opened(value, peer_of(value))
        elif event == zmq.EVENT_ACCEPT_FAILED:
            self.accepting = False
            self.starved = self.starved or value in SHORT
        elif event == zmq.EVENT_LISTENING:
            self.listeners.add(value)
        elif event == zmq.EVENT_CONNECTED:
            self._connected.add(value)
            self.handshakes.opened(value, endpoint)
            dialer.connected(endpoint, peer_of(value))
        elif event in {zmq.EVENT_CONNECT_DELAYED, zmq.EVENT_CONNECT_RETRIED}:
            dialer.tried(endpoint)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.handshakes.succeeded()
        elif event & FAILED:
            self.handshakes.failed(event, value)
        else:
            self._left(value, endpoint)

    def _left(self, descriptor: int, endpoint: str) -> None:
        if descriptor in self._connected:
            self._watched.dialer.disconnected(endpoint)
        self.handshakes.closed(descriptor)
        self._accepted.discard(descriptor)
        self._connected.discard(descriptor)
        self._turned_away = self.crowded

    def close(self) -> None:
        """Stop watching."""
        self._watched.zmq.disable_monitor()
        self.events.close()


def peer_of(descriptor: int) -> str:
    """Return who is at the other end of a connection of libzmq's, for people: an address, or a process; empty if it has closed."""
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        return ""
    try:
        if connection.family == socket.AF_UNIX:
            process = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
            return f"process {process}"
        return str(connection.getpeername()[0])
    except OSError:
        return ""
    finally:
        connection.detach()  # it stays libzmq's
