"""A change of the configuration: sockets that do not change stay open and lose nothing, the others are closed in order."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
import zmq.auth

from device_agent.config import CurveConfig, InputConfig, Pattern
from device_agent.errors import ConfigError
from device_agent.intake import make_keys
from device_agent.ports import Verdict
from tests.intake.conftest import WAIT, Bench, Sink

PULL = InputConfig(name="in", pattern=Pattern.PULL, stream="telemetry", bind=("tcp://127.0.0.1:*",), high_water_mark=10)
REP = InputConfig(name="in", pattern=Pattern.REP, stream="events", bind=("tcp://127.0.0.1:*",))


def numbers(sink: Sink) -> list[int]:
    return [int(payload) for payload in sink.payloads() if isinstance(payload, bytes)]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:*", "ipc://{}/in"])
def test_what_zeromq_holds_of_a_full_stream_is_read_after_the_change(bench: Bench, tmp_path: Path, endpoint: str) -> None:
    config = replace(PULL, bind=(endpoint.format(tmp_path),))
    bench.sink.verdicts["telemetry"] = Verdict.FULL
    intake = bench.start(config)
    push = bench.client(zmq.PUSH, intake.status()["in"]["endpoints"][0], options={zmq.SNDHWM: 100})
    for number in range(110):
        push.send(b"%d" % number)
    until(lambda: intake.status()["in"]["state"] == "wait")
    for _ in range(3):
        intake.park([config], drain=0.2)
        intake.resume([config], sink=bench.sink)
    assert not bench.sink.batches
    new = bench.sink = Sink("telemetry")
    intake.park([config], drain=0.2)
    intake.resume([config], sink=new)
    new.wait_for(110)
    assert numbers(new) == list(range(110))


def test_another_stream_another_topic_and_another_limit_need_no_new_socket(bench: Bench) -> None:
    intake = bench.start(PULL)
    endpoint = intake.status()["in"]["endpoints"][0]
    push = bench.client(zmq.PUSH, endpoint)
    push.send(b"a")
    bench.sink.wait_for(1)
    changed = replace(PULL, stream="events", topic="fixed", max_reading=3)
    intake.park([changed], drain=0.2)
    push.send(b"b")
    push.send(b"long")
    time.sleep(0.05)
    assert bench.sink.payloads() == [b"a"]  # parked: nothing is read
    intake.resume([changed], sink=bench.sink)
    bench.sink.wait(lambda: bool(bench.sink.payloads("events") and bench.sink.aside))
    assert bench.sink.payloads("events") == [b"b"]
    assert intake.status()["in"]["endpoints"][0] == endpoint


def test_a_changed_input_is_drained_closed_and_opened_at_the_same_place(bench: Bench, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = replace(PULL, bind=(f"tcp://127.0.0.1:{port}", f"ipc://{tmp_path}/in"), high_water_mark=1000)
    intake = bench.start(config)
    push = bench.client(zmq.PUSH, config.bind[0])
    local = bench.client(zmq.PUSH, config.bind[1])
    for number in range(5000):
        push.send(b"%d" % number)
    bench.sink.wait_for(1)
    for mark in range(1001, 1006):
        changed = replace(config, high_water_mark=mark)
        intake.park([changed], drain=120.0)
        intake.resume([changed], sink=bench.sink)
    local.send(b"5000")
    assert sorted(map(int, bench.sink.wait_for(5001))) == list(range(5001))  # type: ignore[arg-type]  # single frames
    assert bench.counters.lost == 0


def test_an_address_within_libzmq_is_never_used_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libzmq gives up the address of a closed monitor a moment later; the memory of the object that it was named after is free at once."""
    addresses: list[str | None] = []
    kept = zmq.Socket.monitor

    def monitor(self: zmq.Socket[bytes], address: str | None, events: int) -> None:
        if address is not None:  # which ends it
            addresses.append(address)
        kept(self, address, events)

    monkeypatch.setattr(zmq.Socket, "monitor", monitor)
    intake = bench.start(PULL)
    for mark in range(1, 30):
        changed = [replace(PULL, high_water_mark=mark)]
        intake.park(changed, drain=0.0)
        intake.resume(changed, sink=bench.sink)
    assert len(set(addresses)) == len(addresses) == 30


