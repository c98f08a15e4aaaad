"""An ordinary STOMP program that sends."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import stomp

from tests.sources.brokers import WAIT, ActiveMq, RabbitStomp

_names: Final = itertools.count(1)


def own_name() -> str:
    """Return a name for a queue that no other test uses, for tests that share a broker."""
    return f"open.t{next(_names)}"


@contextmanager
def sender(broker: ActiveMq | RabbitStomp, **headers: str) -> Iterator[Sender]:
    """A program that sends, connected."""
    made = Sender(broker, headers)
    try:
        yield made
    finally:
        made.close()


class Sender(stomp.ConnectionListener):  # type: ignore[misc]  # it has no types
    """An ordinary program with stomp.py's usual thread. Also takes messages, for a look at what a queue holds."""

    def __init__(self, broker: ActiveMq | RabbitStomp, headers: dict[str, str]) -> None:
        self._broker = broker
        self._receipts = itertools.count(1)
        self._waiting: set[str] = set()
        self._change = threading.Condition()
        self.received: list[Any] = []
        self.errors: list[Any] = []
        self.connection = stomp.Connection12([("127.0.0.1", broker.port)], heartbeats=(0, 0), auto_decode=False, vhost="/")
        self.connection.set_listener("", self)
        self.connection.connect(wait=True, headers=headers)

    def send(self, *payloads: bytes, to: str, **headers: str) -> None:
        """Send, and wait until the broker has each."""
        for payload in payloads:
            receipt = f"r{next(self._receipts)}"
            self._waiting.add(receipt)
            self.connection.send(to, payload, headers={"persistent": "true", "receipt": receipt, **headers})
        with self._change:
            assert self._change.wait_for(lambda: not self._waiting or self.errors, WAIT)
        assert not self.errors, self.errors

    def take(self, source: str, count: int) -> list[bytes]:
        """Take `count` messages of a queue."""
        self.connection.subscribe(source, id="1", ack="auto")
        with self._change:
            assert self._change.wait_for(lambda: len(self.received) >= count, WAIT), self.received
        return [frame.body for frame in self.received]

    def on_receipt(self, frame: Any) -> None:
        with self._change:
            self._waiting.discard(frame.headers["receipt-id"])
            self._change.notify()

    def on_message(self, frame: Any) -> None:
        with self._change:
            self.received.append(frame)
            self._change.notify()

    def on_error(self, frame: Any) -> None:
        with self._change:
            self.errors.append(frame)
            self._change.notify()

    def close(self) -> None:
        self.connection.disconnect()
        self.connection.transport.stop()
        self.connection.transport.disconnect_socket()
