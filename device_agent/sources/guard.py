"""Guard: bounds what a connection to a server of ours may cost, whoever is at its other end.

aiohttp waits for the head of a request for ever; so a connection that has no request under way is closed after `PATIENCE` seconds, bytes
or not ("slow loris").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: Seconds for the head of a request, for its body, and between the requests of a connection.
PATIENCE: Final = 15.0


class Guard(asyncio.Protocol):
    """Stands between asyncio and the protocol that serves one connection."""

    def __init__(self, inner: asyncio.Protocol, guards: dict[asyncio.Transport, Guard], changed: Callable[[], None]) -> None:
        """Guard `inner`; `guards` holds those of all connections, and `changed` is told when it has changed."""
        self._inner, self._guards, self._changed = inner, guards, changed
        self._transport: asyncio.Transport | None = None
        self._working = 0
        self._idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._guards[transport] = self
        self._changed()
        self._idle_since = asyncio.get_running_loop().time()
        self._inner.connection_made(transport)
        self._watch()

    def _watch(self) -> None:
        """Close the connection if it has had nothing under way for long; else look again when that could be."""
        if self._transport is None or self._transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        since = loop.time() if self._working else self._idle_since
        if loop.time() - since >= PATIENCE:
            self._transport.abort()
        else:
            loop.call_at(since + PATIENCE, self._watch)

    @contextmanager
    def working(self) -> Iterator[None]:
        """While entered, a request of the connection is under way."""
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            self._idle_since = asyncio.get_running_loop().time()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        if self._transport is None:
            return
        self._guards.pop(self._transport, None)
        self._transport = None
        self._changed()
        self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """See asyncio."""
        return self._inner.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        """See asyncio."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._inner.resume_writing()
