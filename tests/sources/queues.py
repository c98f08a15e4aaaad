"""Programs around a queue of a RabbitMQ, with pika as most of them have it; and a proxy that shows and adds frames."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.channel import Channel

from device_agent.config.sources import AmqpConfig
from tests.lab.ports import own_ports
from tests.sources.brokers import WAIT, RabbitMq


@contextmanager
def channel(broker: RabbitMq, port: int = 0) -> Iterator[BlockingChannel]:
    """A channel whose publishes return when the broker has the message on disk, and raise if no queue takes it."""
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port or broker.port, heartbeat=0)) as connection:
        made = connection.channel()
        made.confirm_delivery()
        yield made


def send(broker: RabbitMq, queue: str, *payloads: bytes) -> None:
    """Publish to a queue; return when the broker has each on disk."""
    with channel(broker) as client:
        for payload in payloads:
            publish(client, payload, key=queue)


def publish(client: BlockingChannel, payload: bytes, *, key: str, exchange: str = "") -> None:
    client.basic_publish(exchange, key, payload, pika.BasicProperties(delivery_mode=2), mandatory=True)


def make(broker: RabbitMq, queue: str, **arguments: object) -> None:
    with channel(broker) as client:
        client.queue_declare(queue, durable=True, arguments=arguments)


def left(broker: RabbitMq, queue: str) -> list[tuple[bytes, bool]]:
    """Take all that the broker would give another consumer, with whether it was delivered before."""
    with channel(broker) as client:
        found = []
        while True:
            method, _, body = client.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append((body, method.redelivered))


def ready(broker: RabbitMq, queue: str) -> int:
    """Return how many messages another consumer could get now."""
    with channel(broker) as client:
        return int(client.queue_declare(queue, passive=True).method.message_count)


class Proxy:
    """Between a client and a broker: notes what the client sends, and adds bytes to what the broker says."""

    def __init__(self, broker: RabbitMq, port: int = 0) -> None:
        self.port = port or own_ports(1)[0]
        self.url = f"amqp://127.0.0.1:{self.port}/%2f"
        self.sent = b""
        self.held = False  # nothing goes through either way
        self._broker = broker
        self._ended = False
        self._add = b""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def say(self, frame: bytes) -> None:
        """Let the client hear a frame; while the broker is silent, so that it is between two of its own."""
        self._add += frame

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._listener)
            while not self._ended:
                if select.select([self._listener], [], [], 0.05)[0]:
                    client, _ = self._listener.accept()
                    self._pass(stack.enter_context(client))

    def _pass(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._broker.port)) as broker, contextlib.suppress(ConnectionError):
            while not self._ended:
                for source in select.select([] if self.held else [client, broker], [], [], 0.05)[0]:
                    data = source.recv(65536)
                    if not data:
                        client.close()
                        return
                    if source is client:
                        self.sent += data
                    (broker if source is client else client).sendall(data)
                client.sendall(self._add)
                self._add = b""

    def close(self) -> None:
        self._ended = True
        self._thread.join(WAIT)


def settings(url: str, queue: str, **changes: Any) -> AmqpConfig:
    return AmqpConfig(**({"name": "in", "kind": "amqp", "stream": "telemetry", "url": url, "queue": queue} | changes))


def numbers(count: int, *, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


@pytest.fixture
def queue(rabbit: RabbitMq) -> Iterator[str]:
    """A durable queue of the test's own."""
    name = uuid.uuid4().hex
    make(rabbit, name)
    yield name
    with channel(rabbit) as client:
        client.queue_delete(name)


@pytest.fixture
def proxy(rabbit: RabbitMq) -> Iterator[Proxy]:
    made = Proxy(rabbit)
    yield made
    made.close()


class Acks:
    """Notes the acknowledgements that go over pika's channels, and the threads that they come from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[int, bool]] = []
        self.threads: set[str] = set()
        original = Channel.basic_ack

        def basic_ack(channel: Channel, delivery_tag: int = 0, multiple: bool = False) -> None:
            self.threads.add(threading.current_thread().name)
            self.seen.append((delivery_tag, multiple))
            original(channel, delivery_tag, multiple)

        monkeypatch.setattr(Channel, "basic_ack", basic_ack)
