"""Message Endpoint: makes the ZeroMQ socket of an input, with every option it needs, and binds and connects it.

Promises: after `open` all endpoints are bound, or a `ConfigError` says which input, which endpoint and what to do, and nothing is left
open. Options and their sources: zmq_setsockopt(3).
"""

from __future__ import annotations

import errno
from contextlib import nullcontext, suppress
from pathlib import Path
from socket import AF_INET6, SOCK_STREAM, getaddrinfo
from typing import Final

import zmq

from device_agent.config import InputConfig, Pattern
from device_agent.errors import ConfigError
from device_agent.intake import curve, ipc
from device_agent.intake.dialing import Dialer, by_family, named
from device_agent.wire.limits import MAX_READING

_TYPES: Final = {Pattern.PULL: zmq.PULL, Pattern.SUB: zmq.SUB, Pattern.REP: zmq.ROUTER, Pattern.ROUTER: zmq.ROUTER}
#: A larger frame makes libzmq disconnect the peer instead of letting us answer, so there is room above what we take.
MAX_MESSAGE_SIZE: Final = 4 * MAX_READING
_MULTICAST: Final = {"epgm": "pgm", "pgm": "pgm", "norm": "norm"}  # transport -> capability of libzmq
_REPLIES_AHEAD: Final = 1000  # answers that ZeroMQ may hold a peer
_LAST_ANSWERS: Final = 1000  # milliseconds that answers have to leave after a close

_OPTIONS: Final[dict[int, int]] = {
    zmq.MAXMSGSIZE: MAX_MESSAGE_SIZE,
    zmq.HANDSHAKE_IVL: 10_000,  # ms; a connection that says nothing is closed
    zmq.BACKLOG: 128,
    zmq.TCP_KEEPALIVE: 1,  # a peer whose board lost power sends no FIN, and a NAT that forgot a connection says nothing
    zmq.TCP_KEEPALIVE_IDLE: 30,  # s; with the next two a peer that is gone is noticed within a minute
    zmq.TCP_KEEPALIVE_INTVL: 10,  # s
    zmq.TCP_KEEPALIVE_CNT: 3,
    zmq.RECONNECT_IVL: 100,  # ms; with the maximum below: exponential, since poor links do not come back sooner when asked often
    zmq.RECONNECT_IVL_MAX: 10_000,
}


