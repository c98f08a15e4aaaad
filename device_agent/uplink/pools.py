"""Pools: connections to AWS that are noticed when a NAT, a firewall or a modem's carrier has forgotten them.

A middlebox that forgot a connection drops its packets in silence, and the next request waits for `read_timeout`. So
- an idle connection is probed before most middleboxes forget it, which also keeps it known to them (`OPTIONS`);
- one that idled for `TRUSTED` seconds gets no request any more, also if the board slept meanwhile: a new one is made; the same after a
  request failed, since the other idle ones went the same way;
- data that nobody acknowledges ends the connection after `UNACKNOWLEDGED` seconds.

Figures that these stand against: NAT gateways of AWS forget after 350 s, of Azure after 4 min (their documentation); home routers after
239 s and more (Hätönen et al., IMC 2010); some carriers of mobile networks after less than 5 min (Wang et al., SIGCOMM 2011); and
carrier-grade NATs, by reports of their users, after 30 to 60 s.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Final

from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool

#: Seconds that a connection may idle and still be used.
TRUSTED: Final = 45.0
#: Seconds that sent data, or a probe, may stay unacknowledged (tcp(7), TCP_USER_TIMEOUT): enough for a modem that changes its cell.
UNACKNOWLEDGED: Final = 20
_PROBED: Final = 25  # seconds without traffic, then a probe ...
_AGAIN: Final = 5  # ... every so many seconds while there is no answer; UNACKNOWLEDGED decides when it is over
_PROBES: Final = 4  # what decides where the kernel does not know TCP_USER_TIMEOUT

#: No Nagle, as urllib3 has it by default; the rest is said above.
OPTIONS: Final = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBED),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _AGAIN),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED * 1000),
]


def now() -> float:
    """Seconds from an arbitrary start, those included in which the board slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Mistrust:
    """Beside a pool of urllib3: takes note of when a connection came back, and gives none out that idled too long."""

    _failed = float("-inf")  # when a request failed last: what was idle then went the same way

    def urlopen(self, *arguments: Any, **settings: Any) -> Any:
        """As the pool does; after a failure the connections that idle are not used any more."""
        try:
            return super().urlopen(*arguments, **settings)  # type: ignore[misc]  # the pool's
        except Exception:
            self._failed = now()
            raise

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = now()
        super()._put_conn(conn)  # type: ignore[misc]  # the pool's

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn = super()._get_conn(timeout)  # type: ignore[misc]  # the pool's
        since = getattr(conn, "idle_since", None)
        if since is None or (since > self._failed and now() - since < TRUSTED):
            return conn
        conn.close()
        return self._new_conn()  # type: ignore[attr-defined]  # the pool's


class _Plain(_Mistrust, AWSHTTPConnectionPool):
    pass


class _Encrypted(_Mistrust, AWSHTTPSConnectionPool):
    pass


#: What a botocore session makes its pools of, also those through a proxy.
BY_SCHEME: Final = {"http": _Plain, "https": _Encrypted}
