"""Ports for programs that a test stops and starts again: nobody else takes them meanwhile.

A port that is free now may be taken by any connection that goes out before it is bound, and by another test that runs beside this one. So
these lie below those that the kernel gives out by itself (ip_local_port_range of ip(7): from 32768 on), and each of pytest's workers has
its own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

_FIRST, _A_WORKER, _WORKERS = 12_000, 1_200, 16


def _mine() -> Iterator[int]:
    """Yield the ports of this worker in turns, for ever."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    while True:
        yield from range(_FIRST + worker * _A_WORKER, _FIRST + (worker + 1) * _A_WORKER)


_ports = _mine()


def own_ports(count: int) -> list[int]:
    """Return `count` different ports that nobody has."""
    found: list[int] = []
    while len(found) < count:
        port = next(_ports)
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as libzmq does
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found
