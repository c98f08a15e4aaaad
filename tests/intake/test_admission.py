"""What is let in, what is left outside, and what is refused."""

from __future__ import annotations

import json
import threading

import pytest
import zmq

from device_agent.config import InputConfig, Pattern, RouteConfig
from device_agent.ports import Verdict
from device_agent.wire.limits import MAX_FRAMES, MIB
from tests.intake.conftest import Bench
from tests.lab.agent import wait_for

OVERSIZE = b"x" * 101


@pytest.mark.parametrize("verdict", [Verdict.BUSY, Verdict.FULL])
def test_push_waits_while_there_is_no_room_and_nothing_is_lost(bench: Bench, verdict: Verdict) -> None:
    bench.sink.verdicts["telemetry"] = verdict
    push = bench.client(zmq.PUSH, bench.run(high_water_mark=10), options={zmq.SNDHWM: 10})
    sent = 0
    payload = b"x" * 10_000  # so that the kernel's buffers are full soon
    while push.poll(200, zmq.POLLOUT):
        push.send(payload)
        sent += 1
    assert not bench.sink.payloads()
    bench.sink.verdicts.clear()
    assert bench.sink.wait_for(sent) == [payload] * sent


@pytest.mark.parametrize(("size", "mark", "told"), [(50_000, 1000, True), (50_000, 100, False), (500, 1000, False)])
def test_the_log_says_once_which_setting_bounds_what_zeromq_holds_of_large_readings(
    bench: Bench, caplog: pytest.LogCaptureFixture, size: int, mark: int, told: bool
) -> None:
    push = bench.client(zmq.PUSH, bench.run(high_water_mark=mark))
    for _ in range(350):
        push.send(b"x" * size)
    bench.sink.wait_for(350)
    lines = [record.getMessage() for record in caplog.records if "readings are large" in record.getMessage()]
    assert len(lines) == told
    if told:
        assert "mib_a_peer=47 enough=671" in lines[0]


def test_requests_are_refused_with_the_reason_while_the_disk_is_full_and_taken_when_it_is_not(bench: Bench) -> None:
    req = bench.client(zmq.REQ, bench.run(Pattern.REP))
    bench.sink.verdicts["telemetry"] = Verdict.FULL
    bench.sink.whys["telemetry"] = "256 MiB are used up; wait until the cloud is reached"
    req.send(b"a")
    assert json.loads(req.recv()) == {"ok": False, "again": True, "error": "256 MiB are used up; wait until the cloud is reached"}
    bench.sink.verdicts.clear()
    req.send(b"b")
    assert json.loads(req.recv())["ok"]
    assert bench.sink.payloads() == [b"b"]
    assert (bench.counters.refused, bench.counters.received) == (1, 1)


def test_requests_wait_while_the_writer_is_behind(bench: Bench) -> None:
    bench.sink.verdicts["telemetry"] = Verdict.BUSY
    req = bench.client(zmq.REQ, bench.run(Pattern.REP, reply="World"))
    req.send(b"Hello")
    assert not req.poll(100)
    bench.sink.verdicts.clear()
    assert req.recv() == b"World"


def test_an_input_is_not_read_while_one_of_its_streams_has_no_room(bench: Bench) -> None:
    bench.sink.verdicts["alarms"] = Verdict.FULL
    endpoint = bench.run(topic="first-frame", route=(RouteConfig(topic="alarm", stream="alarms"),))
    push = bench.client(zmq.PUSH, endpoint)
    push.send_multipart([b"temperature", b"21"])
    push.send_multipart([b"alarm/fire", b"!"])
    with pytest.raises(AssertionError, match="in vain"):
        bench.sink.wait(lambda: bool(bench.sink.payloads()), seconds=0.2)
    bench.sink.verdicts.clear()
    bench.sink.wait_for(2)
    assert bench.sink.payloads("alarms") == [b"!"]