class InputSocket:
    """The socket of one input with all that belongs to it; belongs to one thread."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], config: InputConfig, *, zap_domain: bytes) -> None:
        """Make the socket and set its options; nothing is bound yet.

        Raises:
            ConfigError: its keys cannot be used.
        """
        self.config = config
        self.domain = zap_domain
        #: Public keys (Z85) of the peers that may connect; None: nobody is asked for one.
        self.allowed = _allowed(config)
        self._keys = _keys(config)
        self._locks: list[ipc.Lock] = []
        self._bound: dict[str, str] = {}  # endpoint of the configuration -> as it was bound
        self.zmq: zmq.Socket[bytes] = context.socket(_TYPES[config.pattern])
        self.dialer = Dialer(self.zmq, name=config.name)
        try:
            self._set_options(zap_domain)
        except BaseException:
            self.zmq.close(0)
            raise

    def _set_options(self, zap_domain: bytes) -> None:
        config, socket = self.config, self.zmq
        for option, value in _OPTIONS.items():
            socket.setsockopt(option, value)
        socket.setsockopt(zmq.RCVHWM, config.high_water_mark)
        socket.setsockopt(zmq.LINGER, 0)
        if config.pattern.acknowledges:
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an error instead of a dropped answer
            socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a peer that comes back with its identity is heard
            socket.setsockopt(zmq.SNDHWM, _REPLIES_AHEAD)
            socket.setsockopt(zmq.LINGER, _LAST_ANSWERS)
        if config.pattern is Pattern.SUB:
            for prefix in config.subscribe:
                socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        self._encrypt(zap_domain)

    def _encrypt(self, zap_domain: bytes) -> None:
        config, (secret, server) = self.config, self._keys
        if config.greets:  # only then: with a ZAP domain libzmq turns away ZMTP 1.0 and 2.0 without a word
            self.zmq.setsockopt(zmq.ZAP_DOMAIN, zap_domain)
        if config.authenticates:
            self.zmq.setsockopt(zmq.CURVE_SERVER, 1)
            self.zmq.setsockopt(zmq.CURVE_SECRETKEY, secret)
        elif config.curve is not None:
            secret = secret or zmq.curve_keypair()[1]
            self.zmq.setsockopt(zmq.CURVE_SERVERKEY, server)
            self.zmq.setsockopt(zmq.CURVE_PUBLICKEY, zmq.curve_public(secret))
            self.zmq.setsockopt(zmq.CURVE_SECRETKEY, secret)

    def serves(self, config: InputConfig) -> bool:
        """Tell whether a socket for `config` would be as this one is, so that it can stay open.

        Keys that were added need no new socket; one that was taken away does: its peer may be connected.

        Raises:
            ConfigError: the key files of `config` cannot be used.
        """
        if _fixed(config) != _fixed(self.config) or (config.curve is None) is not (self.config.curve is None):
            return False
        allowed = _allowed(config)
        return _keys(config) == self._keys and (self.allowed is None or allowed is None or self.allowed <= allowed)

    @property
    def outdated(self) -> bool:
        """Whether keys were added to its files since they were read. Raises ConfigError."""
        return _allowed(self.config) != self.allowed

    def become(self, config: InputConfig) -> None:
        """Go on for a configuration that it serves."""
        self.config, self.allowed = config, _allowed(config)

    def open(self) -> None:
        """Bind and connect everything.

        Raises:
            ConfigError: an endpoint cannot be used.
        """
        try:
            for endpoint in self.config.bind:
                path = ipc.path_of(endpoint)
                if path is not None:
                    self._locks.append(ipc.Lock(path))
                self._bind(endpoint)
            for endpoint in self.config.connect:
                self.dialer.connect(endpoint)
        except ConfigError as error:
            raise self._unusable("bind", endpoint, str(error)) from error
        except OSError as error:  # there was no descriptor to look at an ipc path with
            raise self._unusable("bind", endpoint, error.strerror or str(error)) from error
        except zmq.ZMQError as error:
            raise self._unusable("bind" if endpoint in self.config.bind else "connect", endpoint, advice(endpoint, error)) from error

    def _unusable(self, key: str, endpoint: str, reason: str) -> ConfigError:
        verb = {"bind": "bind", "connect": "connect to"}[key]
        return ConfigError(f"input {self.config.name}: cannot {verb} {endpoint}: {reason}", key=("input", self.config.name, key))

    def _bind(self, endpoint: str) -> None:
        with ipc.group_only() if ipc.path_of(endpoint) else nullcontext(), by_family(self.zmq, ipv6=_binds_ipv6(endpoint)):
            self.zmq.bind(endpoint)
        self._bound[endpoint] = self.zmq.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def cut(self) -> None:
        """Unbind and disconnect: what ZeroMQ has received can still be read, nothing more comes.

        For the very end: libzmq closes the connections of a listener with it, and what is on its way in them is lost.
        """
        for where in self._bound.values():
            with suppress(zmq.ZMQError):  # multicast has nothing to unbind
                self.zmq.unbind(where)

    @property
    def bound(self) -> list[str]:
        """Endpoints as they were bound; multicast, which many may bind, left out."""
        return [where for where in self._bound.values() if where.partition("://")[0] not in _MULTICAST]

    @property
    def endpoints(self) -> list[str]:
        """Endpoints as they were bound (a wildcard port is a number now), then those connected to."""
        return [*self._bound.values(), *self.config.connect]

    def close(self) -> None:
        """Close the socket, then let the ipc paths go. Answers on their way have a second to leave."""
        self.zmq.close()
        for lock in self._locks:
            lock.release()
        self._locks.clear()


def _fixed(config: InputConfig) -> tuple[object, ...]:
    """Return what a socket, its monitor and the answers on their way keep for life."""
    return (
        config.name, config.pattern, config.bind, config.connect, config.subscribe, config.message_id, config.high_water_mark,
        config.max_connections, config.skip_probes, config.old_peers,
    )  # fmt: skip


def _binds_ipv6(endpoint: str) -> bool:
    """Whether an endpoint is an IPv6 address, or a name that has only such. Asked for each by itself: kernels without IPv6 exist."""
    if not named(endpoint):
        return "[" in endpoint
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    try:
        found = {family for family, *_ in getaddrinfo(host, port if port.isdecimal() else None, type=SOCK_STREAM)}
    except OSError:
        return False  # an interface, such as eth0; or libzmq says what is wrong
    return found == {AF_INET6}


def _keys(config: InputConfig) -> tuple[bytes, bytes]:
    """Return the input's secret key and the server's public one; empty where the configuration has none."""
    if config.curve is None:
        return b"", b""
    secret = curve.secret_key(Path(config.curve.secret_key))[1] if config.curve.secret_key else b""
    return secret, curve.server_key(config.curve.server_key) if config.curve.server_key else b""


def _allowed(config: InputConfig) -> frozenset[str] | None:
    return curve.allowed_keys(config.curve.allow) if config.curve is not None and config.authenticates else None


def unsupported(endpoint: str) -> str:
    """Return why this libzmq cannot speak the transport, and what to do; empty if it can."""
    transport = endpoint.partition("://")[0]
    capability = _MULTICAST.get(transport)
    if capability is None or zmq.has(capability):
        return ""
    return (
        f"this libzmq ({zmq.zmq_version()}) was built without {transport}; Debian's python3-zmq has it, PyPI's wheels do not: "
        "run the agent with Debian's packages, or use tcp or ipc"
    )


def advice(endpoint: str, error: zmq.ZMQError) -> str:
    """Return what an error of bind or connect means at this endpoint, and what to do."""
    number = error.errno
    if number == errno.EADDRINUSE:
        port = endpoint.rpartition(":")[2]
        look = f" (`ss -ltnp 'sport = :{port}'` shows which)" if endpoint.startswith("tcp://") else ""
        return f"another program has it{look}; stop that one or choose another endpoint"
    if number == errno.EACCES:
        return "not permitted for this user; choose a port above 1023 or a directory of the agent's own"
    if number in {errno.EADDRNOTAVAIL, errno.ENODEV}:
        return "this machine has no such address or interface (`ip address` shows what it has); correct the endpoint"
    if number == errno.EPROTONOSUPPORT:
        return unsupported(endpoint) or "this libzmq does not know the transport; use tcp or ipc"
    return f"{error.strerror}; correct the endpoint"
