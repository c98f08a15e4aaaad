"""The network that can be cut: what a client sees."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from localcloud.network import Network


class Echo:
    """A server that sends back what it gets, until the other side ends."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._serve)]
        self.threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            worker = threading.Thread(target=self._echo, args=(connection,))
            self.threads.append(worker)
            worker.start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        if self.listener.fileno() == -1:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(120)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def network(echo: Echo) -> Iterator[Network]:
    made = Network(upstream_port=echo.port)
    yield made
    made.close()


def connect(network: Network) -> socket.socket:
    return socket.create_connection(("127.0.0.1", network.port), timeout=120)


def ask(client: socket.socket, question: bytes) -> bytes:
    client.sendall(question)
    answer = b""
    while len(answer) < len(question):
        answer += client.recv(65536)
    return answer


def test_it_carries_bytes_both_ways(network: Network) -> None:
    question = bytes(range(256)) * 2048
    with connect(network) as client:
        sender = threading.Thread(target=client.sendall, args=(question,))
        sender.start()
        answer = b""
        while len(answer) < len(question):
            answer += client.recv(65536)
        sender.join()
    assert answer == question


def test_a_half_closed_connection_still_gets_its_answer(network: Network) -> None:
    with connect(network) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while data := client.recv(100):
            answer += data
    assert answer == b"last words"


def test_a_cut_resets_the_live_connection(network: Network) -> None:
    with connect(network) as client:
        assert ask(client, b"hello") == b"hello"
        network.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_while_it_is_cut_new_connections_are_refused(network: Network) -> None:
    with network.down():
        assert not network.is_up
        with pytest.raises(ConnectionRefusedError):
            connect(network)
    assert network.is_up


def test_after_a_cut_it_works_again_at_the_same_port(network: Network) -> None:
    port = network.port
    for _ in range(20):
        with connect(network) as client:
            assert ask(client, b"x") == b"x"
            network.cut()
            network.restore()
    assert network.port == port


def test_nobody_else_gets_the_port_while_it_is_cut(network: Network) -> None:
    with network.down(), socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind(("127.0.0.1", network.port))


def test_cutting_and_restoring_twice_is_the_same_as_once(network: Network) -> None:
    network.cut()
    network.cut()
    network.restore()
    network.restore()
    with connect(network) as client:
        assert ask(client, b"x") == b"x"


def test_a_cut_in_the_moment_of_a_connection_breaks_no_thread(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accepting thread used to set options of connections that a cut had closed meanwhile; its death would show as a warning."""
    start = threading.Thread.start

    def cut_first(thread: threading.Thread) -> None:
        if thread.name == "network-pump" and network.is_up:
            network.cut()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", cut_first)
    with contextlib.suppress(OSError), connect(network) as client:
        client.recv(1)
    monkeypatch.undo()
    network.restore()
    with connect(network) as client:
        assert ask(client, b"x") == b"x"


def test_when_the_cloud_is_gone_a_device_is_reset_and_not_left_waiting(echo: Echo, network: Network) -> None:
    echo.close()
    with pytest.raises(ConnectionResetError), connect(network) as client:
        client.recv(1)


def test_closing_gives_the_port_back(echo: Echo) -> None:
    network = Network(upstream_port=echo.port)
    network.close()
    network.close()
    with socket.socket() as next_owner:
        next_owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        next_owner.bind(("127.0.0.1", network.port))
