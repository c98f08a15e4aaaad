"""Small helpers of the uplink's tests."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from device_agent.config import StreamConfig, UplinkConfig
from device_agent.ports import Batch
from device_agent.uplink.http import Http
from device_agent.wire import envelope
from device_agent.wire.block import Payload, Run
from device_agent.wire.envelope import Envelope, Notice
from tests.fakes.spool import FakeSpool

#: Back-off and timeouts for tests.
FAST = UplinkConfig(senders=3, connect_timeout=2.0, read_timeout=0.5, backoff_first=0.01, backoff_cap=0.05)
TIME = 1_790_000_000_000_000


def put(spool: FakeSpool, stream: str, *payloads: Payload) -> None:
    """One batch, which the fake spool makes one envelope (or several)."""
    spool.put(Batch(stream, Run(TIME, True, list(payloads)), sum(map(len, payloads))))


def stream(queue: str, name: str | None = None, **settings: object) -> StreamConfig:
    """A stream named like its queue."""
    return StreamConfig(name=name or queue.rpartition("/")[2].removesuffix(".fifo"), queue=queue, **settings)  # type: ignore[arg-type]


def envelopes(bodies: list[str]) -> list[Envelope | Notice]:
    """Decoded bodies."""
    return [envelope.decode(body) for body in bodies]


def payloads(bodies: list[str]) -> list[Payload]:
    """Payloads of all readings in bodies, in order."""
    return [payload for one in envelopes(bodies) if isinstance(one, Envelope) for payload in one.readings.payloads]


def idle_pools(http: Http) -> list[Any]:
    """Its pools of connections, urllib3's."""
    found = []
    for session in http._sessions.values():
        for manager in (session._manager, *session._proxy_managers.values()):  # type: ignore[attr-defined]
            found += [manager.pools[key] for key in manager.pools.keys()]  # noqa: SIM118  # it is no mapping
    return found


def live_sockets(http: Http) -> list[socket.socket]:
    """Sockets that wait in its pools; at least one."""
    found = [one.sock for pool in idle_pools(http) for one in pool.pool.queue if one is not None and one.sock is not None]
    assert found
    return found


def assert_probed(sockets: Sequence[socket.socket], *, unacknowledged: bool = False) -> None:
    """The kernel probes the connections when they are idle, within a minute, and gives up in time."""
    for one in sockets:
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert 0 < one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 60
        again = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) * one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
        assert 0 < again <= 30
        assert not unacknowledged or 0 < one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) < 30_000
