"""`[[input]]` with `kind = "http"`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from device_agent.config.setting import setting
from device_agent.config.sources.base import Key, Mistake, SourceConfig, pair
from device_agent.config.sources.listen import is_loopback, split


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig(SourceConfig):
    """`[[input]]` with `kind = "http"`: a server for `POST /v1/readings/<topic>`; the answer comes when the readings are on disk."""

    listen: str = setting("Address and port. Beyond loopback a token or the clients' certificates are required.", default="127.0.0.1:8580")
    token_file: str = setting(
        "Path of a file with the token that clients send as `Authorization: Bearer ...` (0600).", secret=True, default=""
    )
    certificate: str = setting("TLS: path of the server's certificate (PEM).", default="")
    private_key: str = setting("TLS: path of its private key (PEM); must be readable by the agent alone (0600).", secret=True, default="")
    client_ca: str = setting("TLS: path of the CA whose certificates clients must show; empty: they need none.", default="")
    max_connections: int = setting("Connections at most; further ones are not accepted.", bounds=(1, 10_000), default=100)

    SOURCE: ClassVar[str] = "device_agent.sources.http:Http"
    NEEDS: ClassVar[str] = "aiohttp 3.8 or newer: pip install 'device-agent[http]', or Debian: apt install python3-aiohttp"
    TOPIC: ClassVar[str] = "the path"

    @property
    def place(self) -> str:
        """See `SourceConfig`."""
        return f"listen {self.listen}"

    @property
    def encrypted(self) -> str:
        """See `SourceConfig`."""
        return "TLS" if self.certificate else "no"

    @property
    def binds(self) -> tuple[tuple[str, Key], ...]:
        """See `SourceConfig`."""
        return ((f"tcp://{self.listen}", "listen"),)

    @property
    def insists(self) -> bool:
        """See `SourceConfig`: the client is told, and decides."""
        return False

    @property
    def authenticates(self) -> bool:
        """See `SourceConfig`."""
        return bool(self.token_file or self.client_ca)

    def mistakes(self) -> Iterator[Mistake]:
        """See `SourceConfig`."""
        yield from pair(self.certificate, self.private_key)
        host = split(self.listen)[0]
        if not host:
            yield "listen", f"{self.listen!r} is not an address and a port, 127.0.0.1:8580 or [::1]:8580"
            return
        if self.client_ca and not self.certificate:
            yield "certificate", "missing; client_ca is given, and only TLS has certificates"
        if not is_loopback(host) and not self.token_file and not self.client_ca:
            yield "listen", f"anybody on the network could send to {host}: set token_file or client_ca, or listen on 127.0.0.1"
