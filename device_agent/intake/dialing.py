"""Dialing: connects an input to its endpoints, and again where libzmq has given up; to a host's name by IPv4 and by IPv6 in turns.

Why: libzmq looks a name up in one family only (ZMQ_IPV6, zmq_setsockopt(3)), takes the first address, and never tries the other family.
Both at once would not do: of a publisher that has both, a SUB would get everything twice. And after an error of the protocol (a handshake
that does not fit, a denied key, a frame that is too large) libzmq never tries that endpoint again, also not when the program was mended.

Promises: an endpoint has one connection at a time; it is dialed anew only while it has none and nothing of it is left to be read, since
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

#: Seconds before an endpoint is dialed anew, at first and at most; libzmq tries several times meanwhile (ZMQ_RECONNECT_IVL).
_FIRST_TURN: Final = 3.0
_LONGEST_TURN: Final = 12.0  # a program that comes back waits as long, if it is the other family's turn


@dataclass(slots=True)
class _Dial:
    """One endpoint."""

    endpoint: str
    named: bool
    ipv6: bool = False
    connected: bool = False
    address: str = ""  # of the other side, while it is connected
    given_up: bool = False  # by libzmq, as far as is known: it tells when it tries again
    turn: float = field(default_factory=lambda: _FIRST_TURN)
    until: float | None = None  # monotonic: when it is dialed anew
    told: bool = False

    @property
    def waits(self) -> bool:
        """Whether it is to be dialed anew if it does not come true by itself."""
        return not self.connected and (self.named or self.given_up)


class Dialer:
    """Connections that one socket makes; belongs to the receiver's thread."""

    def __init__(self, socket: zmq.Socket[bytes], *, name: str) -> None:
        """Connect with `socket`; `name` is the input's."""
        self._socket, self._name = socket, name
        self._dials: dict[str, _Dial] = {}

    def connect(self, endpoint: str) -> None:
        """Connect for good. Raises zmq.ZMQError."""
        dial = _Dial(endpoint, named(endpoint), ipv6="[" in endpoint)
        self._dial(dial)
        self._dials[endpoint] = dial

    def _dial(self, dial: _Dial) -> None:
        with by_family(self._socket, ipv6=dial.ipv6):
            self._socket.connect(dial.endpoint)

    def connected(self, endpoint: str, address: str) -> None:
        """Somebody answers there, at `address`; empty if it is gone again already."""
        dial = self._dials.get(endpoint)
        if dial is not None:
            dial.address = address
            dial.connected, dial.given_up, dial.turn, dial.until, dial.told = True, False, _FIRST_TURN, None, False

    def disconnected(self, endpoint: str) -> None:
        """The connection is gone."""
        dial = self._dials.get(endpoint)
        if dial is not None:
            dial.connected, dial.given_up = False, True

    def tried(self, endpoint: str) -> None:
        """Take note that libzmq tries by itself."""
        dial = self._dials.get(endpoint)
        if dial is not None:
            dial.given_up = False

    @property
    def waits(self) -> bool:
        """Whether some endpoint is to be dialed anew."""
        return any(dial.waits for dial in self._dials.values())

    def retry(self, now: float) -> None:
        """Dial anew where it is due."""
        for dial in self._dials.values():
            if not dial.waits:
                dial.until = None
            elif dial.until is None:
                dial.until = now + dial.turn
            elif now >= dial.until and not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                self._anew(dial, now)

    def _anew(self, dial: _Dial, now: float) -> None:
        with suppress(zmq.ZMQError):  # libzmq has given it up already
            self._socket.disconnect(dial.endpoint)
        dial.turn = min(_LONGEST_TURN, 2 * dial.turn)
        dial.until = now + dial.turn
        if dial.named:
            dial.ipv6 = not dial.ipv6
            if not dial.told:
                dial.told = True
                events.input_dials(input=self._name, endpoint=dial.endpoint)
        self._dial(dial)

    def status(self) -> dict[str, str]:
        """Return, by endpoint with a name, whether it is connected and by what, or what is tried.

        What is connected is told by its address: where a name has IPv4 addresses only, libzmq takes those in the turn of IPv6 too.
        """
        return {
            dial.endpoint: f"connected by {family(dial.address)}" if dial.connected else f"trying {'IPv6' if dial.ipv6 else 'IPv4'}"
            for dial in self._dials.values()
            if dial.named
        }


def family(address: str) -> str:
    """Return the family of a connection's other side, with its address; IPv4 in an IPv6 socket (`::ffff:`, RFC 4291) is IPv4."""
    bare = address.removeprefix("::ffff:")
    if not bare:
        return "an address that is gone"
    return f"{'IPv6' if ':' in bare else 'IPv4'} ({bare})"


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
