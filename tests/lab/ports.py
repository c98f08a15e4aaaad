"""Ports for programs that a test stops and starts again: nobody else takes them meanwhile.

A port that is free now may be taken by any connection that goes out before it is bound, and by another test that runs beside this one. So
these lie below those that the kernel gives out by itself (ip_local_port_range of ip(7): from 32768 on), and each process has a block of
its own, also when several suites run on one machine. A block is claimed by the name of a socket, which goes with the process.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

_FIRST, _SIZE, _BLOCKS = 12_000, 600, 32


def _claim() -> tuple[socket.socket, Iterator[int]]:
    """Return the claim of a block, to be kept, and its ports in turns, for ever."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for block in range(_BLOCKS):
        try:
            claim.bind(f"\0device-agent-test-ports-{block}")
        except OSError:  # another process has it
            continue
        return claim, itertools.cycle(range(_FIRST + block * _SIZE, _FIRST + (block + 1) * _SIZE))
    raise RuntimeError(f"{_BLOCKS} processes test on this machine already")


_claimed, _ports = _claim()  # at the import: no test may leave something open


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
