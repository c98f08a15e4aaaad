"""NNG: endpoints, TLS, and peers that mean no good."""

from __future__ import annotations

import json
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pynng
import pytest

from device_agent.sources.nng import source as nng
from tests.lab.agent import wait_for
from tests.lab.leaks import open_files
from tests.lab.ports import own_ports
from tests.sources.certificates import make_certificates
from tests.sources.conftest import Board
from tests.sources.nngpeers import ANY, Peers, answer, peer, settings

__all__ = ["peer"]  # fixture


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
    before = open_files()
    with pynng.Push0(send_timeout=500) as stranger, pynng.Push0(send_timeout=60_000) as known:
        stranger.tls_config = tls(tmp_path, pynng.TLSConfig.MODE_CLIENT, server_name="127.0.0.1")
        known.tls_config = tls(tmp_path, pynng.TLSConfig.MODE_CLIENT, server_name="127.0.0.1", own="client")
        stranger.dial(board.url, block=False)
        with suppress(pynng.Timeout):  # with TLS 1.3 it learns afterwards that it was refused
            stranger.send(b"strange")
        known.dial(board.url, block=True)
        known.send(b"x")
        board.sink.wait_for(1)
    wait_for(lambda: not open_files() - before, what="the end of the connections: see nngpeers.program")
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
