"""Faults of the intake's peers: they do not listen, vanish, share a name, come in crowds, or talk nonsense."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq

from device_agent.config import Pattern
from device_agent.intake.replies import MAX_REFUSALS, MAX_WAITING, Outbox
from device_agent.metrics import InputMetrics
from tests.intake.conftest import WAIT, Bench, bench, path

__all__ = ["bench", "path"]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.mark.parametrize("message_id", ["none", "first-frame"])
def test_a_dealer_that_pipelines_5000_and_reads_late_hears_about_every_one(bench: Bench, message_id: str) -> None:
    dealer = bench.client(zmq.DEALER, bench.run(Pattern.ROUTER, message_id=message_id), options={zmq.SNDHWM: 0, zmq.RCVHWM: 10})
    for number in range(5000):
        dealer.send_multipart([b"%d" % number, b"x"])
    until(lambda: bench.counters.received + bench.counters.refused == 5000)
    answers = [dealer.recv_multipart() for _ in range(5000)]
    verdicts = [json.loads(answer[-1]) for answer in answers]
    kept = [verdict["seq"] for verdict in verdicts if verdict["ok"]]
    assert kept == list(range(1, len(bench.sink.payloads()) + 1))
    assert len(kept) == bench.counters.received
    if message_id == "first-frame":
        assert sorted(int(answer[0]) for answer in answers) == list(range(5000))
    assert bench.counters.replies == 5000


class Router:
    """A ROUTER socket whose peers take nothing, or have gone."""

    def __init__(self) -> None:
        self.error: int | None = zmq.EAGAIN
        self.sent: list[list[bytes]] = []
        self._frames: list[bytes] = []

    def send(self, frame: bytes, flags: int) -> None:
        if self.error is not None:
            raise zmq.Again(self.error) if self.error == zmq.EAGAIN else zmq.ZMQError(self.error)
        self._frames.append(frame)
        if not flags & zmq.SNDMORE:
            self.sent.append(self._frames)
            self._frames = []


@pytest.mark.parametrize("ordered", [True, False])
def test_answers_that_nobody_takes_are_bounded(ordered: bool) -> None:
    router, metrics = Router(), InputMetrics()
    outbox = Outbox(router, metrics=metrics, ordered=ordered)  # type: ignore[arg-type]  # the part of a socket that it uses
    for number in range(MAX_WAITING + MAX_REFUSALS + 5):
        outbox.answer(outbox.slot([b"peer"]), b"%d" % number)
    assert outbox.waiting(b"peer") == MAX_WAITING + MAX_REFUSALS
    assert metrics.replies_lost == 5
    router.error = None
    outbox.retry()
    assert [frames[-1] for frames in router.sent] == [b"%d" % number for number in range(MAX_WAITING + MAX_REFUSALS)]
    assert not outbox.stuck
    assert not outbox._peers


def test_a_peer_that_has_gone_is_forgotten_with_all_that_waits_for_it() -> None:
    router, metrics = Router(), InputMetrics()
    outbox = Outbox(router, metrics=metrics, ordered=True)  # type: ignore[arg-type]  # as above
    for _ in range(10):
        outbox.answer(outbox.slot([b"peer"]), b"x")
    router.error = zmq.EHOSTUNREACH
    outbox.retry()
    assert (metrics.replies, metrics.replies_lost) == (0, 10)
    assert not outbox.stuck
    assert not outbox._peers


def test_a_refusal_does_not_overtake_the_answers_before_it() -> None:
    router = Router()
    router.error = None
    outbox = Outbox(router, metrics=InputMetrics(), ordered=True)  # type: ignore[arg-type]  # as above
    first, second = outbox.slot([b"peer"]), outbox.slot([b"peer"])
    outbox.answer(second, b"refused")
    assert not router.sent
    outbox.answer(first, b"kept")
    assert router.sent == [[b"peer", b"kept"], [b"peer", b"refused"]]


def test_peers_that_vanish_before_their_answer_are_counted_and_cost_nothing(bench: Bench) -> None:
    bench.sink.hold = True
    endpoint = bench.run(Pattern.REP)
    for _ in range(20):
        with bench.context.socket(zmq.REQ) as req:
            req.setsockopt(zmq.LINGER, 1000)
            req.connect(endpoint)
            req.send(b"gone soon")
    bench.sink.wait_for(20)
    intake = bench.intakes[0]
    until(lambda: intake.status()["in"]["peers"] == 0)
    bench.sink.commit()
    until(lambda: bench.counters.replies_lost == 20)


def test_of_two_clients_with_one_identity_the_newer_is_heard(bench: Bench) -> None:
    endpoint = bench.run(Pattern.ROUTER)
    old = bench.client(zmq.DEALER, endpoint, options={zmq.ROUTING_ID: b"same"})
    old.send(b"old")
    assert json.loads(old.recv())["ok"]
    new = bench.client(zmq.DEALER, endpoint, options={zmq.ROUTING_ID: b"same"})
    new.send(b"new")
    assert json.loads(new.recv())["ok"]
    assert bench.sink.payloads() == [b"old", b"new"]


def test_peers_beyond_max_connections_wait_and_lose_nothing(bench: Bench) -> None:
    endpoint = bench.run(max_connections=2)
    first = [bench.client(zmq.PUSH, endpoint) for _ in range(2)]
    for push in first:
        push.send(b"first")
    bench.sink.wait_for(2)
    late = bench.client(zmq.PUSH, endpoint, options={zmq.RECONNECT_IVL: 10})
    late.send(b"late")
    first[0].send(b"not cut")
    assert bench.sink.wait_for(3) == [b"first", b"first", b"not cut"]
    first[0].close(0)
    assert bench.sink.wait_for(4)[-1] == b"late"


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_flood_of_connections_is_held_at_the_limit(bench: Bench, tmp_path: Path, transport: str) -> None:
    endpoint = bench.run(
        Pattern.REP, reply="World", max_connections=20, bind=(f"ipc://{tmp_path}/in" if transport == "ipc" else "tcp://127.0.0.1:*",)
    )
    req = bench.client(zmq.REQ, endpoint)
    req.send(b"Hello")
    assert req.recv() == b"World"
    intake = bench.intakes[0]
    with ExitStack() as flood:
        for _ in range(200):
            raw = flood.enter_context(socket.socket(socket.AF_UNIX if transport == "ipc" else socket.AF_INET))
            raw.setblocking(False)
            raw.connect_ex(endpoint.removeprefix("ipc://") if transport == "ipc" else ("127.0.0.1", int(endpoint.rpartition(":")[2])))
        until(lambda: intake.status()["in"]["peers"] == 20)
        req.send(b"Hello")
        assert req.recv() == b"World"
    until(lambda: intake.status()["in"]["peers"] == 1)


def test_bytes_that_are_not_zeromq_at_all_do_no_harm(bench: Bench) -> None:
    endpoint = bench.run(Pattern.REP, reply="World")
    for rubbish in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"\xff" + b"\0" * 8 + b"\x7f" + b"\xff" * 100):
        with socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2]))) as raw:
            raw.sendall(rubbish)
    req = bench.client(zmq.REQ, endpoint)
    req.send(b"Hello")
    assert req.recv() == b"World"


def test_a_frame_above_zeromqs_own_limit_costs_the_peer_its_connection_and_nobody_else_anything(bench: Bench) -> None:
    endpoint = bench.run()
    bench.client(zmq.PUSH, endpoint).send(b"x" * (4 * 700 * 1024 + 1))
    push = bench.client(zmq.PUSH, endpoint)
    push.send(b"a")
    assert bench.sink.wait_for(1) == [b"a"]


def test_a_producer_that_never_pauses_loses_no_order_when_the_agent_stops(bench: Bench) -> None:
    endpoint = bench.run()
    over = threading.Event()

    def produce() -> None:
        with bench.context.socket(zmq.PUSH) as push:
            push.setsockopt(zmq.LINGER, 0)
            push.setsockopt(zmq.SNDTIMEO, 20)
            push.connect(endpoint)
            number = 0
            while not over.is_set():
                try:
                    push.send(b"%d" % number)
                except zmq.Again:
                    continue
                number += 1

    producing = threading.Thread(target=produce)
    producing.start()
    try:
        bench.sink.wait_for(1000)
        bench.intakes[0].stop(0.1)
    finally:
        over.set()
        producing.join()
    payloads = bench.sink.payloads()
    assert payloads == [b"%d" % number for number in range(len(payloads))]
