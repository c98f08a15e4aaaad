"""Listening: how sources that are servers get their address, and what they say when they cannot."""

from __future__ import annotations

import errno
import os
import socket

from device_agent.sources.port import NotNow, Taken


def bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a socket that has the address, and does not listen yet, so that nobody can connect. Raises OSError."""
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=kind, flags=socket.AI_PASSIVE)
    family, *_, address = found[0]
    bound = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        if kind is socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def split(listen: str) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:8580` or `[::1]:8580`."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def refused(where: str, error: OSError) -> NotNow:
    """Return what to say of an address that cannot be had."""
    number = error.errno or 0  # negative for a name that is not known
    words = os.strerror(number) if number > 0 else error.strerror  # asyncio puts more around it
    kind = Taken if error.errno == errno.EADDRINUSE else NotNow
    return kind(f"cannot listen on {where}: {words}; choose another address or port")
