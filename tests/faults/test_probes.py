"""ZMQ_PROBE_ROUTER: a peer that sends an empty message when it connects has sent no reading.

The public report: https://github.com/zeromq/libzmq/issues/1092 (what the empty message is for; whoever does not know it takes it for
data). Here it became a reading, and its answer put a DEALER one answer out of step.
"""

from __future__ import annotations

import json

import pytest
import zmq

from device_agent.config import Pattern
from device_agent.intake.native import library
from tests.intake.conftest import Bench, bench

__all__ = ["bench"]  # fixture


@pytest.fixture(params=["native", "python"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(library, "find", lambda: library.Found(None, "tried without"))
    elif library.find().library is None:
        pytest.skip(str(library.find()))


@pytest.mark.parametrize("message_id", ["none", "first-frame"])
def test_a_dealers_probe_is_no_reading_and_draws_no_answer(bench: Bench, message_id: str) -> None:
    dealer = bench.client(zmq.DEALER, bench.run(Pattern.ROUTER, message_id=message_id), options={zmq.PROBE_ROUTER: 1})
    dealer.send_multipart([b"1", b"reading"] if message_id == "first-frame" else [b"reading"])
    *ident, answer = dealer.recv_multipart()
    assert json.loads(answer)["seq"] == 1
    assert ident == ([b"1"] if message_id == "first-frame" else [])
    assert bench.sink.payloads() == [b"reading"]
    assert (bench.counters.probes, bench.counters.malformed, bench.counters.received) == (1, 0, 1)


def test_a_reqs_probe_is_no_request(bench: Bench) -> None:
    req = bench.client(zmq.REQ, bench.run(Pattern.REP), options={zmq.PROBE_ROUTER: 1})
    req.send(b"")
    assert json.loads(req.recv())["seq"] == 1
    assert bench.sink.payloads() == [b""], "an empty request is one"
    assert (bench.counters.probes, bench.counters.malformed) == (1, 0)


def test_who_means_an_empty_reading_can_say_so(bench: Bench) -> None:
    dealer = bench.client(zmq.DEALER, bench.run(Pattern.ROUTER, skip_probes=False))
    dealer.send(b"")
    assert json.loads(dealer.recv())["seq"] == 1
    assert bench.sink.payloads() == [b""]
    assert bench.counters.probes == 0


def test_an_empty_reading_behind_a_delimiter_is_one(bench: Bench) -> None:
    dealer = bench.client(zmq.DEALER, bench.run(Pattern.ROUTER))
    dealer.send_multipart([b"", b""])
    assert json.loads(dealer.recv_multipart()[-1])["seq"] == 1
    assert bench.sink.payloads() == [b""]
    assert bench.counters.probes == 0


def test_an_empty_message_of_push_is_a_reading(bench: Bench) -> None:
    push = bench.client(zmq.PUSH, bench.run())
    push.send(b"")
    assert bench.sink.wait_for(1) == [b""]
