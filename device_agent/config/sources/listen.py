"""Addresses that a source listens on: `127.0.0.1:8580`, `[::1]:8580`."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


def split(listen: str) -> tuple[str, int]:
    """Return host and port; an empty host if it is no such address."""
    host, _, port = listen.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        return "", 0
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
