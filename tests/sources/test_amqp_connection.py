"""AMQP: brokers that are away, refuse, hang, restart, or cannot be trusted."""

from __future__ import annotations

import re
import signal
import socket
import threading
import uuid
from pathlib import Path

import pika
import pytest

from device_agent.ports import Verdict
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports
from tests.sources.brokers import RabbitMq
from tests.sources.certificates import make_certificates
from tests.sources.conftest import Board
from tests.sources.queues import Acks, Proxy, channel, left, numbers, proxy, publish, queue, ready, send, settings

__all__ = ["proxy", "queue"]  # fixtures

NACK = b"\x00\x3c\x00\x78"  # basic.nack: class 60, method 120


def test_a_wrong_password_is_told_with_what_to_look_at(board: Board, rabbit: RabbitMq, queue: str, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    board.begin(settings(rabbit.url, queue, username="guest", password_file=str(secret)))
    wait_for(lambda: "refuses the user 'guest'; check username and password_file" in board.problem(), what="the problem")
    assert "s3cret" not in board.problem()
    secret.write_text("guest\n")
    wait_for(lambda: board.status()["stands"], what="the connection with the right one")
    secret.chmod(0o644)
    board.stop()
    board.begin(settings(rabbit.url, queue, username="guest", password_file=str(secret)))
    wait_for(lambda: "can be read by others" in board.problem(), what="the other problem")


def test_a_wrong_virtual_host_is_told(board: Board, rabbit: RabbitMq, queue: str) -> None:
    board.begin(settings(rabbit.url.replace("%2f", "other"), queue))
    wait_for(lambda: "refuses the virtual host 'other'" in board.problem(), what="the problem")


def test_a_queue_of_another_kind_is_told_in_the_words_of_the_broker(board: Board, rabbit: RabbitMq) -> None:
    name = uuid.uuid4().hex
    with channel(rabbit) as client:
        client.queue_declare(name, durable=False)
        board.begin(settings(rabbit.url, name, declare=True))
        wait_for(lambda: "inequivalent arg 'durable'" in board.problem(), what="the problem")
        client.queue_delete(name)
        wait_for(lambda: board.status()["stands"], what="the queue")
        board.stop()
        client.queue_delete(name)


def test_an_unknown_host_and_another_protocol_are_told(board: Board, rabbit: RabbitMq) -> None:
    board.begin(settings("amqp://no-such-host.invalid", "q"))
    wait_for(lambda: "amqp://no-such-host.invalid does not answer" in board.problem(), what="the problem")
    board.stop()
    board.begin(settings(rabbit.url.replace("amqp:", "amqps:"), "q"))
    wait_for(lambda: "cannot be trusted" in board.problem(), what="the problem")


def test_a_connection_has_a_name_at_the_broker(board: Board, rabbit: RabbitMq, queue: str) -> None:
    board.start(settings(rabbit.url, queue))
    assert "board-7.in" in rabbit.control("list_connections", "client_properties")


def test_a_broker_short_of_memory_is_shown_and_no_error(board: Board, rabbit: RabbitMq, queue: str, proxy: Proxy) -> None:
    """RabbitMQ 3.10 tells publishers only; others may tell all. So the frame is added to what it says."""
    board.start(settings(proxy.url, queue))
    proxy.say(pika.frame.Method(0, pika.spec.Connection.Blocked("low on memory")).marshal())
    wait_for(lambda: "is short of memory or disk" in board.problem(), what="the problem")
    assert "low on memory" in board.problem()
    assert board.status()["stands"]
    send(rabbit, queue, b"1")
    board.sink.wait_for(1)
    proxy.say(pika.frame.Method(0, pika.spec.Connection.Unblocked()).marshal())
    wait_for(lambda: board.problem() == "", what="the end of the problem")


def test_an_acknowledgement_goes_over_the_channel_that_its_message_came_by(
    board: Board, rabbit: RabbitMq, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delivery tags begin at 1 in each channel: what was taken before must not acknowledge what comes after."""
    acks = Acks(monkeypatch)
    board.sink.hold = True
    send(rabbit, queue, b"1")
    board.start(settings(rabbit.url, queue))
    board.sink.wait_for(1)
    rabbit.control("close_all_connections", "test")
    board.sink.wait_for(2)  # it comes again
    board.sink.batches[0].replies.committed(board.sink.batches[0], 1)  # type: ignore[union-attr]
    wait_for(lambda: board.counters.replies + board.counters.replies_lost == 1, what="the first answer")
    send(rabbit, queue, b"2")
    board.sink.wait_for(3)
    assert acks.seen == []
    board.sink.hold = False
    board.stop()
    wait_for(lambda: ready(rabbit, queue) == 2, what="both in the queue")


def test_a_broker_that_is_not_there_yet_is_waited_for(board: Board, rabbit: RabbitMq, queue: str) -> None:
    port = own_ports(1)[0]
    url = f"amqp://127.0.0.1:{port}/"
    board.begin(settings(url, queue))
    wait_for(lambda: f"{url} does not answer: Connection refused" in board.problem(), what="the problem")
    proxy = Proxy(rabbit, port)
    wait_for(lambda: board.status()["stands"], what="the connection")
    board.stop()
    proxy.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_that_is_started_again_has_lost_nothing_and_is_found_again(board: Board, tmp_path: Path, how: int) -> None:
    """What it has confirmed to a publisher is on disk here once it is acknowledged there, and there until then."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with RabbitMq(folder) as broker:
        board.start(settings(broker.url, "q", declare=True, window=8))
        confirmed = []
        stopped = threading.Event()

        def produce() -> None:
            try:
                with channel(broker) as client:
                    for payload in numbers(100_000):
                        publish(client, payload, key="q")
                        confirmed.append(payload)
            except pika.exceptions.AMQPError:
                stopped.set()

        thread = threading.Thread(target=produce)
        thread.start()
        board.sink.wait_for(50)
        broker.stop(how)
        thread.join()
        assert stopped.is_set()
        wait_for(board.problem, what="the problem")
        broker.start()
        wait_for(lambda: board.status()["stands"], what="the connection")
        board.sink.wait(lambda: set(confirmed) <= set(map(bytes, board.sink.payloads())))
        send(broker, "q", b"again")
        board.sink.wait(lambda: b"again" in board.sink.payloads())
        board.stop(drain=5.0)


@pytest.mark.slow
def test_a_broker_that_hangs_is_noticed(board: Board, rabbit: RabbitMq, queue: str, proxy: Proxy) -> None:
    board.start(settings(proxy.url, queue, heartbeat=5.0))
    proxy.held = True
    wait_for(lambda: "has been silent for longer than heartbeat" in board.problem(), what="the problem")
    proxy.held = False
    wait_for(lambda: board.status()["stands"], what="the connection")


def test_a_broker_that_hangs_does_not_hold_up_a_stop(board: Board, rabbit: RabbitMq, queue: str, proxy: Proxy) -> None:
    board.start(settings(proxy.url, queue))
    proxy.held = True
    board.stop()  # no thread and no socket is left


def test_a_stop_while_it_connects_ends_at_once(board: Board) -> None:
    """No thread and no socket is left of a connection to something that takes it and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        board.begin(settings(f"amqp://127.0.0.1:{silent.getsockname()[1]}", "q"))
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(8) == b"AMQP\0\0\x09\x01"
            board.stop()
            assert connection.recv(8) == b""


@pytest.mark.slow
def test_a_limit_of_the_broker_that_is_shorter_than_ours_is_survived(board: Board, tmp_path: Path) -> None:
    """It closes the channel (consumer_timeout), and gives the messages to the next one."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with RabbitMq(folder, advanced="{consumer_timeout, 1000}, {channel_tick_interval, 500}") as broker:
        board.start(settings(broker.url, "q", declare=True))
        board.sink.verdicts["telemetry"] = Verdict.FULL
        send(broker, "q", b"1", b"2")
        wait_for(lambda: "timed out" in board.problem(), what="the problem")
        board.sink.verdicts.clear()
        board.sink.wait(lambda: set(board.sink.payloads()) == {b"1", b"2"})
        board.stop(drain=5.0)
        assert left(broker, "q") == []


@pytest.mark.slow
def test_over_tls_with_certificates_on_both_sides(board: Board, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    folder = tmp_path / "broker"
    folder.mkdir()
    files = {f"ssl_options.{name}": str(tmp_path / file) for name, file in
             (("cacertfile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key"))}  # fmt: skip
    ours = {name: str(tmp_path / file) for name, file in (("ca", "ca.pem"), ("certificate", "client.pem"), ("private_key", "client.key"))}
    both = {"ssl_options.verify": "verify_peer", "ssl_options.fail_if_no_peer_cert": "true"}
    with RabbitMq(folder, **files, **both) as broker:
        url = broker.url.replace("amqp:", "amqps:")
        board.begin(settings(url, "q", declare=True))
        wait_for(lambda: "cannot be trusted" in board.problem(), what="an unknown authority")
        board.stop()
        board.begin(settings(url, "q", declare=True, ca=ours["ca"]))
        wait_for(lambda: board.problem() and not board.status()["stands"], what="the refusal of a client without a certificate")
        board.stop()
        board.start(settings(url, "q", declare=True, **ours))
        assert re.search(r"ssl\s+true|true", broker.control("list_connections", "ssl"))
        board.stop()