def test_an_input_that_goes_while_its_stream_is_full_counts_what_is_lost(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.sink.verdicts["telemetry"] = Verdict.FULL
    other = replace(REP, name="other")
    intake = bench.start(PULL, other)
    push = bench.client(zmq.PUSH, intake.status()["in"]["endpoints"][0], options={zmq.SNDHWM: 100})
    for number in range(110):
        push.send(b"%d" % number)
    until(lambda: intake.status()["in"]["state"] == "wait")
    time.sleep(0.1)
    intake.park([other], drain=0.1)
    intake.resume([other], sink=bench.sink)
    assert list(intake.status()) == ["other"]
    lost = bench.counters.lost
    assert 10 <= lost <= 110
    assert "readings that ZeroMQ held are lost" in caplog.text
    assert f"at_least={lost}" in caplog.text


def test_a_reading_that_waits_for_the_disk_during_the_change_is_answered(bench: Bench) -> None:
    bench.sink.hold = True
    intake = bench.start(REP)
    req = bench.client(zmq.REQ, intake.status()["in"]["endpoints"][0])
    req.send(b"a")
    bench.sink.wait_for(1)
    changed = replace(REP, reply="World")
    intake.park([changed], drain=0.2)
    bench.sink.commit()
    assert json.loads(req.recv()) == {"ok": True, "stream": "events", "seq": 1}
    req.send(b"b")
    bench.sink.hold = False
    intake.resume([changed], sink=bench.sink)
    assert req.recv() == b"World"


def test_what_cannot_be_opened_leaves_the_rest_as_it_was(bench: Bench) -> None:
    gone = replace(PULL, name="gone")
    intake = bench.start(PULL, gone)
    push = bench.client(zmq.PUSH, intake.status()["in"]["endpoints"][0])
    push.send(b"1")
    bench.sink.wait_for(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        new = [PULL, replace(PULL, name="good"), replace(PULL, name="bad", bind=(f"tcp://127.0.0.1:{taken.getsockname()[1]}",))]
        intake.park(new, drain=0.1)
        with pytest.raises(ConfigError, match="input bad: cannot bind"):
            intake.resume(new, sink=bench.sink)
    assert list(intake.status()) == ["in"]
    push.send(b"2")
    intake.resume([gone, PULL], sink=bench.sink)
    assert list(intake.status()) == ["gone", "in"]
    assert bench.sink.wait_for(2) == [b"1", b"2"]


def test_a_key_that_is_added_is_let_in_and_one_that_is_taken_away_is_thrown_out(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    server, secret = make_keys(tmp_path, "server")
    first = make_keys(tmp_path / "allowed", "first")
    config = replace(PULL, curve=CurveConfig(secret_key=str(secret), allow=(str(tmp_path / "allowed"),)))
    intake = bench.start(config)
    endpoint = intake.status()["in"]["endpoints"][0]

    def client(pair: tuple[Path, Path]) -> zmq.Socket[bytes]:
        public, private = zmq.auth.load_certificate(pair[1])
        assert private is not None
        key = zmq.auth.load_certificate(server)[0]
        return bench.client(
            zmq.PUSH, endpoint, options={zmq.CURVE_SERVERKEY: key, zmq.CURVE_PUBLICKEY: public, zmq.CURVE_SECRETKEY: private}
        )

    old = client(first)
    old.send(b"1")
    bench.sink.wait_for(1)
    assert intake.up_to_date()
    second = make_keys(tmp_path / "allowed", "second")
    assert not intake.up_to_date()
    intake.park([config], drain=0.1)
    intake.resume([config], sink=bench.sink)
    assert intake.up_to_date()
    assert intake.status()["in"]["endpoints"][0] == endpoint
    client(second).send(b"2")
    bench.sink.wait_for(2)
    old.send(b"3")  # over the old connection
    bench.sink.wait_for(3)
    first[0].unlink()
    assert not intake.up_to_date()
    intake.park([config], drain=0.1)
    assert intake.status() == {}
    intake.resume([config], sink=bench.sink)
    assert intake.status()["in"]["endpoints"][0] != endpoint  # a new socket, so nobody is connected
