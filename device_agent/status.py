"""Status: the running agent answers one JSON document on a unix socket in its spool directory.

Nobody but the agent's user (and root) can connect: the socket has mode 0600 and the directory 0700. A client connects, reads to the end,
and is done; it sends nothing. Whoever connects and does not read is cut off after a second.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from device_agent.errors import DeviceAgentError

NAME = "status.sock"
_TIMEOUT = 1.0  # seconds for one client; the main thread answers, and it also feeds the watchdog


@contextmanager
def _address(directory: Path) -> Iterator[str]:
    """Yield an address of the socket that is short enough: unix(7) allows 107 bytes, /proc/self/fd/N makes any directory short."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


class StatusServer:
    """Listens in `directory`; the owner selects on `fileno` and calls `answer`. The spool's lock says that there is only one."""

    def __init__(self, directory: Path, status: Callable[[], dict[str, Any]]) -> None:
        """Listen; raises OSError."""
        self._path = directory / NAME
        self._status = status
        with _address(directory) as address:
            self._path.unlink(missing_ok=True)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            mask = os.umask(0o177)
            try:
                self._socket.bind(address)
                self._socket.listen(8)
            except OSError:
                self._socket.close()
                raise
            finally:
                os.umask(mask)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """File descriptor, readable when somebody asks."""
        return self._socket.fileno()

    def answer(self) -> None:
        """Answer one client; a client that goes away or does not read is its own loss.

        Raises:
            OSError: it could not be accepted, for want of a file descriptor most likely.
        """
        try:
            client, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        with client:
            client.settimeout(_TIMEOUT)
            try:
                client.sendall(json.dumps(self._status()).encode())
            except OSError:
                return

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._socket.close()
        with suppress(OSError):  # a card that has become read-only keeps the name; the next start removes it
            self._path.unlink(missing_ok=True)


class NotRunning(DeviceAgentError):  # noqa: N818  # a state, not a mistake
    """No agent listens in this spool directory."""


def ask(directory: Path) -> dict[str, Any]:
    """Return the status document of the agent that runs on this spool directory.

    Raises:
        NotRunning: nobody answers there, or the directory is not this user's to look into.
    """
    try:
        with _address(directory) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(10 * _TIMEOUT)
            _connect(client, address)
            with client.makefile("rb") as stream:
                answer: dict[str, Any] = json.load(stream)
                return answer
    except (OSError, ValueError) as error:
        raise NotRunning(_why(directory, error)) from error


def _connect(client: socket.socket, address: str) -> None:
    """Connect; while the agent's queue is full, unix(7) says so at once instead of waiting."""
    end = time.monotonic() + 10 * _TIMEOUT
    while True:
        try:
            client.connect(address)
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError from None
            time.sleep(0.05)
        else:
            return


def _why(directory: Path, error: OSError | ValueError) -> str:
    start = "start it (`systemctl start device-agent`, or `device-agent run`), or name the right --config or --directory"
    if isinstance(error, PermissionError):
        return f"user {os.geteuid()} may not ask the agent in {directory}; ask as root or as the agent's user (sudo)"
    if isinstance(error, FileNotFoundError) and not directory.exists():
        return f"no agent has run in {directory}: there is no such directory; {start}"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return f"no agent is running in {directory}; {start}"
    if isinstance(error, TimeoutError):
        return f"the agent in {directory} does not answer within {10 * _TIMEOUT:.0f} s; look into its log"
    return f"no agent answers in {directory}: {getattr(error, 'strerror', None) or error}; look into its log"
