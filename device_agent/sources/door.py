"""Door: accepts the connections of a server of ours, no more than it may have, from the first byte on.

Promises
- A connection counts from the moment that it is accepted, through the handshake of TLS, to its end; above the limit it is closed at once.
- A handshake that takes longer than `PATIENCE` seconds ends its connection.
- While the process has no file descriptor left, nothing is accepted for a second, again and again, and the log says so once.

asyncio's own server knows a connection only after its handshake, and asks for the next one without a pause when descriptors run out.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

from device_agent.sources import guard, listening

_PAUSE: Final = 1.0  # seconds without accepting, while there are no descriptors
_BACKLOG: Final = 128
_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Door:
    """Listens for one server. To be used within its loop."""

    def __init__(
        self, make: Callable[[], asyncio.Protocol], *, limit: Callable[[], bool], context: ssl.SSLContext | None, short: Callable[[], None]
    ) -> None:
        """Open nothing yet.

        Args:
            make: the protocol of a new connection.
            limit: whether there may be no further one, those that are shaking hands not counted.
            context: of TLS; None: there is none.
            short: called when descriptors have run out.
        """
        self._make, self._full, self._context, self._short = make, limit, context, short
        self._listening: list[socket.socket] = []
        self._arriving: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def arriving(self) -> int:
        """Connections that are accepted and not at the server yet."""
        return len(self._arriving)

    async def open(self, listen: str) -> tuple[str, int]:
        """Listen on an address and port; return what it was bound to. Raises `NotNow`."""
        host, port = listening.split(listen)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(found):
                self._listening.append(socket.create_server(address[:2], family=family, backlog=_BACKLOG))
        except OSError as error:
            self.close()
            raise listening.refused(listen, error) from None
        for one in self._listening:
            one.setblocking(False)
        self._watch()
        bound: tuple[str, int] = self._listening[0].getsockname()[:2]
        return bound

    def close(self) -> None:
        """Accept no more; what is shaking hands may go on."""
        self._closed = True
        loop = asyncio.get_running_loop()
        for one in self._listening:
            loop.remove_reader(one)
            one.close()
        self._listening.clear()

    async def wait(self) -> None:
        """Return when nobody is shaking hands any more."""
        if self._arriving:
            await asyncio.wait(self._arriving)

    def _watch(self) -> None:
        if not self._closed:
            for one in self._listening:
                asyncio.get_running_loop().add_reader(one, self._accept, one)

    def _accept(self, bound: socket.socket) -> None:
        for _ in range(_BACKLOG):
            try:
                connection, _address = bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SHORTAGE:
                    raise
                self._rest()
                return
            if self._full():
                connection.close()
                continue
            connection.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._receive(connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        for one in self._listening:
            loop.remove_reader(one)
        loop.call_later(_PAUSE, self._watch)
        self._short()

    async def _receive(self, connection: socket.socket) -> None:
        patience = None if self._context is None else guard.PATIENCE
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._make, connection, ssl=self._context, ssl_handshake_timeout=patience)
        except (OSError, ssl.SSLError):  # its client left, took too long, or speaks no TLS that we take
            connection.close()
