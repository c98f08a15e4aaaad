"""The contract of a source: every kind passes it, against real brokers where they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agent.config import RouteConfig
from device_agent.ports import Verdict
from tests.lab.agent import wait_for
from tests.sources.brokers import ActiveMq, RabbitStomp
from tests.sources.conftest import Board, board
from tests.sources.sides import SIDES, Side

__all__ = ["board"]  # fixture

#: Any bytes may be a reading.
PAYLOADS = [b"plain", b"", b"\0\xff\0", "Grüße".encode(), b"x" * 100_000]


@pytest.fixture(scope="module")
def activemq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActiveMq]:
    with ActiveMq(tmp_path_factory.mktemp("activemq")) as made:
        yield made


@pytest.fixture(scope="module")
def rabbitstomp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitStomp]:
    with RabbitStomp(tmp_path_factory.mktemp("rabbitmq")) as made:
        yield made


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest, tmp_path: Path, board: Board) -> Iterator[Side]:
    with SIDES[request.param](request, tmp_path, board) as made:
        yield made
        board.sink.hold = False
        board.sink.commit()
        board.stop()
        made.close()


def test_messages_arrive_in_order_whatever_their_bytes(board: Board, side: Side) -> None:
    board.start(side.settings())
    side.send(*PAYLOADS)
    assert board.sink.wait_for(len(PAYLOADS)) == PAYLOADS
    assert board.topics() == [side.label("a/b")] * len(PAYLOADS)
    wait_for(lambda: board.counters.replies == len(PAYLOADS), what="all answers")


def test_topics_lead_to_streams(board: Board, side: Side) -> None:
    if not side.labelled:
        pytest.skip("a message of this kind has no topic of its own: all go to one stream")
    board.start(side.settings(route=(RouteConfig(topic=side.label("a/alarm"), stream="events"),)))
    side.send(b"1", topic="a/b")
    side.send(b"2", topic="a/alarm/fire")
    side.send(b"3", topic="a/b")
    board.sink.wait_for(3)
    assert board.sink.payloads("events") == [b"2"]
    assert board.sink.payloads("telemetry") == [b"1", b"3"]


def test_what_was_not_on_disk_when_the_agent_died_comes_again(board: Board, side: Side) -> None:
    """Nothing is acknowledged before the disk: the other side still has it."""
    if side.forgets:
        pytest.skip(side.forgets)
    board.start(side.settings())
    side.send(b"kept")
    board.sink.wait_for(1)
    wait_for(lambda: board.counters.replies == 1, what="its answer")
    wait_for(lambda: not side.waits, what="the acknowledgement")
    board.sink.hold = True
    side.send(b"one", b"two")
    board.sink.wait_for(2)  # kept and one at least; http and coap send one at a time
    board.crash()
    board.sink.hold = False
    board.start(side.settings())
    board.sink.wait(lambda: {b"one", b"two"} <= set(committed(board)))
    assert committed(board).count(b"kept") == 1


def test_a_full_spool_keeps_messages_where_they_are(board: Board, side: Side) -> None:
    board.start(side.settings(window=4))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    side.send(*(b"%d" % number for number in range(10)))
    wait_for(lambda: board.counters.refused + board.counters.postponed >= 4, what="refusals")
    assert board.sink.payloads() == []
    board.sink.verdicts.clear()
    found = [int(bytes(payload)) for payload in board.sink.wait_for(10)]
    assert sorted(found) == list(range(10))
    assert board.problem() == ""


def test_what_is_never_taken_holds_up_nothing(board: Board, side: Side) -> None:
    board.start(side.settings(max_reading=1000, window=2))
    side.send(b"before", b"x" * 1001, b"y" * 1001, b"z" * 1001, b"after")
    assert board.sink.wait_for(2) == [b"before", b"after"]
    side.send(b"end")
    assert board.sink.wait_for(3)[2:] == [b"end"]


def test_a_topic_that_is_too_long_for_a_label_is_refused_or_kept_as_a_frame(board: Board, side: Side) -> None:
    board.start(side.settings())
    topic = "a/" + "t" * 300
    if not side.labelled or len(topic) > side.longest:
        pytest.skip("a message of this kind has no such topic")
    side.send(b"long", topic=topic)
    side.send(b"end")
    kept = [] if side.told else [[side.label(topic).encode(), b"long"]]
    found = [list(one) if isinstance(one, list | tuple) else one for one in board.sink.wait_for(1 + len(kept))]
    assert found == [*kept, b"end"]


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
