"""`[[input]]` with `kind = "coap"`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from device_agent.config.setting import setting
from device_agent.config.sources.base import Mistake, SourceConfig
from device_agent.config.sources.listen import is_loopback, split
from device_agent.wire.limits import MAX_LABEL


@dataclass(frozen=True, slots=True, kw_only=True)
class CoapConfig(SourceConfig):
    """`[[input]]` with `kind = "coap"`: a server for `POST /v1/readings/<topic>`, and a client that observes resources of others."""

    listen: str = setting(
        "Address and port (UDP); empty: no server. Beyond loopback a token is required, and goes over the network in clear.",
        default="127.0.0.1:5683",
    )
    token_file: str = setting(
        "Path of a file with the token that clients send as `?token=...`; must be readable by the agent alone (0600).",
        secret=True,
        default="",
    )
    max_transfers: int = setting(
        "Block-wise requests at most that are put together at once; bounds memory: this x max_reading.", bounds=(1, 1000), default=16
    )
    observe: tuple[str, ...] = setting("Resources of others to observe, coap:// URLs; each notification is a reading.", default=())

    SOURCE: ClassVar[str] = "device_agent.sources.coap:Coap"
    NEEDS: ClassVar[str] = "aiocoap 0.4.7 or newer: pip install 'device-agent[coap]' (Debian 12 has no package of it)"
    TOPIC: ClassVar[str] = "the path"

    @property
    def place(self) -> str:
        """See `SourceConfig`."""
        return f"listen {self.listen}" if self.listen else f"connect {','.join(self.observe)}"

    @property
    def binds(self) -> tuple[tuple[str, str], ...]:
        """See `SourceConfig`."""
        return ((f"udp://{self.listen}", "listen"),) if self.listen else ()

    @property
    def insists(self) -> bool:
        """See `SourceConfig`: the client is told, and decides."""
        return False

    @property
    def authenticates(self) -> bool:
        """See `SourceConfig`."""
        return bool(self.token_file)

    def mistakes(self) -> Iterator[Mistake]:
        """See `SourceConfig`."""
        yield from self._listen()
        for at, url in enumerate(self.observe):
            problem = f"{url!r} is given twice" if url in self.observe[:at] else _wrong(url)
            if problem:
                yield ("observe", at), problem

    def _listen(self) -> Iterator[Mistake]:
        host = split(self.listen)[0]
        if not self.listen and not self.observe:
            yield "listen", "is empty, and so is observe: there is nothing to receive"
        elif not self.listen and self.token_file:
            yield "token_file", "is for clients of listen, which is empty"
        elif self.listen and not host:
            yield "listen", f"{self.listen!r} is not an address and a port, 127.0.0.1:5683 or [::1]:5683"
        elif self.listen and not is_loopback(host) and not self.token_file:
            yield "listen", f"anybody on the network could send to {host}: set token_file, or listen on 127.0.0.1"


def topic_of(url: str) -> str:
    """Return the topic of an observed resource: host, port if there is one, and path."""
    parts = urlsplit(url)
    return parts.netloc + parts.path.rstrip("/")


def _wrong(url: str) -> str:
    wrong = f"{url!r} is not a resource, coap://10.0.0.5/sensors/light"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return wrong
    if parts.scheme == "coaps":
        return "must begin with coap://; CoAP over DTLS is not supported"
    if parts.scheme != "coap" or not parts.hostname or "@" in parts.netloc or parts.fragment or port == 0:
        return wrong
    if len(topic_of(url).encode()) > MAX_LABEL:
        return f"its host and path are its topic, and longer than {MAX_LABEL} bytes"
    return ""
