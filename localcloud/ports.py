"""Ports of loopback that nobody has now. Another program may take one before it is bound: whoever starts a server tries again."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Return `count` different ports."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()
