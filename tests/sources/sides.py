"""The other sides of sources, for their contract: programs that send, one for each kind, in one shape."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiocoap
import pytest

from device_agent.config import HttpConfig, MqttConfig, SourceConfig
from device_agent.config.sources import AmqpConfig, CoapConfig, NngConfig, StompConfig
from tests.sources.brokers import ActiveMq, Amqtt, Mosquitto, Publisher, RabbitMq, RabbitStomp, publisher
from tests.sources.conftest import Board
from tests.sources.nngpeers import NngPull, NngRep
from tests.sources.queues import channel, publish
from tests.sources.stompclient import Sender, own_name, sender


class Side(ABC):
    """The other side of a source: a program that sends."""

    #: Bytes of a topic at most, in the protocol itself.
    longest = 1000
    #: Whether the sender is told that a message is never taken.
    told = False
    #: Whether each message has a topic of its own.
    labelled = True
    #: Why what was not acknowledged does not come again; empty: it does.
    forgets = ""
    #: Whether something is sent that has no answer yet, for programs that wait for it.
    waits = False

    @abstractmethod
    def settings(self, **changes: Any) -> SourceConfig:
        """Return the configuration of an input for it, called `in`."""

    @abstractmethod
    def send(self, *payloads: bytes, topic: str = "a/b") -> None:
        """Send messages; return when the next hop has them, or has said no."""

    def label(self, topic: str) -> str:
        """Return the topic of a reading that was sent with `topic`."""
        return topic

    def wait_until_the_agent_has_gone(self) -> None:  # noqa: B027  # nothing to wait for
        """Return when the agent may come back; at once where that is always so."""

    def close(self) -> None:  # noqa: B027  # nothing to close
        """Stop sending; the agent has gone."""


class MqttSide(Side):
    def __init__(self, broker: Mosquitto | Amqtt, client: Publisher, version: str) -> None:
        self._broker, self._client, self._version = broker, client, version
        self.forgets = "amqtt sends nothing again to a session that comes back; Mosquitto does (apt install mosquitto)" * isinstance(
            broker, Amqtt
        )

    def settings(self, **changes: Any) -> MqttConfig:
        given = {"name": "in", "kind": "mqtt", "stream": "telemetry", "topics": ("a/#",), "url": self._broker.url, "version": self._version}
        return MqttConfig(**(given | changes))

    def send(self, *payloads: bytes, topic: str = "a/b") -> None:
        self._client.send(*payloads, topic=topic)

    def wait_until_the_agent_has_gone(self) -> None:
        if isinstance(self._broker, Amqtt):
            self._broker.wait_for_connections(1)  # the publisher's


class StompSide(Side):
    """All topics of a name, durably: RabbitMQ's client subscribes to one queue only, and ActiveMQ is slow to give such messages again."""

    def __init__(self, broker: ActiveMq | RabbitStomp, client: Sender) -> None:
        self._broker, self._client = broker, client
        self._name = own_name()
        self._all = f"/topic/{self._name}.{broker.everything}"

    def settings(self, **changes: Any) -> StompConfig:
        given = {"name": "in", "kind": "stomp", "stream": "telemetry", "url": self._broker.url, "destination": self._all, "durable": True}
        return StompConfig(**(given | changes))

    def label(self, topic: str) -> str:
        """Return what the broker calls it; RabbitMQ takes no more than 255 bytes of a name."""
        return f"{self._all.rpartition('.')[0]}.{topic.replace('/', '.')}"[:262]

    def send(self, *payloads: bytes, topic: str = "a/b") -> None:
        self._client.send(*payloads, to=self.label(topic))

    def wait_until_the_agent_has_gone(self) -> None:
        """It may come back at once: it had the broker's receipt."""


class AmqpSide(Side):
    """A queue with a topic exchange before it."""

    longest = 255  # bytes of a routing key

    def __init__(self, broker: RabbitMq) -> None:
        self._broker, self._name = broker, uuid.uuid4().hex
        with channel(broker) as client:
            client.exchange_declare(self._name, "topic", durable=True)
            client.queue_declare(self._name, durable=True)
            client.queue_bind(self._name, self._name, "#")

    def settings(self, **changes: Any) -> AmqpConfig:
        given = {"name": "in", "kind": "amqp", "stream": "telemetry", "url": self._broker.url, "queue": self._name}
        return AmqpConfig(**(given | changes))

    def send(self, *payloads: bytes, topic: str = "a/b") -> None:
        with channel(self._broker) as client:
            for payload in payloads:
                publish(client, payload, key=topic, exchange=self._name)

    def close(self) -> None:
        with channel(self._broker) as client:
            client.queue_delete(self._name)
            client.exchange_delete(self._name)


class AskingSide(Side):
    """A client that sends again until it is taken, as it should."""

    told = True

    def __init__(self, board: Board) -> None:
        self._board = board
        self._threads: list[threading.Thread] = []
        self._queue: list[tuple[bytes, str]] = []
        self._work = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, *payloads: bytes, topic: str = "a/b") -> None:
        with self._work:
            self._queue += [(payload, topic) for payload in payloads]
            self._work.notify()

    @property
    def waits(self) -> bool:
        return bool(self._queue)

    def _run(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._queue or self._ended)
                if self._ended:
                    return
                payload, topic = self._queue[0]
            if self._post(payload, topic):
                with self._work:
                    self._queue.pop(0)

    def _post(self, payload: bytes, topic: str) -> bool:
        """Return whether it is done: taken, or never will be."""
        raise NotImplementedError

    def close(self) -> None:
        with self._work:
            self._ended = True
            self._work.notify()
        self._thread.join()


