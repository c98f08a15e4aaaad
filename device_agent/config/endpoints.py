"""Endpoints: the syntax of ZeroMQ addresses, checked before libzmq is asked, whose messages say only `Invalid argument`.

Sources: zmq_tcp(7), zmq_ipc(7), zmq_pgm(7), zmq_norm(7), zmq_inproc(7); the length of a path: sun_path in unix(7).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_TRANSPORTS: Final = ("tcp", "ipc", "epgm", "norm", "inproc")
_MULTICAST: Final = {"epgm", "norm"}
_IPC_MAX: Final = 107  # sun_path has 108 bytes with the final 0
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]{0,252}[A-Za-z0-9])?\.?", re.ASCII)
_EXAMPLE: Final = "tcp://127.0.0.1:5555 or ipc:///run/device-agent/sensors"


def check(endpoint: str, *, bind: bool) -> None:
    """Raise ValueError, with what to do, unless libzmq could bind or connect to `endpoint`."""
    transport, separator, address = endpoint.partition("://")
    if not separator:
        raise ValueError(f"{endpoint!r} has no transport; write {_EXAMPLE}")
    if transport not in _TRANSPORTS:
        raise ValueError(f"{endpoint!r}: transport must be one of {', '.join(_TRANSPORTS)}")
    if not address or any(character.isspace() for character in endpoint):
        raise ValueError(f"{endpoint!r} has {'a blank in it' if address else 'no address'}; write {_EXAMPLE}")
    if transport == "tcp":
        _tcp(endpoint, address, bind=bind)
    elif transport == "ipc":
        _ipc(endpoint, address)
    elif transport in _MULTICAST:
        _tcp(endpoint, address.rpartition(";")[2], bind=False)


def _tcp(endpoint: str, address: str, *, bind: bool) -> None:
    if not bind and ";" in address:  # source;destination
        source, _, address = address.partition(";")
        _tcp(endpoint, source, bind=True)
    host, colon, port = address.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{endpoint!r} has no port; write {_EXAMPLE}")
    if port != "*" or not bind:
        _port(endpoint, port)
    if host.startswith("[") or host.endswith("]"):
        _ipv6(endpoint, host)
    elif ":" in host and not re.fullmatch(r"[A-Za-z0-9_.-]+:[0-9]+", host):  # eth0:1 is an interface's alias
        raise ValueError(f"{endpoint!r}: an IPv6 address needs brackets, tcp://[::1]:5555")
    elif host == "*":
        if not bind:
            raise ValueError(f"{endpoint!r}: '*' is only for bind; name the host to connect to")
    elif not _HOST.fullmatch(host):
        raise ValueError(f"{endpoint!r}: {host!r} is not a host, an address or an interface")


def _port(endpoint: str, port: str) -> None:
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{endpoint!r}: the port must be a number from 1 to 65535")


def _ipv6(endpoint: str, host: str) -> None:
    try:
        ipaddress.IPv6Address(host[1:-1] if host.startswith("[") and host.endswith("]") else "")
    except ValueError:
        raise ValueError(f"{endpoint!r}: {host} is not an IPv6 address in brackets") from None


def _ipc(endpoint: str, address: str) -> None:
    if not address.startswith("/"):
        raise ValueError(f"{endpoint!r}: an ipc endpoint needs an absolute path, ipc:///run/device-agent/sensors")
    if len(address.encode()) > _IPC_MAX:
        raise ValueError(f"{endpoint!r}: the path is longer than {_IPC_MAX} bytes, more than Linux takes for a socket")


def multicast(endpoint: str) -> bool:
    """Tell whether the transport is one that only SUB knows."""
    return endpoint.partition("://")[0] in _MULTICAST


def collide(one: str, other: str) -> bool:
    """Tell whether two checked endpoints cannot both be bound: the same, or the same TCP port with one of them on all interfaces."""
    if one == other:
        return not one.endswith(":*")
    if not (one.startswith("tcp://") and other.startswith("tcp://")):
        return False
    (host, _, port), (other_host, _, other_port) = one[6:].rpartition(":"), other[6:].rpartition(":")
    everywhere = {"*", "0.0.0.0", "[::]"}  # noqa: S104  # compared, not bound
    return port == other_port != "*" and (host == other_host or bool({host, other_host} & everywhere))
