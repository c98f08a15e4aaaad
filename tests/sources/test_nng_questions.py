"""NNG, SUB and SURVEYOR: topics, and answers that come in time or late."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import pynng

from device_agent.config import RouteConfig
from device_agent.ports import Verdict
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports
from tests.sources.conftest import Board
from tests.sources.nngpeers import ANY, Peers, peer, settings

__all__ = ["peer"]  # fixture


# SUB


def test_sub_takes_what_it_subscribes_to_and_the_subscription_is_the_topic(board: Board) -> None:
    (port,) = own_ports(1)
    endpoint = f"tcp://127.0.0.1:{port}"
    with pynng.Pub0(listen=endpoint) as publisher:
        routes = (RouteConfig(topic="temp/kit", stream="events"),)
        board.start(settings(pattern="sub", connect=(endpoint,), subscribe=("temp/", "temp/kitchen/", "hum/"), route=routes))
        sent = [b"temp/kitchen/1", b"noise", b"temp/hall/2", b"hum/3", b"temp\xff"]

        def publish() -> bool:  # a PUB sends to nobody before the subscription
            publisher.send(b"hum/first")
            return bool(board.sink.payloads())

        wait_for(publish, what="the subscription")
        for message in sent:
            publisher.send(message)
        publisher.send(b"hum/last")
        board.sink.wait(lambda: b"hum/last" in board.sink.payloads())
        board.stop()
    assert board.sink.payloads("events") == [b"temp/kitchen/1"]
    assert [payload for payload in board.sink.payloads("telemetry") if payload != b"hum/first"] == [b"temp/hall/2", b"hum/3", b"hum/last"]
    assert {"temp/", "temp/kitchen/", "hum/"} == set(board.topics())


# SURVEYOR


def ask(**changes: Any) -> Any:
    return settings(**({"pattern": "surveyor", "request": "how are you?", "every": 60.0, "timeout": 0.5} | changes))


def test_a_survey_takes_the_answers_that_come_in_time(board: Board) -> None:
    """Of three, one is silent and one is late: they are counted, and a late answer is for nobody."""
    endpoints = [f"tcp://127.0.0.1:{port}" for port in own_ports(3)]
    with ExitStack() as stack:
        prompt, late, _silent = (stack.enter_context(pynng.Respondent0(listen=one, recv_timeout=60_000)) for one in endpoints)
        stack.callback(board.stop)
        board.start(ask(connect=tuple(endpoints), every=0.4, timeout=0.3))

        def answered(who: Any, text: bytes) -> bool:
            assert who.recv() == b"how are you?"
            who.send(text)
            return text in board.sink.payloads()

        wait_for(lambda: board.status()["peers"] == 3, what="all three")
        wait_for(lambda: answered(prompt, b"fine"), what="an answer")
        late.recv()
        rounds = board.status()["rounds"]
        wait_for(lambda: board.status()["rounds"] >= rounds + 1, what="the end of that round")
        late.send(b"sorry")
        wait_for(lambda: answered(prompt, b"still fine"), what="an answer after the late one")
        wait_for(lambda: answered(late, b"in time"), what="an answer in time")
        wait_for(lambda: board.status()["answered"] == len(board.sink.payloads()), what="the count")
        assert board.status()["silent"] >= 2
    assert set(board.sink.payloads()) == {b"fine", b"still fine", b"in time"}
    labels = {bytes(payload): topic for payload, topic in zip(board.sink.payloads(), board.topics(), strict=True)}  # type: ignore[arg-type]
    assert labels == {b"fine": endpoints[0], b"still fine": endpoints[0], b"in time": endpoints[1]}


def test_who_connects_to_a_survey_is_known_by_the_address(board: Board, peer: Peers) -> None:
    board.start(ask(bind=ANY, every=0.2, timeout=0.2))
    respondent = peer(pynng.Respondent0)
    respondent.recv()
    respondent.send(b"")
    assert board.sink.wait_for(1) == [b""]
    assert board.topics() == ["tcp://127.0.0.1"]


def test_a_round_is_skipped_and_counted_while_there_is_no_room(board: Board, peer: Peers) -> None:
    board.start(ask(bind=ANY, every=0.2, timeout=0.1, window=1))
    respondent = peer(pynng.Respondent0)
    board.sink.verdicts["telemetry"] = Verdict.FULL
    respondent.recv()
    respondent.send(b"kept")
    wait_for(lambda: board.status()["skipped"] >= 2, what="skipped rounds")
    rounds = board.status()["rounds"]
    wait_for(lambda: board.status()["skipped"] >= 4, what="more of them")
    assert board.status()["rounds"] == rounds
    board.sink.verdicts.clear()
    assert board.sink.wait_for(1) == [b"kept"]
    wait_for(lambda: board.status()["rounds"] > rounds, what="the next round")


def test_a_late_answer_is_for_no_later_survey_and_costs_no_processor(board: Board, peer: Peers) -> None:
    """It leaves NNG's descriptor readable."""
    board.start(ask(bind=ANY, every=0.3, timeout=0.15))
    respondent, prompt = peer(pynng.Respondent0), peer(pynng.Respondent0)
    respondent.recv()
    over = board.status()["rounds"] + 1
    wait_for(lambda: board.status()["rounds"] >= over, what="the end of the round")
    respondent.send(b"late")
    begun, since, rounds = time.process_time(), time.monotonic(), board.status()["rounds"]
    wait_for(lambda: board.status()["rounds"] >= rounds + 4, what="more rounds", every=0.1)
    assert time.process_time() - begun < 0.5 * (time.monotonic() - since)

    def answered() -> bool:
        prompt.recv()
        prompt.send(b"in time")
        return bool(board.sink.payloads())

    wait_for(answered, what="an answer in time")
    assert set(board.sink.payloads()) == {b"in time"}
