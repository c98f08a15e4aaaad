"""Talk to systemd: readiness, stopping, watchdog. The protocol of sd_notify(3): datagrams to the socket that `NOTIFY_SOCKET` names.

Without systemd there is no such socket, and every call does nothing. The socket is made once, so that the watchdog is fed also when file
descriptors run out.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

_TIMEOUT = 1.0  # seconds; a service manager that does not read must not hold the main thread


class Notifier:
    """Sends states to the service manager, if there is one."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Look who is to be told; raises OSError."""
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(_TIMEOUT)
        #: Seconds between watchdog pings, half of what systemd allows (sd_watchdog_enabled(3)); None: no watchdog.
        self.watchdog: float | None = None
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()) and environ.get("WATCHDOG_USEC", "").isdigit():
            self.watchdog = int(environ["WATCHDOG_USEC"]) / 2_000_000

    def __call__(self, *states: str) -> None:
        """Send states such as `READY=1`. A service manager that does not listen must not stop the agent: its failure is ignored."""
        if self._socket is None:
            return
        with suppress(OSError):  # as sd_notify(3) recommends: the unit's start timeout speaks for itself
            self._socket.sendto("\n".join(states).encode(), self._address)

    def close(self) -> None:
        """Tell nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