def test_a_dealer_is_refused_for_the_full_stream_only(bench: Bench) -> None:
    bench.sink.verdicts["alarms"] = Verdict.FULL
    endpoint = bench.run(Pattern.ROUTER, topic="first-frame", route=(RouteConfig(topic="alarm", stream="alarms"),))
    dealer = bench.client(zmq.DEALER, endpoint)
    dealer.send_multipart([b"temperature", b"21"])
    dealer.send_multipart([b"alarm/fire", b"!"])
    assert [json.loads(dealer.recv())["ok"] for _ in range(2)] == [True, False]


def test_what_is_too_large_for_a_pull_input_is_set_aside_and_counted(bench: Bench) -> None:
    push = bench.client(zmq.PUSH, bench.run(max_reading=100))
    for payload in (b"a", OVERSIZE, b"b"):
        push.send(payload)
    push.send_multipart([b"x" * 50, b"x" * 51])
    push.send(b"c")
    assert bench.sink.wait_for(3) == [b"a", b"b", b"c"]
    wait_for(lambda: len(bench.sink.aside) == 2)  # a turn's batches first, then what was too large in it
    assert [payload for _, payload, _ in bench.sink.aside] == [OVERSIZE, [b"x" * 50, b"x" * 51]]
    assert bench.counters.oversize == 2


def test_a_message_of_one_mebibyte_is_set_aside_and_the_connection_lives(bench: Bench) -> None:
    push = bench.client(zmq.PUSH, bench.run())
    push.send(b"x" * MIB)
    push.send(b"after")
    assert bench.sink.wait_for(1) == [b"after"]
    assert [len(payload) for _, payload, _ in bench.sink.aside] == [MIB]


def test_a_request_of_one_mebibyte_is_refused_with_the_limit(bench: Bench) -> None:
    req = bench.client(zmq.REQ, bench.run(Pattern.REP))
    req.send(b"x" * MIB)
    why = f"the reading has {MIB} bytes; this input takes at most {700 * 1024} (`max_reading` of the input)"
    assert json.loads(req.recv()) == {"ok": False, "again": False, "error": why}
    assert (bench.counters.refused, bench.counters.oversize) == (1, 1)
    assert not bench.sink.aside


def test_more_frames_than_a_reading_may_have_are_refused(bench: Bench) -> None:
    req = bench.client(zmq.REQ, bench.run(Pattern.REP))
    req.send_multipart([b""] * (MAX_FRAMES + 1))
    assert "frames" in json.loads(req.recv())["error"]
    req.send_multipart([b""] * MAX_FRAMES)
    assert json.loads(req.recv())["ok"]


def test_of_a_message_with_absurdly_many_frames_only_some_are_kept(bench: Bench) -> None:
    push = bench.client(zmq.PUSH, bench.run())
    push.send_multipart([b""] * 10 * MAX_FRAMES)
    push.send(b"after")
    assert bench.sink.wait_for(1) == [b"after"]
    assert [len(payload) for _, payload, _ in bench.sink.aside] == [4 * MAX_FRAMES]


def test_a_flood_on_one_input_does_not_starve_another(bench: Bench) -> None:
    intake = bench.start(
        InputConfig(name="in", pattern=Pattern.PULL, stream="telemetry", bind=("tcp://127.0.0.1:*",)),
        InputConfig(name="quiet", pattern=Pattern.REP, stream="events", bind=("tcp://127.0.0.1:*",)),
    )
    endpoints = {name: entry["endpoints"][0] for name, entry in intake.status().items()}
    over = threading.Event()

    def flood() -> None:
        with bench.context.socket(zmq.PUSH) as push:
            push.setsockopt(zmq.LINGER, 0)
            push.connect(endpoints["in"])
            while not over.is_set():
                for _ in range(500):
                    push.send(b"flood")

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        bench.sink.wait_for(2000)
        req = bench.client(zmq.REQ, endpoints["quiet"])
        for seq in range(1, 21):
            req.send(b"quiet")
            assert json.loads(req.recv())["seq"] == seq
    finally:
        over.set()
        flooding.join()


def test_readings_of_one_turn_share_their_time_and_clock_state(bench: Bench) -> None:
    push = bench.client(zmq.PUSH, bench.run())
    push.send(b"a")
    bench.sink.wait_for(1)
    run = bench.sink.batches[0].run
    assert run.received > 1_700_000_000_000_000
    assert run.synced in {True, False}
    assert run.clients is None
