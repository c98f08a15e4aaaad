"""STOMP against a real RabbitMQ: where it differs from ActiveMQ."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.agent import wait_for
from tests.sources.brokers import RabbitStomp
from tests.sources.conftest import Board
from tests.sources.stompclient import own_name, sender
from tests.sources.test_stomp import kept, settings


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitStomp]:
    with RabbitStomp(tmp_path_factory.mktemp("rabbitmq")) as made:
        yield made


def test_what_is_too_large_goes_to_the_dead_letter_exchange_and_never_comes_again(board: Board, broker: RabbitStomp) -> None:
    """A NACK alone puts it back into the queue, for ever."""
    queue, dead = own_name(), own_name()
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    with sender(broker) as client:
        client.send(b"before", b"x" * 1001, b"y" * 5_000_000, b"after", to=f"/queue/{queue}", **arguments)
        client.send(b"first", to=f"/queue/{dead}")  # makes it
        board.start(settings(broker.url, destination=f"/amq/queue/{queue}", max_reading=1000, window=2))
        assert board.sink.wait_for(2) == [b"before", b"after"]
        found = client.take(f"/queue/{dead}", 3)
    assert sorted(found) == [b"first", b"x" * 1001, b"y" * 5_000_000]
    assert [payload for _, payload, _ in board.sink.aside] == [b"x" * 1001]


def test_what_is_refused_without_a_dead_letter_exchange_does_not_come_again(board: Board, broker: RabbitStomp) -> None:
    queue = f"/queue/{own_name()}"
    with sender(broker) as client:
        client.send(b"x" * 1001, b"1", to=queue)
        board.start(settings(broker.url, destination=queue, max_reading=1000))
        board.sink.wait_for(1)
        board.stop(drain=5.0)
        client.send(b"2", to=queue)
        board.start(settings(broker.url, destination=queue, max_reading=1000))
        assert board.sink.wait_for(2) == [b"1", b"2"]
    assert len(board.sink.aside) == 1


def test_a_queue_with_other_arguments_is_told(board: Board, broker: RabbitStomp) -> None:
    queue = f"/queue/{own_name()}"
    with sender(broker) as client:
        client.send(b"1", to=queue, **{"x-max-length": "5"})
        board.begin(settings(broker.url, destination=queue))
        wait_for(lambda: f"refuses to subscribe to {queue}" in board.problem(), what="the problem")
        assert "inequivalent arg 'x-max-length'" in board.problem()


def test_a_wrong_password_and_a_wrong_virtual_host_are_told(board: Board, broker: RabbitStomp, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wr0ng\n")
    secret.chmod(0o600)
    board.begin(settings(broker.url, username="guest", password_file=str(secret)))
    wait_for(lambda: "refuses the connection: Bad CONNECT: Access refused for user 'guest'" in board.problem(), what="the problem")
    board.stop()
    secret.write_text("guest\n")
    board.begin(settings(broker.url, username="guest", password_file=str(secret), virtual_host="nowhere"))
    wait_for(lambda: "Virtual host 'nowhere' access denied" in board.problem(), what="the next problem")
    board.stop()
    board.start(settings(broker.url, username="guest", password_file=str(secret)))


def test_a_broker_that_is_killed_sends_what_was_not_acknowledged(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    with RabbitStomp(folder) as broker:
        board.start(settings(broker.url))
        board.sink.hold = True
        with sender(broker) as client:
            client.send(b"one", b"two", to="/queue/open.q")
        board.sink.wait(lambda: len(board.sink.payloads()) >= 2)
        broker.stop(signal.SIGKILL)
        wait_for(lambda: board.problem() and not board.status()["stands"], what="the problem")
        board.sink.refuse("the disk took none")
        board.sink.hold = False
        broker.start()
        wait_for(lambda: board.status()["stands"], what="the connection")
        board.sink.wait(lambda: len(kept(board)) >= 2)
        assert kept(board) == [b"one", b"two"]
        board.stop(drain=5.0)
