"""NNG, REP and PULL: when a program is answered, and what happens without room."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import pynng
import pytest

from device_agent.config import RouteConfig
from device_agent.ports import Verdict
from device_agent.sources.nng import source as nng
from device_agent.sources.nng import sp
from tests.lab.agent import wait_for
from tests.sources.conftest import Board
from tests.sources.nngpeers import ANY, Peers, answer, peer, settings

__all__ = ["peer"]  # fixture


# REP


def test_a_request_is_answered_after_the_disk(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="rep", bind=ANY))
    client = peer(pynng.Req0)
    board.sink.hold = True
    client.send(b"hello")
    board.sink.wait_for(1)
    with pytest.raises(pynng.TryAgain):
        client.recv(block=False)
    board.sink.hold = False
    board.sink.commit()
    assert answer(client) == {"ok": True, "stream": "telemetry", "seq": 1}


def test_the_answer_is_as_told_and_names_the_stream_that_took_it(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="rep", bind=ANY, topic="alarm/1", route=(RouteConfig(topic="alarm/", stream="events"),)))
    client = peer(pynng.Req0)
    client.send(b"x")
    assert answer(client) == {"ok": True, "stream": "events", "seq": 1}
    board.stop()
    board.start(settings(pattern="rep", bind=ANY, reply="World"))
    client = peer(pynng.Req0)
    client.send(b"Hello")
    assert client.recv() == b"World"


def test_a_request_that_waits_for_the_disk_holds_up_no_answer_to_others(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="rep", bind=ANY, max_reading=100))
    clients = [peer(pynng.Req0) for _ in range(5)]
    board.sink.hold = True
    clients[0].send(b"slow")
    board.sink.wait_for(1)
    for client in clients[1:]:
        client.send(b"x" * 101)  # refused at once
        assert answer(client)["ok"] is False
    with pytest.raises(pynng.TryAgain):
        clients[0].recv(block=False)
    board.sink.hold = False
    board.sink.commit()
    assert answer(clients[0]) == {"ok": True, "stream": "telemetry", "seq": 1}


def test_one_client_with_many_requests_under_way_gets_each_answer(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="rep", bind=ANY))
    client = peer(pynng.Req0)
    with ExitStack() as stack:
        contexts = [stack.enter_context(client.new_context()) for _ in range(300)]
        for number, context in enumerate(contexts):
            context.send(b"%d" % number)
        found = [json.loads(context.recv())["seq"] for context in contexts]
    assert sorted(found) == list(range(1, 301))
    assert [board.sink.payloads()[seq - 1] for seq in found] == [b"%d" % number for number in range(300)]


def test_a_request_that_finds_no_room_is_refused(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="rep", bind=ANY))
    client = peer(pynng.Req0)
    board.sink.verdicts["telemetry"] = Verdict.FULL
    client.send(b"x")
    said = answer(client)
    assert (said["ok"], said["again"]) == (False, True)
    assert "full" in said["error"]
    board.sink.verdicts.clear()
    client.send(b"x")
    assert answer(client)["ok"] is True


def test_a_request_that_is_too_large_is_refused_for_ever_with_the_limit(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="rep", bind=ANY, max_reading=1000))
    client = peer(pynng.Req0)
    for size in (1001, sp.LARGEST - 100):
        client.send(b"x" * size)
        said = answer(client)
        assert (said["ok"], said["again"]) == (False, False)
        assert "1000" in said["error"] or "1,000" in said["error"]


def test_above_the_hard_limit_the_connection_ends_and_others_are_served(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="rep", bind=ANY))
    large, client = peer(pynng.Req0), peer(pynng.Req0)
    ended: list[Any] = []
    large.add_post_pipe_remove_cb(ended.append)
    large.send(b"x" * (sp.LARGEST + 1))
    wait_for(lambda: ended, what="the end of the connection")
    client.send(b"ok")
    assert answer(client)["ok"] is True
    assert board.sink.payloads() == [b"ok"]


def test_a_client_that_leaves_before_its_answer_costs_nothing(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="rep", bind=ANY, window=2))
    client = peer(pynng.Req0)
    for number in range(1, 6):
        board.sink.hold = True
        leaving = peer(pynng.Req0)
        leaving.send(b"%d" % number)
        board.sink.wait_for(2 * number - 1)
        leaving.close()
        wait_for(lambda: board.status()["peers"] == 1, what="its end")
        board.sink.hold = False
        board.sink.commit()
        client.send(b"ok")
        assert answer(client)["ok"] is True
    assert board.problem() == ""


def test_a_client_that_reads_no_answers_stops_nobody(board: Board, peer: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A raw REQ may send without end; who has the most answers unread is cut off."""
    monkeypatch.setattr(sp, "_UNREAD", 50)
    board.start(settings(pattern="rep", bind=ANY, window=4, reply="x" * 100_000))
    deaf, client = peer(pynng.Req0, opener=pynng.lib.nng_req0_open_raw), peer(pynng.Req0)
    ended: list[Any] = []
    deaf.add_post_pipe_remove_cb(ended.append)

    def flooded() -> bool:
        message = pynng.ffi.new("nng_msg **")
        pynng.check_err(pynng.lib.nng_msg_alloc(message, 1))
        pynng.check_err(pynng.lib.nng_msg_header_append_u32(message[0], 0x80000001))
        if pynng.lib.nng_sendmsg(deaf.socket, message[0], pynng.lib.NNG_FLAG_NONBLOCK):
            pynng.lib.nng_msg_free(message[0])
        return bool(ended)

    wait_for(flooded, what="the end of the connection", every=0.0005)
    client.send(b"ok")
    assert client.recv() == b"x" * 100_000


