"""A scripted broker, for what real ones do seldom: each connection is played by a function of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.lab.ports import own_ports

WAIT = 60.0
#: A message with its `ack` header.
MESSAGE = b"MESSAGE\nsubscription:1\nmessage-id:m%d\nack:a%d\ndestination:/queue/q\ncontent-length:%d\n\n%s\0"


def message(number: int, body: bytes) -> bytes:
    return MESSAGE % (number, number, len(body), body)


class Talk:
    """One connection, with all frames that came over it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(WAIT)
        self.frames: list[str] = []
        self.beats = 0
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def frame(self) -> str:
        """Return the next frame, without its NUL; empty: the end."""
        while b"\0" not in self._buffer:
            data = self.connection.recv(65536)
            if not data:
                return ""
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        found = text.decode().lstrip("\n")
        self.beats += len(text) - len(text.lstrip(b"\n"))
        self.frames.append(found)
        return found

    def wait_for_beats(self, number: int) -> None:
        """Return when so many heart-beats have come, with nothing between them."""
        while len(self._buffer) < number:
            assert set(self._buffer) <= {10}, self._buffer
            self._buffer += self.connection.recv(65536)

    def greet(self, *, version: str = "1.2", beats: str = "0,0") -> None:
        """Answer CONNECT and SUBSCRIBE."""
        assert self.frame().startswith("CONNECT\n")
        self.send(f"CONNECTED\nversion:{version}\nheart-beat:{beats}\nserver:peer/1\n\n\0".encode())
        assert self.frame().startswith("SUBSCRIBE\n")
        self.send(b"RECEIPT\nreceipt-id:subscribed\n\n\0")

    def rest(self) -> list[str]:
        """Read to the end, answer DISCONNECT, and return what was answered to messages."""
        with suppress(ConnectionError):
            while frame := self.frame():
                if frame.startswith("DISCONNECT"):
                    self.send(b"RECEIPT\nreceipt-id:bye\n\n\0")
        return [frame for frame in self.frames if frame.startswith(("ACK", "NACK"))]


class Peer:
    """Listens; the first connection is played by the first script, and so on; later ones by the last."""

    def __init__(self, *scripts: Callable[[Talk], None]) -> None:
        self._scripts = scripts
        self.port = own_ports(1)[0]
        self.url = f"stomp://127.0.0.1:{self.port}"
        self.talks: list[Talk] = []
        self.problems: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the test is over
                return
            with connection:
                talk = Talk(connection)
                self.talks.append(talk)
                try:
                    self._scripts[min(len(self.talks), len(self._scripts)) - 1](talk)
                except BaseException as error:  # noqa: BLE001  # the test looks at it
                    self.problems.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT)
        assert kind is not None or not self.problems, self.problems
