"""The contract of a source: every kind passes it, against real brokers where they are installed."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from device_agent.config import AmqpConfig, HttpConfig, MqttConfig, RouteConfig, SourceConfig
from device_agent.ports import Verdict
from tests.lab.agent import wait_for
from tests.sources.brokers import Amqtt, Mosquitto, MqttBroker, Publisher, RabbitMq, publisher
from tests.sources.conftest import Board, board
from tests.sources.queues import channel, publish

__all__ = ["board"]  # fixture

KINDS = ["mqtt-5", "mqtt-3.1.1", "mqtt-amqtt", "http", "amqp"]
#: Any bytes may be a reading.
PAYLOADS = [b"plain", b"", b"\0\xff\0", "Grüße".encode(), b"x" * 100_000]


class Side(Protocol):
    """The other side of a source: a program that sends."""

    def settings(self, **changes: Any) -> SourceConfig:
        """Return the configuration of an input for it, called `in`."""

    def send(self, *payloads: bytes, topic: str = "a/b") -> None:
        """Send messages; return when the next hop has them, or has said no."""

    def wait_until_the_agent_has_gone(self) -> None:
        """Return when the agent may come back; at once where that is always so."""


class MqttSide:
    def __init__(self, broker: MqttBroker, client: Publisher, version: str) -> None:
        self._broker, self._client, self._version = broker, client, version

    def settings(self, **changes: Any) -> MqttConfig:
        given = {"name": "in", "kind": "mqtt", "stream": "telemetry", "topics": ("a/#",), "url": self._broker.url, "version": self._version}
        return MqttConfig(**(given | changes))

    def send(self, *payloads: bytes, topic: str = "a/b") -> None:
        self._client.send(*payloads, topic=topic)

    def wait_until_the_agent_has_gone(self) -> None:
        self._broker.wait_for_connections(1)  # the publisher's


class AmqpSide:
    """A queue with a topic exchange before it."""

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
        if len(topic) > 255:
            return  # the protocol has no such routing keys
        with channel(self._broker) as client:
            for payload in payloads:
                publish(client, payload, key=topic, exchange=self._name)

    def wait_until_the_agent_has_gone(self) -> None:
        """It may come back at once: consumers do not disturb each other."""

    def close(self) -> None:
        with channel(self._broker) as client:
            client.queue_delete(self._name)
            client.exchange_delete(self._name)


class HttpSide:
    """Sends again until it is taken, as a client should."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._threads: list[threading.Thread] = []
        self._queue: list[tuple[bytes, str]] = []
        self._work = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def settings(self, **changes: Any) -> HttpConfig:
        return HttpConfig(**({"name": "in", "kind": "http", "stream": "telemetry", "listen": "127.0.0.1:0"} | changes))

    def send(self, *payloads: bytes, topic: str = "a/b") -> None:
        with self._work:
            self._queue += [(payload, topic) for payload in payloads]
            self._work.notify()

    def wait_until_the_agent_has_gone(self) -> None:
        """It may come back at once: each request is a connection."""

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
        try:
            with urllib.request.urlopen(f"{self._board.url}/{topic}", data=payload, timeout=60) as answer:
                return bool(json.load(answer)["ok"])
        except urllib.error.HTTPError as error:
            with error:
                return not json.load(error)["again"]  # never taken: the next one
        except (OSError, KeyError, ValueError, urllib.error.URLError):
            return False  # the agent has gone; it is sent again

    def close(self) -> None:
        with self._work:
            self._ended = True
            self._work.notify()
        self._thread.join()


@pytest.fixture(params=KINDS)
def side(request: pytest.FixtureRequest, tmp_path: Path, board: Board) -> Iterator[Side]:
    if request.param == "http":
        client = HttpSide(board)
        yield client
        board.stop()
        client.close()
        return
    if request.param == "amqp":
        queue = AmqpSide(request.getfixturevalue("rabbit"))
        yield queue
        board.sink.hold = False
        board.sink.commit()
        board.stop()
        queue.close()
        return
    folder = tmp_path / "broker"
    folder.mkdir()
    with (Amqtt if request.param == "mqtt-amqtt" else Mosquitto)(folder) as broker, publisher(broker) as client_:
        yield MqttSide(broker, client_, "5" if request.param == "mqtt-5" else "3.1.1")
        board.sink.hold = False
        board.sink.commit()
        board.stop()


