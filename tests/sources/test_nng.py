"""NNG: what each pattern promises, and peers that mean no good."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pynng
import pytest

from device_agent.config import RouteConfig
from device_agent.ports import Verdict
from device_agent.sources import nng, sp
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports
from tests.sources.certificates import make_certificates
from tests.sources.conftest import Board
from tests.sources.nngpeers import settings

ANY = ("tcp://127.0.0.1:*",)
Peers = Callable[..., Any]


@pytest.fixture
def peer(board: Board) -> Iterator[Peers]:
    """Makes sockets that are connected to the agent's only endpoint; all are closed at the end, the agent before them."""
    with ExitStack() as stack:

        def make(kind: Any, **options: Any) -> Any:
            made = stack.enter_context(kind(recv_timeout=60_000, send_timeout=60_000, **options))
            made.dial(board.url, block=True)
            return made

        stack.callback(board.stop)
        stack.callback(board.sink.commit)
        yield make


def answer(client: Any) -> Any:
    return json.loads(client.recv())


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


# Endpoints


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        ("ipc:///nowhere/at/all", "cannot listen on ipc:///nowhere/at/all: there is no such directory; make it"),
        ("tcp://no-such-host.invalid:5560", "cannot listen on tcp://no-such-host.invalid:5560: this machine has no such address"),
    ],
)
def test_what_cannot_be_listened_on_is_told_with_what_to_do(board: Board, endpoint: str, text: str) -> None:
    board.begin(settings(pattern="pull", bind=(endpoint,)))
    wait_for(lambda: text in board.problem(), what="the problem")


def test_a_port_that_is_taken_is_told_and_taken_when_it_is_free(board: Board) -> None:
    with pynng.Pull0() as other:
        listener = other.listen("tcp://127.0.0.1:0")
        endpoint = f"tcp://{listener.local_address}"
        board.begin(settings(pattern="pull", bind=(endpoint,)))
        wait_for(lambda: f"cannot listen on {endpoint}: another program listens there; stop it" in board.problem(), what="the problem")
    wait_for(lambda: board.status()["stands"], what="the port")


def test_a_program_that_is_away_is_told_and_taken_from_when_it_comes(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nng, "_SILENCE", 0.1)
    monkeypatch.setattr(nng, "_TICK", 0.05)
    (port,) = own_ports(1)
    endpoint = f"tcp://127.0.0.1:{port}"
    board.begin(settings(pattern="pull", connect=(endpoint,)))
    wait_for(lambda: f"{endpoint} does not answer; is the program running" in board.problem(), what="the problem")
    assert not board.status()["stands"]
    with pynng.Push0(listen=endpoint, send_timeout=60_000) as push:
        push.send(b"x")
        assert board.sink.wait_for(1) == [b"x"]
        wait_for(lambda: board.status()["stands"] and not board.problem(), what="the program")
    wait_for(lambda: "does not answer" in board.problem(), what="its end")
    board.stop()


def test_the_file_of_an_ipc_endpoint_is_for_owner_and_group(board: Board, tmp_path: Path) -> None:
    board.start(settings(pattern="pull", bind=(f"ipc://{tmp_path}/x",)))
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o660


def test_peers_above_the_limit_are_turned_away(board: Board, peer: Peers) -> None:
    board.start(settings(pattern="rep", bind=ANY, max_connections=2))
    first, second = peer(pynng.Req0), peer(pynng.Req0)
    wait_for(lambda: board.status()["peers"] == 2, what="both")  # a peer may be connected before NNG says so here
    third = pynng.Req0(recv_timeout=300)
    with third:
        third.dial(board.url, block=False)
        third.send(b"third")
        with pytest.raises(pynng.Timeout):
            third.recv()
        for client in (first, second):
            client.send(b"x")
            assert answer(client)["ok"] is True
        second.close()
        third.recv_timeout = 60_000
        third.send(b"third")
        assert answer(third)["ok"] is True


def test_websockets(board: Board, peer: Peers) -> None:
    (port,) = own_ports(1)
    board.start(settings(pattern="pull", bind=(f"ws://127.0.0.1:{port}",)))
    peer(pynng.Push0).send(b"x")
    assert board.sink.wait_for(1) == [b"x"]


def tls(folder: Path, mode: Any, *, own: str = "", **options: Any) -> Any:
    pair = {"own_cert_string": (folder / f"{own}.pem").read_text(), "own_key_string": (folder / f"{own}.key").read_text()} if own else {}
    return pynng.TLSConfig(mode, ca_files=str(folder / "ca.pem"), **pair, **options)


