"""AMQP: what users of other tools ran into, each against a real RabbitMQ."""

from __future__ import annotations

import json
import uuid

import pika
import pytest

from device_agent.config import RouteConfig
from device_agent.ports import Verdict
from tests.lab.agent import wait_for
from tests.sources.brokers import RabbitMq
from tests.sources.conftest import Board
from tests.sources.queues import Acks, Proxy, channel, left, make, numbers, proxy, publish, queue, ready, send, settings

__all__ = ["proxy", "queue"]  # fixtures

NACK = b"\x00\x3c\x00\x78"  # basic.nack: class 60, method 120


def test_many_are_acknowledged_at_once_by_the_thread_of_the_source(
    board: Board, rabbit: RabbitMq, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel that two threads use ends in acknowledgements that never come (pika#963, #1439)."""
    acks = Acks(monkeypatch)
    board.sink.hold = True
    send(rabbit, queue, *numbers(100))
    board.start(settings(rabbit.url, queue))
    board.sink.wait_for(100)
    board.sink.hold = False
    board.sink.commit()
    board.stop(drain=5.0)
    assert acks.threads == {"source-in"}
    assert acks.seen[-1] == (100, True)
    assert len(acks.seen) < 100
    assert left(rabbit, queue) == []


def test_a_message_before_one_that_waits_does_not_acknowledge_it(board: Board, rabbit: RabbitMq) -> None:
    """What goes to a stream with room is acknowledged, also behind what waits for another stream."""
    name = uuid.uuid4().hex
    with channel(rabbit) as client:
        client.exchange_declare(name, "topic", durable=True)
        route = (RouteConfig(topic="alarm", stream="events"),)
        board.start(settings(rabbit.url, name, declare=True, exchange=name, keys=("#",), route=route, window=10))
        board.sink.verdicts["events"] = Verdict.FULL
        publish(client, b"1", key="a", exchange=name)
        board.sink.wait_for(1)
        publish(client, b"waits", key="alarm", exchange=name)
        wait_for(lambda: board.counters.postponed, what="a refusal")
        for payload in numbers(20, first=2):  # more than the window
            publish(client, payload, key="a", exchange=name)
        board.sink.wait_for(21)
        wait_for(lambda: board.status()["under_way"] == 1, what="the acknowledgements")
        board.stop()
        client.queue_unbind(name, name, "#")
        wait_for(lambda: ready(rabbit, name) == 1, what="the one that waits")
        assert left(rabbit, name) == [(b"waits", True)]
        client.queue_delete(name)
        client.exchange_delete(name)


def test_prefetch_is_the_window(board: Board, rabbit: RabbitMq, queue: str) -> None:
    board.sink.hold = True
    board.start(settings(rabbit.url, queue, window=7))
    send(rabbit, queue, *numbers(20))
    board.sink.wait_for(7)
    wait_for(lambda: ready(rabbit, queue) == 13, what="the rest in the queue")
    assert board.status()["under_way"] == 7


@pytest.mark.slow
def test_heartbeats_go_on_while_the_spool_is_full(board: Board, rabbit: RabbitMq, queue: str, proxy: Proxy) -> None:
    """pika#93, #418, #1104: a program that waits in its callback sends none, and the broker ends the connection."""
    board.start(settings(proxy.url, queue, heartbeat=5.0))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    send(rabbit, queue, *numbers(10))
    wait_for(lambda: board.counters.postponed >= 10, what="refusals")
    beat = pika.frame.Heartbeat().marshal()
    before = proxy.sent.count(beat)
    wait_for(lambda: proxy.sent.count(beat) >= before + 5, what="heartbeats for longer than twice the time")
    assert board.problem() == ""
    board.sink.verdicts.clear()
    assert sorted(board.sink.wait_for(10)) == numbers(10)


def test_a_spool_that_is_full_for_long_gives_messages_back_until_there_is_room(board: Board, rabbit: RabbitMq, queue: str) -> None:
    """A broker closes a channel that owes an acknowledgement for longer than its limit."""
    board.start(settings(rabbit.url, queue, give_back_after=1.0))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    send(rabbit, queue, *numbers(50))
    wait_for(lambda: ready(rabbit, queue) == 49, what="the messages in the queue again, but for the scout's")
    assert "the spool is full" in board.problem()
    assert board.status()["stands"]
    with channel(rabbit) as client:  # another consumer gets them
        method, _, _ = client.basic_get(queue, auto_ack=True)
        assert method.redelivered
    send(rabbit, queue, b"new")
    board.sink.verdicts.clear()
    found = board.sink.wait_for(50)
    assert len(set(found)) == 50
    assert b"new" in found
    wait_for(lambda: board.problem() == "", what="the end of the problem")
    board.stop(drain=5.0)
    assert left(rabbit, queue) == []


@pytest.mark.slow
def test_what_a_scout_waits_with_goes_back_in_time_too(board: Board, rabbit: RabbitMq, queue: str, proxy: Proxy) -> None:
    board.start(settings(proxy.url, queue, give_back_after=1.0, window=1))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    send(rabbit, queue, b"one")
    wait_for(lambda: proxy.sent.count(NACK) == 2, what="the second return")
    board.sink.verdicts.clear()
    assert board.sink.wait_for(1) == [b"one"]


def test_what_is_too_large_goes_to_the_dead_letters_and_holds_up_nothing(board: Board, rabbit: RabbitMq, queue: str) -> None:
    name = uuid.uuid4().hex
    make(rabbit, name, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue})
    board.start(settings(rabbit.url, name, max_reading=1000))
    send(rabbit, name, b"1", b"x" * 1001, b"2")
    assert board.sink.wait_for(2) == [b"1", b"2"]
    wait_for(lambda: ready(rabbit, queue) == 1, what="the dead letter")
    board.stop(drain=5.0)
    assert left(rabbit, queue) == [(b"x" * 1001, False)]
    assert left(rabbit, name) == []
    assert [payload for _, payload, _ in board.sink.aside] == [b"x" * 1001], "for queues that have no dead letters"
    with channel(rabbit) as client:
        client.queue_delete(name)


def test_a_queue_that_is_deleted_is_told_and_taken_again_when_it_is_back(board: Board, rabbit: RabbitMq, queue: str) -> None:
    board.start(settings(rabbit.url, queue))
    with channel(rabbit) as client:
        client.queue_delete(queue)
    wait_for(lambda: f"queue '{queue}' at {rabbit.url} is not there" in board.problem(), what="the problem")
    make(rabbit, queue)
    wait_for(lambda: board.status()["stands"], what="the queue")
    send(rabbit, queue, b"again")
    assert board.sink.wait_for(1) == [b"again"]


def test_a_queue_is_made_and_bound_as_told(board: Board, rabbit: RabbitMq) -> None:
    name = uuid.uuid4().hex
    board.begin(settings(rabbit.url, name, declare=True, exchange=name, keys=("a.*", "b.#")))
    wait_for(lambda: f"no exchange '{name}'" in board.problem(), what="the problem")
    with channel(rabbit) as client:
        client.exchange_declare(name, "topic")
        wait_for(lambda: board.status()["stands"], what="the exchange")
        for key in ("a.1", "b", "b.1.2"):
            publish(client, key.encode(), key=key, exchange=name)
        for key in ("a.1.2", "c"):
            with pytest.raises(pika.exceptions.UnroutableError):
                publish(client, b"no", key=key, exchange=name)
        assert board.sink.wait_for(3) == [b"a.1", b"b", b"b.1.2"]
        assert board.topics() == ["a.1", "b", "b.1.2"]
        board.stop()
        client.queue_declare(name, durable=True, passive=True)  # it stays
        client.queue_delete(name)
        client.exchange_delete(name)


def test_a_binding_that_left_the_configuration_is_undone(board: Board, rabbit: RabbitMq, queue: str) -> None:
    """A durable queue keeps it for ever otherwise, as a persistent session does (telegraf#9703)."""
    with channel(rabbit) as client:
        client.exchange_declare(queue, "topic")
        for keys in (("a", "b", "c"), ("a",)):
            board.start(settings(rabbit.url, queue, exchange=queue, keys=keys))
            board.stop()
        publish(client, b"a", key="a", exchange=queue)
        for key in ("b", "c"):
            with pytest.raises(pika.exceptions.UnroutableError):
                publish(client, b"no", key=key, exchange=queue)
        client.exchange_delete(queue)
        board.start(settings(rabbit.url, queue))  # the exchange is gone, and nothing is bound
        assert board.sink.wait_for(1) == [b"a"]


def test_bindings_that_cannot_be_noted_are_told(board: Board, rabbit: RabbitMq, queue: str) -> None:
    board.place.directory.write_text("a file where the directory should be")
    board.begin(settings(rabbit.url, queue, exchange="amq.topic", keys=(queue,)))
    wait_for(lambda: "Not a directory" in board.problem(), what="the problem")
    board.place.directory.unlink()
    wait_for(lambda: board.status()["stands"], what="the connection")


def test_a_routing_key_that_is_not_utf_8_loses_no_message(board: Board, rabbit: RabbitMq, queue: str) -> None:
    name = uuid.uuid4().hex
    with channel(rabbit) as client:
        client.exchange_declare(name, "fanout")
        client.queue_bind(queue, name)
        board.start(settings(rabbit.url, queue))
        publish(client, b"odd", key=b"\xff" * 255, exchange=name)  # type: ignore[arg-type]  # as clients in other languages can
        assert board.sink.wait_for(1) == [b"odd"]
        assert board.topics() == ["?" * 255]
        client.exchange_delete(name)


def test_after_a_crash_only_what_was_not_acknowledged_is_read_again(board: Board, rabbit: RabbitMq, queue: str) -> None:
    board.start(settings(rabbit.url, queue))
    send(rabbit, queue, *numbers(10))
    board.sink.wait_for(10)
    board.stop(drain=5.0)
    board.sink.hold = True
    board.start(settings(rabbit.url, queue))
    send(rabbit, queue, *numbers(5, first=10))
    board.sink.wait_for(15)
    board.crash()
    board.sink.hold = False
    board.start(settings(rabbit.url, queue))
    assert board.sink.wait_for(20) == numbers(15) + numbers(5, first=10)


def test_what_the_broker_says_is_kept_when_asked_for(board: Board, rabbit: RabbitMq, queue: str) -> None:
    board.start(settings(rabbit.url, queue, properties=True))
    said = pika.BasicProperties(
        content_type="application/json", message_id="m-7", timestamp=1_795_000_000, correlation_id="c", reply_to="answers", type="reading",
        app_id="meter", priority=3, headers={"Sensor-Id": 7, "raw": b"\xff", "nested": {"a": [1, None]}}, delivery_mode=2,
    )  # fmt: skip
    with channel(rabbit) as client:
        client.basic_publish("", queue, b'{"celsius": 21.50}', said)
        client.basic_publish("", queue, b"bare", pika.BasicProperties(timestamp=2**63, delivery_mode=2))
    full, bare = (bytes(one) for one in board.sink.wait_for(2))
    event = json.loads(full)
    assert full.endswith(b'"data":{"celsius": 21.50}}')
    assert json.loads(event.pop("headers")) == [["Sensor-Id", 7], ["raw", "\\xff"], ["nested", {"a": [1, None]}]]
    assert event == {
        "specversion": "1.0", "id": "m-7", "source": "/devices/board-7/inputs/in", "type": "device-agent.message.v1", "subject": queue,
        "time": "2026-11-18T11:06:40.000000Z", "datacontenttype": "application/json", "redelivered": False, "correlationid": "c",
        "replyto": "answers", "messagetype": "reading", "appid": "meter", "priority": 3, "data": {"celsius": 21.5},
    }  # fmt: skip
    event = json.loads(bare)
    assert event.pop("id")
    assert event == {
        "specversion": "1.0", "source": "/devices/board-7/inputs/in", "type": "device-agent.message.v1", "subject": queue,
        "redelivered": False, "data_base64": "YmFyZQ==",
    }  # fmt: skip


def test_what_comes_again_says_so(board: Board, rabbit: RabbitMq, queue: str) -> None:
    """So that a consumer can tell a second reading of one message from a second message."""
    board.sink.hold = True
    board.start(settings(rabbit.url, queue, properties=True))
    send(rabbit, queue, b"1")
    board.sink.wait_for(1)
    board.crash()
    board.sink.hold = False
    board.start(settings(rabbit.url, queue, properties=True))
    board.sink.wait_for(2)
    assert [json.loads(bytes(one))["redelivered"] for one in board.sink.payloads()] == [False, True]
