"""Every pattern, with unmodified clients over real sockets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zmq

from device_agent.config import Pattern
from tests.intake.conftest import Bench


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_what_a_push_program_sends_arrives_byte_for_byte_and_in_order(bench: Bench, tmp_path: Path, transport: str) -> None:
    endpoint = bench.run(bind=("tcp://127.0.0.1:*" if transport == "tcp" else f"ipc://{tmp_path}/in",))
    push = bench.client(zmq.PUSH, endpoint)
    sent = [b"", b"\0\0a\0", b"\xff\xfe", "grüße".encode(), *(b"%d" % n for n in range(3000))]
    for payload in sent:
        push.send(payload)
    assert bench.sink.wait_for(len(sent)) == sent
    assert bench.counters.received == len(sent)
    assert bench.counters.received_bytes == sum(map(len, sent))


def test_a_multipart_message_stays_one_reading(bench: Bench) -> None:
    push = bench.client(zmq.PUSH, bench.run())
    sent = [[b"a", b"b"], [b"%d" % n for n in range(50)], [b"", b""], b"x", [b"topic", b"\0\1\2"]]
    for message in sent:
        push.send_multipart([message] if isinstance(message, bytes) else message)
    assert bench.sink.wait_for(len(sent)) == sent


def test_a_sub_input_gets_the_topics_that_it_subscribed_to(bench: Bench) -> None:
    endpoint = bench.run(Pattern.SUB, topic="first-frame", subscribe=("room/",))
    pub = bench.client(zmq.XPUB, endpoint)  # like PUB, but it says when the subscription has arrived
    assert pub.recv() == b"\x01room/"
    for topic in (b"hall/1", b"room/1", b"room/2"):
        pub.send_multipart([topic, b"21.5"])
    assert bench.sink.wait_for(2) == [b"21.5", b"21.5"]
    assert [topic for batch in bench.sink.batches for topic in batch.run.topics or ()] == ["room/1", "room/2"]


def test_a_hello_world_client_gets_its_world(bench: Bench) -> None:
    req = bench.client(zmq.REQ, bench.run(Pattern.REP, reply="World"))
    for _ in range(10):
        req.send(b"Hello")
        assert req.recv() == b"World"
    assert bench.sink.payloads() == [b"Hello"] * 10


def test_a_request_is_answered_with_stream_and_sequence_number(bench: Bench) -> None:
    req = bench.client(zmq.REQ, bench.run(Pattern.REP))
    for seq in (1, 2, 3):
        req.send_multipart([b"a", b"b"] if seq == 2 else [b"a"])
        assert json.loads(req.recv()) == {"ok": True, "stream": "telemetry", "seq": seq}


def test_nobody_is_told_before_the_reading_is_on_disk(bench: Bench) -> None:
    bench.sink.hold = True
    req = bench.client(zmq.REQ, bench.run(Pattern.REP, reply="World"))
    req.send(b"Hello")
    bench.sink.wait_for(1)
    assert not req.poll(100)
    bench.sink.commit()
    assert req.recv() == b"World"


def test_a_refusal_of_the_writer_reaches_the_client(bench: Bench) -> None:
    bench.sink.hold = True
    req = bench.client(zmq.REQ, bench.run(Pattern.REP, reply="World"))
    req.send(b"Hello")
    bench.sink.wait_for(1)
    bench.sink.refuse("the disk fails")
    assert json.loads(req.recv()) == {"ok": False, "again": True, "error": "the disk fails"}
    assert bench.counters.refused == 1


def test_a_correlated_request_gets_its_own_answer_after_one_was_given_up(bench: Bench) -> None:
    bench.sink.hold = True
    endpoint = bench.run(Pattern.REP)
    req = bench.client(zmq.REQ, endpoint, options={zmq.REQ_CORRELATE: 1, zmq.REQ_RELAXED: 1})
    req.send(b"first")
    bench.sink.wait_for(1)
    req.send(b"second")
    assert bench.sink.wait_for(2) == [b"first", b"second"]
    bench.sink.commit()
    assert json.loads(req.recv())["seq"] == 2


def test_a_request_without_delimiter_is_counted_and_discarded(bench: Bench) -> None:
    dealer = bench.client(zmq.DEALER, bench.run(Pattern.REP, reply="World"))
    dealer.send(b"no delimiter")
    dealer.send_multipart([b"", b"Hello"])
    assert dealer.recv_multipart() == [b"", b"World"]
    assert bench.counters.malformed == 1
    assert bench.sink.payloads() == [b"Hello"]


def test_a_dealer_gets_one_answer_a_reading_in_order(bench: Bench) -> None:
    dealer = bench.client(zmq.DEALER, bench.run(Pattern.ROUTER))
    for number in range(500):
        dealer.send(b"%d" % number)
    assert [json.loads(dealer.recv())["seq"] for _ in range(500)] == list(range(1, 501))


def test_answers_to_a_dealer_begin_with_the_id_of_the_reading(bench: Bench) -> None:
    dealer = bench.client(zmq.DEALER, bench.run(Pattern.ROUTER, message_id="first-frame"))
    dealer.send_multipart([b"id-1", b"a", b"b"])
    identity, answer = dealer.recv_multipart()
    assert (identity, json.loads(answer)["ok"]) == (b"id-1", True)
    assert bench.sink.payloads() == [[b"a", b"b"]]


def test_a_dealer_that_emulates_a_req_gets_its_delimiter_back(bench: Bench) -> None:
    dealer = bench.client(zmq.DEALER, bench.run(Pattern.ROUTER))
    dealer.send_multipart([b"", b"a"])
    delimiter, answer = dealer.recv_multipart()
    assert (delimiter, json.loads(answer)["ok"]) == (b"", True)
    assert bench.sink.payloads() == [b"a"]
