"""Broker: what all brokers share: a process on loopback with a private folder and port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from localcloud.ports import free_ports

WAIT = 120.0  # seconds for a broker to start or stop, on a very busy machine
_LOOK = 0.05
#: Finds ports that nobody has; tests, which run side by side, have another way.
find_ports: Callable[[int], list[int]] = free_ports


class MissingError(RuntimeError):
    """A broker is not installed; the text says how to install it."""


class Broker:
    """A broker that runs inside of a `with` block, or between `start` and `stop`."""

    #: The scheme of its URL.
    scheme = ""
    #: Whether a client that comes back gets again what it had not acknowledged.
    keeps = True

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        """Start nothing yet; `port` 0: a free one."""
        self.folder = folder
        self.port = port or find_ports(1)[0]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log"

    def command(self) -> list[str]:
        """Write what it reads, and return how it is started."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return what it finds in its environment beside ours."""
        return {}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        self.process = self.spawn(self.command())
        until = time.monotonic() + WAIT
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{type(self).__name__} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(_LOOK)

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own, its output in the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # no shell
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
                env={**os.environ, **self.environment()},
            )  # fmt: skip

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def says(self, question: bytes, *, start: bytes = b"") -> bool:
        """Whether it answers a question, with something that begins with `start`."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(question)
                connection.settimeout(10)
                return connection.recv(max(1, len(start))).startswith(start or b"")
        except OSError:
            return False

    def send(self, number: int) -> None:
        """Send a signal to it and to what it has started."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, if it runs, as a service manager does; or at once with SIGKILL."""
        if self.process is not None:
            if self.process.poll() is None:
                self.send(number)
            self.process.wait(WAIT)
            self.process = None

    def close(self) -> None:
        """End it for good."""
        self.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