# PULL


def test_push_waits_while_there_is_no_room_and_nothing_is_lost(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="pull", bind=ANY, window=4))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    push = peer(pynng.Push0, send_buffer_size=1)
    sent = 0

    def waits() -> bool:
        nonlocal sent
        try:
            for _ in range(1000):
                push.send(b"%d " % sent + b"x" * 10_000, block=False)
                sent += 1
        except pynng.TryAgain:
            return push_waits()
        return False

    def push_waits() -> bool:
        nonlocal sent
        push.send_timeout = 500
        try:
            push.send(b"%d " % sent + b"x" * 10_000)
        except pynng.Timeout:
            return True
        sent += 1
        return False

    wait_for(waits, what="a PUSH that waits")
    assert board.status()["under_way"] == 4
    board.sink.verdicts.clear()
    found = [int(bytes(payload).split()[0]) for payload in board.sink.wait_for(sent)]
    assert sorted(found) == list(range(sent))


def test_a_stop_keeps_what_push_has_sent(board: Board, peer: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nng, "_STOP", 60.0)
    monkeypatch.setattr(nng, "_QUIET", 0.5)
    board.start(settings(pattern="pull", bind=ANY, window=16))
    push = peer(pynng.Push0)
    for number in range(2000):
        push.send(b"%d" % number)
    board.stop(drain=60.0)
    assert board.sink.payloads() == [b"%d" % number for number in range(2000)]


def test_what_is_too_large_is_set_aside(board: Board, peer: Peers, caplog: pytest.LogCaptureFixture) -> None:
    board.start(settings(pattern="pull", bind=ANY, max_reading=1000))
    push = peer(pynng.Push0)
    push.send(b"x" * 1001)
    push.send(b"ok")
    assert board.sink.wait_for(1) == [b"ok"]
    wait_for(lambda: "a message is not taken" in caplog.text, what="the log")
    assert board.counters.oversize == 1


def test_a_stop_that_loses_readings_says_how_many(board: Board, peer: Peers, caplog: pytest.LogCaptureFixture) -> None:
    board.start(settings(pattern="pull", bind=ANY))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    push = peer(pynng.Push0)
    for _ in range(3):
        push.send(b"x")
    wait_for(lambda: board.status()["under_way"] == 3, what="the readings")
    board.stop_sources(drain=0.0)
    assert "readings are lost" in caplog.text
    board.stop()