def test_only_peers_with_a_certificate_send(board: Board, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    names = {"certificate": "server.pem", "private_key": "server.key", "client_ca": "ca.pem"}
    board.start(settings(pattern="pull", bind=("tls+tcp://127.0.0.1:*",), **{key: str(tmp_path / name) for key, name in names.items()}))
    with pynng.Push0(send_timeout=500) as stranger, pynng.Push0(send_timeout=60_000) as known:
        stranger.tls_config = tls(tmp_path, pynng.TLSConfig.MODE_CLIENT, server_name="127.0.0.1")
        known.tls_config = tls(tmp_path, pynng.TLSConfig.MODE_CLIENT, server_name="127.0.0.1", own="client")
        stranger.dial(board.url, block=False)
        with suppress(pynng.Timeout):  # with TLS 1.3 it learns afterwards that it was refused
            stranger.send(b"strange")
        known.dial(board.url, block=True)
        known.send(b"x")
        board.sink.wait_for(1)
        board.stop(drain=1.0)
    assert board.sink.payloads() == [b"x"]


def test_a_program_is_trusted_by_its_certificate(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nng, "_SILENCE", 0.5)
    make_certificates(tmp_path)
    with pynng.Push0(send_timeout=60_000) as push:
        push.tls_config = tls(tmp_path, pynng.TLSConfig.MODE_SERVER, own="server", auth_mode=pynng.TLSConfig.AUTH_MODE_NONE)
        endpoint = f"tls+tcp://{push.listen('tls+tcp://127.0.0.1:0').local_address}"
        board.begin(settings(pattern="pull", connect=(endpoint,), ca=str(tmp_path / "client.pem")))  # another one
        wait_for(lambda: "does its certificate fit ca" in board.problem(), what="the problem")
        board.stop()
        board.start(settings(pattern="pull", connect=(endpoint,), ca=str(tmp_path / "ca.pem")))
        push.send(b"x")
        assert board.sink.wait_for(1) == [b"x"]
        board.stop()


def test_files_that_cannot_be_used_are_told(board: Board, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    given = {"certificate": str(tmp_path / "ca.key"), "private_key": str(tmp_path / "server.key")}
    board.begin(settings(pattern="pull", bind=("tls+tcp://127.0.0.1:*",), **given))
    wait_for(lambda: "certificate, private_key, ca or client_ca cannot be used" in board.problem(), what="the problem")


@pytest.mark.parametrize("data", [b"", b"\0SP\0\0\x31\0\0", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000])
def test_rubbish_harms_nobody(board: Board, peer: Peers, data: bytes) -> None:
    board.start(settings(pattern="rep", bind=ANY))
    client = peer(pynng.Req0)
    host, _, port = board.url.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as stranger:
        stranger.sendall(data)
        client.send(b"ok")
        assert answer(client)["ok"] is True
    assert board.sink.payloads() == [b"ok"]
    assert board.problem() == ""


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0\0", b"\xff" * 7, b"\0" * 4000], ids=["empty", "one", "no-id", "odd", "hops"])
def test_requests_without_an_id_are_dropped(board: Board, peer: Peers, body: bytes) -> None:
    """The wire of nanomsg: a REQ's greeting, then a length and a message whose header is wrong."""
    board.start(settings(pattern="rep", bind=ANY))
    host, _, port = board.url.removeprefix("tcp://").rpartition(":")
    client = peer(pynng.Req0)
    with socket.create_connection((host, int(port)), timeout=60) as stranger:
        stranger.sendall(b"\0SP\0\0\x30\0\0" + len(body).to_bytes(8, "big") + body)
        client.send(b"ok")
        assert answer(client)["ok"] is True
    assert b"ok" in board.sink.payloads()
    assert board.problem() == ""


def test_the_wire_is_that_of_nanomsg(board: Board) -> None:
    """By hand, as nanomsg's RFCs say (sp-tcp-mapping-01, sp-request-reply-01)."""
    board.start(settings(pattern="rep", bind=ANY))
    host, _, port = board.url.removeprefix("tcp://").rpartition(":")
    request = b"\x80\0\0\x07" + b"hello"
    with socket.create_connection((host, int(port)), timeout=60) as client, client.makefile("rb") as answers:
        client.sendall(b"\0SP\0\0\x30\0\0" + len(request).to_bytes(8, "big") + request)
        assert answers.read(8) == b"\0SP\0\0\x31\0\0"
        found = answers.read(int.from_bytes(answers.read(8), "big"))
    assert found[:4] == request[:4]
    assert json.loads(found[4:]) == {"ok": True, "stream": "telemetry", "seq": 1}
    assert board.sink.payloads() == [b"hello"]
