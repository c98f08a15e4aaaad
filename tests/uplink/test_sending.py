"""What the uplink does when nothing goes wrong, against the scripted SQS over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

from device_agent.config import UplinkConfig
from device_agent.metrics import Metrics
from tests.fakes.spool import FakeSpool
from tests.fakes.sqs import FakeSqs, Fault
from tests.uplink.conftest import Start
from tests.uplink.support import FAST, envelopes, payloads, put, stream

Eventually = Callable[[Callable[[], bool]], None]


def test_what_the_spool_holds_arrives_and_is_settled(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    metrics = Metrics()
    put(spool, "telemetry", b"a", b"b")
    start(spool, stream(sqs.create("telemetry")), metrics=metrics)
    put(spool, "telemetry", b"c")
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 3)])
    assert sorted(payloads(sqs.bodies("telemetry"))) == [b"a", b"b", b"c"]
    counted = metrics.streams["telemetry"]
    assert (counted.sent, counted.sent_messages) == (3, 2)
    assert counted.sent_bytes == sum(len(body.encode()) for body in sqs.bodies("telemetry"))
    assert spool.in_flight("telemetry") == []


def test_a_standard_queue_gets_ten_envelopes_a_request_and_several_requests_at_once(
    sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", *(b"%d" % number for number in range(60)))
    sqs.script(Fault("slow", seconds=0.1, times=None))
    start(spool, stream(sqs.create("telemetry")))
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 60)])
    assert [entries for operation, _, entries in sqs.requests if operation == "SendMessageBatch"] == [10] * 6
    assert sqs.most_in_flight == 3
    assert all(one.group is None and one.deduplication_id is None for one in sqs.accepted)


def test_a_fifo_queue_gets_a_group_in_order_one_message_at_a_time(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("events", envelope=1)
    put(spool, "events", *(b"%d" % number for number in range(30)))
    start(spool, stream(sqs.create("events.fifo")))
    eventually(lambda: spool.delivered_ranges("events") == [(1, 30)])
    assert payloads(sqs.bodies("events.fifo")) == [b"%d" % number for number in range(30)]
    assert sqs.most_in_flight == 1
    assert {one.group for one in sqs.accepted} == {"board-7.events"}
    assert [one.deduplication_id for one in sqs.accepted] == [one.id for one in envelopes(sqs.bodies("events.fifo"))]


def test_streams_of_one_fifo_queue_share_requests(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    names = [f"events{number}" for number in range(5)]
    spool = FakeSpool(*names, envelope=1)
    for name in names:
        put(spool, name, *(b"%d" % number for number in range(6)))
    url = sqs.create("events.fifo")
    start(spool, *(stream(url, name) for name in names), config=UplinkConfig(senders=1))
    eventually(lambda: all(spool.delivered_ranges(name) == [(1, 6)] for name in names))
    assert [entries for operation, _, entries in sqs.requests if operation == "SendMessageBatch"] == [5] * 6
    for name in names:
        mine = [one.body for one in sqs.accepted if one.group == f"board-7.{name}"]
        assert payloads(mine) == [b"%d" % number for number in range(6)]


def test_streams_with_one_group_never_share_a_request(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("one", "two", envelope=1)
    for name in ("one", "two"):
        put(spool, name, *(b"%d" % number for number in range(10)))
    sqs.script(Fault("slow", seconds=0.01, times=None))
    url = sqs.create("events.fifo")
    start(spool, stream(url, "one", group="{device}"), stream(url, "two", group="{device}"))
    eventually(lambda: all(spool.delivered_ranges(name) == [(1, 10)] for name in ("one", "two")))
    assert sqs.most_in_flight == 1
    assert {entries for operation, _, entries in sqs.requests if operation == "SendMessageBatch"} == {1}


def test_a_standard_queue_gets_a_group_only_where_one_is_configured(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    start(spool, stream(sqs.create("telemetry"), group="fair.{device}"))
    eventually(lambda: len(sqs.accepted) == 1)
    assert sqs.accepted[0].group == "fair.board-7"
    assert sqs.accepted[0].deduplication_id is None


def test_without_packing_each_reading_is_a_message_that_anybody_can_read(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("plain")
    readings = [b'{"t": 21.5}', b"\x00\xff", b"", "Grüße".encode()]
    put(spool, "plain", *readings)
    start(spool, stream(sqs.create("plain.fifo"), pack=False))
    eventually(lambda: spool.delivered_ranges("plain") == [(1, 4)])
    assert payloads(sqs.bodies("plain.fifo")) == readings
    assert json.loads(sqs.bodies("plain.fifo")[0])["data"] == {"t": 21.5}


def test_live_readings_overtake_a_backlog_on_a_standard_queue(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", *(b"old" for _ in range(300)))
    sqs.script(Fault("slow", seconds=0.02, times=None))
    start(spool, stream(sqs.create("telemetry")), config=UplinkConfig(senders=1))
    eventually(lambda: len(sqs.accepted) >= 30)
    put(spool, "telemetry", b"live")
    before = len(sqs.accepted)
    eventually(lambda: b"live" in payloads(sqs.bodies("telemetry")))
    assert payloads(sqs.bodies("telemetry")).index(b"live") < before + 40
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 301)])


def test_the_bandwidth_cap_holds(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", *(b"x" * 20 for _ in range(30)))
    began = time.monotonic()
    start(spool, stream(sqs.create("telemetry")), config=UplinkConfig(senders=3, max_rate=20_000))
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 30)])
    took = time.monotonic() - began
    total = sum(len(one.body) for one in sqs.accepted)
    first = sum(len(one.body) for one in sqs.accepted[:10])
    assert total - first < 20_000 * took
    assert total - first > 5_000


def test_an_idle_uplink_sleeps(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    start(spool, stream(sqs.create("telemetry")))
    put(spool, "telemetry", b"x")
    eventually(lambda: len(sqs.accepted) == 1)
    time.sleep(0.1)
    began = time.process_time()
    time.sleep(1.0)
    assert time.process_time() - began < 0.25  # a busy loop takes all of it


def test_a_stop_sends_what_is_there_and_gives_the_rest_back(sqs: FakeSqs, start: Start) -> None:
    spool = FakeSpool("telemetry", envelope=1)
    uplink = start(spool, stream(sqs.create("telemetry")))
    put(spool, "telemetry", *(b"x" for _ in range(40)))
    uplink.stop(120.0)
    assert spool.delivered_ranges("telemetry") == [(1, 40)]
    put(spool, "telemetry", b"after")
    time.sleep(0.05)
    assert len(sqs.accepted) == 40


def test_a_stop_is_bounded_although_the_endpoint_hangs(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    sqs.script(Fault("hang", seconds=60, times=None))
    uplink = start(spool, stream(sqs.create("telemetry")), config=UplinkConfig(read_timeout=60.0))
    put(spool, "telemetry", b"x")
    eventually(lambda: bool(sqs.requests))
    began = time.monotonic()
    uplink.stop(0.3)
    assert time.monotonic() - began < 50, "it waits for the answer"
    assert spool.in_flight("telemetry") == []
    assert spool.delivered_ranges("telemetry") == []


def test_a_second_stop_ends_the_first_at_once(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    sqs.script(Fault("hang", seconds=60, times=None))
    uplink = start(spool, stream(sqs.create("telemetry")), config=UplinkConfig(read_timeout=60.0))
    put(spool, "telemetry", b"x")
    eventually(lambda: bool(sqs.requests))
    first = threading.Thread(target=uplink.stop, args=(600.0,))
    first.start()
    eventually(lambda: uplink._flushing is not None)
    uplink.stop(600.0)
    first.join(300)
    assert not first.is_alive(), "it goes on waiting"


def test_what_the_queue_takes_is_read_from_the_queue(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    uplink = start(spool, stream(sqs.create("telemetry", MaximumMessageSize="4096")), config=FAST)
    eventually(lambda: len(sqs.accepted) == 1)
    assert uplink.status()["telemetry"]["max_message"] == 4096
    assert uplink.status()["telemetry"]["state"] == "ok"