class HttpSide(AskingSide):
    def settings(self, **changes: Any) -> HttpConfig:
        return HttpConfig(**({"name": "in", "kind": "http", "stream": "telemetry", "listen": "127.0.0.1:0"} | changes))

    def _post(self, payload: bytes, topic: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self._board.url}/{topic}", data=payload, timeout=60) as answer:
                return bool(json.load(answer)["ok"])
        except urllib.error.HTTPError as error:
            with error:
                return not json.load(error)["again"]  # never taken: the next one
        except (OSError, KeyError, ValueError, urllib.error.URLError):
            return False  # the agent has gone; it is sent again


class CoapSide(AskingSide):
    """aiocoap's client, with a loop and a context for each run of requests."""

    def settings(self, **changes: Any) -> CoapConfig:
        return CoapConfig(**({"name": "in", "kind": "coap", "stream": "telemetry", "listen": "127.0.0.1:0"} | changes))

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._runner = runner
            super()._run()

    def _post(self, payload: bytes, topic: str) -> bool:
        try:
            return self._runner.run(self._ask(payload, f"{self._board.url}/{topic}"))
        except (aiocoap.error.Error, KeyError, OSError):
            return False  # the agent has gone; it is sent again

    async def _ask(self, payload: bytes, uri: str) -> bool:
        context = await aiocoap.Context.create_client_context(transports=["simple6"])
        try:
            async with asyncio.timeout(10):
                answer = await context.request(aiocoap.Message(code=aiocoap.POST, uri=uri, payload=payload)).response
        finally:
            await context.shutdown()
        return answer.code != aiocoap.SERVICE_UNAVAILABLE


class NngRepSide(AskingSide):
    """The same with a REQ."""

    labelled = False

    def __init__(self, board: Board, folder: Path) -> None:
        self._peer = NngRep(folder)
        super().__init__(board)

    def settings(self, **changes: Any) -> NngConfig:
        return self._peer.settings(**changes)

    def _post(self, payload: bytes, topic: str) -> bool:
        return self._peer.ask(payload)

    def close(self) -> None:
        self._ended = True
        self._peer.close()  # ends its wait for an answer
        super().close()


class NngPullSide(Side):
    labelled = False
    forgets = "a PUSH is never told anything, so it cannot know what to send again (docs/sources.md)"

    def __init__(self, folder: Path) -> None:
        self._peer = NngPull(folder)

    def settings(self, **changes: Any) -> NngConfig:
        return self._peer.settings(**changes)

    def send(self, *payloads: bytes, topic: str = "a/b") -> None:
        self._peer.send(*payloads)

    def wait_until_the_agent_has_gone(self) -> None:
        self._peer.wait_for_no_peer()

    def close(self) -> None:
        self._peer.close()


Make = Callable[[pytest.FixtureRequest, Path, Board], AbstractContextManager[Side]]


@contextmanager
def _mqtt(make: type[Mosquitto | Amqtt], version: str, _request: pytest.FixtureRequest, folder: Path, _board: Board) -> Iterator[Side]:
    folder = folder / "broker"
    folder.mkdir()
    with make(folder) as broker, publisher(broker) as client:
        yield MqttSide(broker, client, version)


@contextmanager
def _stomp(fixture: str, request: pytest.FixtureRequest, _folder: Path, _board: Board) -> Iterator[Side]:
    broker = request.getfixturevalue(fixture)
    with sender(broker) as program:
        yield StompSide(broker, program)


@contextmanager
def _amqp(request: pytest.FixtureRequest, _folder: Path, _board: Board) -> Iterator[Side]:
    yield AmqpSide(request.getfixturevalue("rabbit"))


@contextmanager
def _asking(make: type[AskingSide], _request: pytest.FixtureRequest, _folder: Path, board: Board) -> Iterator[Side]:
    yield make(board)


@contextmanager
def _nng_rep(_request: pytest.FixtureRequest, folder: Path, board: Board) -> Iterator[Side]:
    yield NngRepSide(board, folder)


@contextmanager
def _nng_pull(_request: pytest.FixtureRequest, folder: Path, _board: Board) -> Iterator[Side]:
    yield NngPullSide(folder)


SIDES: dict[str, Make] = {
    "mqtt-5": partial(_mqtt, Mosquitto, "5"),
    "mqtt-3.1.1": partial(_mqtt, Mosquitto, "3.1.1"),
    "mqtt-amqtt": partial(_mqtt, Amqtt, "3.1.1"),
    "amqp": _amqp,
    "stomp-activemq": partial(_stomp, "activemq"),
    "stomp-rabbitmq": partial(_stomp, "rabbitstomp"),
    "http": partial(_asking, HttpSide),
    "coap": partial(_asking, CoapSide),
    "nng-rep": _nng_rep,
    "nng-pull": _nng_pull,
}
