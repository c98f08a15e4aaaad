"""Dialing: connects an input to its endpoints; to a host's name by IPv4 and by IPv6 in turns, until one of them answers.

Why: libzmq looks a name up in one family only (ZMQ_IPV6, zmq_setsockopt(3)), takes the first address, and never tries the other family.
Both at once would not do: of a publisher that has both, a SUB would get everything twice.

Promises: an endpoint has one connection at a time; the family is changed only while it has none and nothing of it is left to be read, since
`disconnect` throws away what was received. libzmq looks the name up again at each try, so a name that moves is followed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import zmq

from device_agent import events

#: Seconds that a family is tried, at first and at most; libzmq tries several times meanwhile (ZMQ_RECONNECT_IVL).
_FIRST_TURN: Final = 3.0
_LONGEST_TURN: Final = 60.0


@dataclass(slots=True)
class _Dial:
    """One endpoint with a name."""

    endpoint: str
    ipv6: bool = False
    connected: bool = False
    turn: float = field(default_factory=lambda: _FIRST_TURN)
    until: float | None = None  # monotonic: when it is the other family's turn
    told: bool = False


class Dialer:
    """Connections that one socket makes; belongs to the receiver's thread."""

    def __init__(self, socket: zmq.Socket[bytes], *, name: str) -> None:
        """Connect with `socket`; `name` is the input's."""
        self._socket, self._name = socket, name
        self._dials: dict[str, _Dial] = {}

    def connect(self, endpoint: str) -> None:
        """Connect for good. Raises zmq.ZMQError."""
        dial = _Dial(endpoint)
        if named(endpoint):
            self._dials[endpoint] = dial
        else:
            dial.ipv6 = "[" in endpoint
        self._dial(dial)

    def _dial(self, dial: _Dial) -> None:
        with by_family(self._socket, ipv6=dial.ipv6):
            self._socket.connect(dial.endpoint)

    def connected(self, endpoint: str) -> None:
        """Somebody answers there."""
        dial = self._dials.get(endpoint)
        if dial is not None:
            dial.connected, dial.turn, dial.until, dial.told = True, _FIRST_TURN, None, False

    def disconnected(self, endpoint: str) -> None:
        """The connection is gone."""
        dial = self._dials.get(endpoint)
        if dial is not None:
            dial.connected = False

    @property
    def waits(self) -> bool:
        """Whether some name has not answered."""
        return any(not dial.connected for dial in self._dials.values())

    def retry(self, now: float) -> None:
        """Change the family where its turn is over."""
        for dial in self._dials.values():
            if dial.connected:
                continue
            if dial.until is None:
                dial.until = now + dial.turn
            elif now >= dial.until and not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                self._change(dial, now)

    def _change(self, dial: _Dial, now: float) -> None:
        with suppress(zmq.ZMQError):  # libzmq has given it up already
            self._socket.disconnect(dial.endpoint)
        dial.ipv6 = not dial.ipv6
        dial.turn = min(_LONGEST_TURN, 2 * dial.turn)
        dial.until = now + dial.turn
        if not dial.told:
            dial.told = True
            events.input_dials(input=self._name, endpoint=dial.endpoint)
        self._dial(dial)

    def status(self) -> dict[str, str]:
        """Return, by endpoint with a name, whether it is connected and by what, or what is tried."""
        return {
            dial.endpoint: f"{'connected by' if dial.connected else 'trying'} {'IPv6' if dial.ipv6 else 'IPv4'}"
            for dial in self._dials.values()
        }


@contextmanager
def by_family(socket: zmq.Socket[bytes], *, ipv6: bool) -> Iterator[None]:
    """While entered, what the socket binds and connects is looked up as IPv6 or as IPv4: libzmq copies its options with each endpoint."""
    socket.setsockopt(zmq.IPV6, int(ipv6))
    try:
        yield
    finally:
        socket.setsockopt(zmq.IPV6, 0)


def named(endpoint: str) -> bool:
    """Whether a tcp endpoint has a host's name in it, and no address."""
    transport, _, address = endpoint.partition("://")
    host = address.rpartition(";")[2].rpartition(":")[0]
    if transport != "tcp" or host.startswith("[") or host in {"", "*"}:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False
