"""Starting and stopping."""

from __future__ import annotations

import json
import threading
import time

import pytest
import zmq

from device_agent.clock import SystemClock
from device_agent.config import InputConfig, Pattern
from device_agent.descriptors import Descriptors
from device_agent.intake import Intake
from device_agent.metrics import Metrics, ProcessMetrics
from tests.intake.conftest import Bench, Sink
from tests.lab.leaks import open_files

PULL = InputConfig(name="in", pattern=Pattern.PULL, stream="telemetry", bind=("tcp://127.0.0.1:*",))


def test_a_stop_drains_what_zeromq_holds(bench: Bench) -> None:
    intake = bench.start(PULL)
    push = bench.client(zmq.PUSH, intake.status()["in"]["endpoints"][0])
    for _ in range(5000):
        push.send(b"x" * 100)
    bench.sink.wait_for(1)
    intake.stop(5.0)
    assert len(bench.sink.payloads()) == 5000
    assert not intake.alive


def test_a_stop_ends_although_a_producer_goes_on(bench: Bench) -> None:
    intake = bench.start(PULL)
    endpoint = intake.status()["in"]["endpoints"][0]
    over = threading.Event()

    def produce() -> None:
        with bench.context.socket(zmq.PUSH) as push:
            push.setsockopt(zmq.LINGER, 0)
            push.setsockopt(zmq.SNDTIMEO, 50)
            push.connect(endpoint)
            while not over.is_set():
                try:
                    push.send(b"x")
                except zmq.Again:
                    continue

    producing = threading.Thread(target=produce)
    producing.start()
    try:
        bench.sink.wait_for(100)
        begun = time.monotonic()
        intake.stop(0.2)
        assert time.monotonic() - begun < 60
    finally:
        over.set()
        producing.join()


def test_the_last_answers_leave_before_the_end(bench: Bench) -> None:
    bench.sink.hold = True
    intake = bench.start(InputConfig(name="in", pattern=Pattern.REP, stream="telemetry", bind=("tcp://127.0.0.1:*",)))
    req = bench.client(zmq.REQ, intake.status()["in"]["endpoints"][0])
    req.send(b"a")
    bench.sink.wait_for(1)
    stopping = threading.Thread(target=intake.stop, args=(0.1,))
    stopping.start()
    bench.sink.commit()
    assert json.loads(req.recv())["ok"]
    stopping.join()
    assert not intake.alive


def test_a_stop_without_a_start_and_a_second_stop_do_no_harm() -> None:
    intake = Intake([PULL], sink=Sink(), clock=SystemClock(), metrics=Metrics(), descriptors=Descriptors(ProcessMetrics()))
    intake.stop(0.0)
    assert not intake.alive
    intake.stop(0.0)


def test_many_starts_and_stops_leave_nothing_open() -> None:
    before = open_files()
    for _ in range(20):
        intake = Intake([PULL], sink=Sink(), clock=SystemClock(), metrics=Metrics(), descriptors=Descriptors(ProcessMetrics()))
        intake.start()
        assert intake.alive
        intake.stop(0.0)
    assert open_files() == before


def test_a_bug_in_the_receiver_shows_as_not_alive(bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(stream: str) -> None:
        raise ZeroDivisionError(stream)

    intake = bench.start(PULL)
    assert intake.alive
    push = bench.client(zmq.PUSH, intake.status()["in"]["endpoints"][0])
    monkeypatch.setattr(bench.sink, "verdict", broken)
    push.send(b"a")
    intake._thread.join(120)
    assert not intake.alive
    assert "receiver died" in caplog.text


def test_nothing_to_do_costs_next_to_nothing(bench: Bench) -> None:
    bench.run()
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(1.0)
    assert time.process_time() - before < 0.25  # a busy loop takes all of it; `bench` has the goal