def test_messages_arrive_in_order_whatever_their_bytes(board: Board, side: Side) -> None:
    board.start(side.settings())
    side.send(*PAYLOADS)
    assert board.sink.wait_for(len(PAYLOADS)) == PAYLOADS
    assert board.topics() == ["a/b"] * len(PAYLOADS)
    wait_for(lambda: board.counters.replies == len(PAYLOADS), what="all answers")


def test_topics_lead_to_streams(board: Board, side: Side) -> None:
    board.start(side.settings(route=(RouteConfig(topic="a/alarm", stream="events"),)))
    side.send(b"1", topic="a/b")
    side.send(b"2", topic="a/alarm/fire")
    side.send(b"3", topic="a/b")
    board.sink.wait_for(3)
    assert board.sink.payloads("events") == [b"2"]
    assert board.sink.payloads("telemetry") == [b"1", b"3"]


def test_what_was_not_on_disk_when_the_agent_died_comes_again(board: Board, side: Side, request: pytest.FixtureRequest) -> None:
    """Nothing is acknowledged before the disk: the other side still has it."""
    if "amqtt" in request.node.name:
        pytest.skip("amqtt sends nothing again to a session that comes back; Mosquitto does (apt install mosquitto)")
    board.start(side.settings())
    side.send(b"kept")
    board.sink.wait_for(1)
    wait_for(lambda: board.counters.replies == 1, what="its answer")
    wait_for(lambda: acknowledged(side, board), what="the acknowledgement")
    board.sink.hold = True
    side.send(b"one", b"two")
    board.sink.wait_for(2)  # kept and one at least; http sends one at a time
    board.crash()
    board.sink.hold = False
    board.start(side.settings())
    board.sink.wait(lambda: {b"one", b"two"} <= set(committed(board)))
    assert committed(board).count(b"kept") == 1


def test_a_full_spool_keeps_messages_where_they_are(board: Board, side: Side) -> None:
    board.start(side.settings(window=4))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    side.send(*(b"%d" % number for number in range(10)))
    wait_for(lambda: board.counters.refused >= 4, what="refusals")
    assert board.sink.payloads() == []
    board.sink.verdicts.clear()
    found = [int(bytes(payload)) for payload in board.sink.wait_for(10)]
    assert sorted(found) == list(range(10))
    assert board.problem() == ""


def test_what_is_never_taken_holds_up_nothing(board: Board, side: Side) -> None:
    board.start(side.settings(max_reading=1000, window=2))
    side.send(b"before", b"x" * 1001, b"y" * 1001, b"z" * 1001, b"after")
    assert board.sink.wait_for(2) == [b"before", b"after"]
    side.send(b"t", topic="a/" + "t" * 300)  # no label
    side.send(b"end")
    assert board.sink.wait_for(3)[2:] == [b"end"]


def test_thousands_of_messages_through_a_small_window(board: Board, side: Side) -> None:
    board.start(side.settings(window=16))
    expected = [b"%d" % number for number in range(2000)]
    side.send(*expected)
    assert board.sink.wait_for(2000) == expected


def test_a_stop_acknowledges_what_is_on_disk(board: Board, side: Side) -> None:
    board.start(side.settings())
    side.send(b"1", b"2", b"3")
    board.sink.wait_for(3)
    board.stop(drain=5.0)
    side.wait_until_the_agent_has_gone()
    board.start(side.settings())
    side.send(b"4")
    board.sink.wait(lambda: b"4" in board.sink.payloads())
    assert board.sink.payloads() == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("why", ["busy", "held", "full"])
def test_a_stop_ends_in_time_though_the_disk_does_not_answer(board: Board, side: Side, why: str) -> None:
    """No thread and no socket is left (`nothing_is_left_open`), and what was not acknowledged stays with the other side."""
    board.start(side.settings())
    if why == "held":
        board.sink.hold = True
    else:
        board.sink.verdicts["telemetry"] = Verdict.BUSY if why == "busy" else Verdict.FULL
    side.send(b"1")
    wait_for(lambda: board.status()["under_way"] == 1 or board.counters.refused, what="the message")
    board.stop_sources(drain=0.1)
    board.sink.verdicts.clear()
    board.sink.refuse("the agent stopped")
    board.stop()


def committed(board: Board) -> list[Any]:
    """What the spool has on disk."""
    return [payload for batch in board.sink.batches if batch not in board.sink.refused_batches for payload in batch.run.payloads]


def acknowledged(side: Side, board: Board) -> bool:
    return not isinstance(side, HttpSide) or not side._queue
