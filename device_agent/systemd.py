"""Talk to systemd: readiness, stopping, watchdog. The protocol of sd_notify(3): datagrams to the socket that `NOTIFY_SOCKET` names.

Without systemd there is no such socket, and every call does nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends states to the service manager, if there is one."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        #: Seconds between watchdog pings, half of what systemd allows (sd_watchdog_enabled(3)); None: no watchdog.
        self.watchdog: float | None = None
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()) and environ.get("WATCHDOG_USEC", "").isdigit():
            self.watchdog = int(environ["WATCHDOG_USEC"]) / 2_000_000

    def __call__(self, *states: str) -> None:
        """Send states such as `READY=1`. A service manager that does not listen must not stop the agent: its failure is ignored."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            try:
                notify.sendto("\n".join(states).encode(), self._address)
            except OSError:
                return  # as sd_notify(3) recommends: the unit's start timeout speaks for itself
