"""Relay: TCP in front of a server, which forgets connections as a NAT or a firewall does: without a word to either side.

It also answers CONNECT, so that it can be an HTTP proxy.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Relay:
    """A context manager; `url` is where clients go."""

    def __init__(self, upstream: tuple[str, int], *, proxy: bool = False) -> None:
        """Pass everything on to `upstream`; as a `proxy` after a CONNECT, whatever host it names."""
        self._upstream, self._proxy = upstream, proxy
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0  # so far
        self._forgotten = threading.Event()  # of the connections that there are
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def forget(self) -> None:
        """Carry nothing more of the connections that there are now, and close none of them."""
        self._forgotten.set()
        self._forgotten = threading.Event()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the end
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                if self._proxy:
                    while b"\r\n\r\n" not in client.recv(65536, socket.MSG_PEEK):
                        pass
                    client.recv(65536)
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                server = socket.create_connection(self._upstream)
                self._sockets += [client, server]
                for ours, theirs in ((client, server), (server, client)):
                    thread = threading.Thread(target=self._carry, args=(ours, theirs, self._forgotten))
                    self._threads.append(thread)
                    thread.start()

    @staticmethod
    def _carry(ours: socket.socket, theirs: socket.socket, forgotten: threading.Event) -> None:
        with contextlib.suppress(OSError):  # one side has gone, or it is the end
            while data := ours.recv(65536):
                if not forgotten.is_set():
                    theirs.sendall(data)
            if not forgotten.is_set():
                theirs.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._threads[0].join()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for one in self._sockets:
            one.close()
