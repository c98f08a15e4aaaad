"""Programs of NNG: the other sides of `nng` inputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pynng
import pytest

from device_agent.config.sources import NngConfig
from tests.lab.agent import wait_for
from tests.lab.leaks import open_files
from tests.sources.conftest import Board

# NNG's own threads and their descriptors begin with its first socket and stay: no test is to be blamed for them.
with pynng.Pull0(listen="tcp://127.0.0.1:0"):
    pass


def settings(**changes: Any) -> NngConfig:
    return NngConfig(**({"name": "in", "kind": "nng", "stream": "telemetry"} | changes))


@contextmanager
def program(kind: Any, endpoint: str, **options: Any) -> Iterator[Any]:
    """A program of NNG's that listens; it ends when it has forgotten its visitors.

    NNG 1.9 leaks the socket of a connection that has just ended before its handshake, if the listener is closed at once: a third of them.
    """
    with kind(listen=endpoint, **options) as made:
        before = open_files()
        yield made
        wait_for(lambda: not open_files() - before, what="the end of the visits")


class NngPull:
    """A PUSH for the agent's PULL."""

    def __init__(self, folder: Path) -> None:
        self._endpoint = f"ipc://{folder}/in"
        self.socket = pynng.Push0(reconnect_time_max=100, send_timeout=60_000)
        self.socket.dial(self._endpoint, block=False)

    def settings(self, **changes: Any) -> NngConfig:
        return settings(**({"pattern": "pull", "bind": (self._endpoint,), "topic": "a/b"} | changes))

    def send(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.socket.send(payload)

    def wait_for_no_peer(self) -> None:
        wait_for(lambda: not self.socket.pipes, what="the end of the connection")

    def close(self) -> None:
        self.socket.close()


class NngRep:
    """A REQ for the agent's REP."""

    def __init__(self, folder: Path) -> None:
        self._endpoint = f"ipc://{folder}/in"
        self.socket = pynng.Req0(reconnect_time_max=100, recv_timeout=60_000)
        self.socket.dial(self._endpoint, block=False)

    def settings(self, **changes: Any) -> NngConfig:
        return settings(**({"pattern": "rep", "bind": (self._endpoint,), "topic": "a/b"} | changes))

    def ask(self, payload: bytes) -> bool:
        """Whether it is over: taken, or never to be."""
        try:
            self.socket.send(payload)
            said = json.loads(self.socket.recv())
        except pynng.Closed:  # the test is over
            return False
        return bool(said["ok"] or not said["again"])

    def close(self) -> None:
        self.socket.close()


ANY = ("tcp://127.0.0.1:*",)
Peers = Callable[..., Any]


@pytest.fixture
def peer(board: Board) -> Iterator[Peers]:
    """Makes sockets that are connected to the agent's only endpoint; all are closed at the end, the agent before them."""
    with ExitStack() as stack:

        def make(kind: Any, **options: Any) -> Any:
            made = stack.enter_context(kind(recv_timeout=60_000, send_timeout=60_000, **options))
            made.dial(board.url, block=True)
            return made

        stack.callback(board.stop)
        stack.callback(board.sink.commit)
        yield make


def answer(client: Any) -> Any:
    return json.loads(client.recv())
