"""`check --online` without brokers: programs that are asked or connected to, and addresses that are listened on."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import aiocoap
import pynng
import pytest
import zmq

from device_agent.sources import Outcome
from tests.lab.ports import own_ports
from tests.sources import looks
from tests.sources.certificates import make_certificates
from tests.sources.looks import away, coap, good, http, look, poll, wrong
from tests.sources.nngpeers import program
from tests.sources.nngpeers import settings as nng
from tests.sources.test_coapobserve import Device, device
from tests.sources.test_poll import programs

__all__ = ["device"]  # fixture


@pytest.fixture
def port() -> int:
    """One that nobody has."""
    return own_ports(1)[0]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return looks.secret(tmp_path)


def test_other_programs_that_are_not_there_are_away(port: int) -> None:
    assert away(poll(f"tcp://127.0.0.1:{port}", timeout=0.2)) == f"no answer within 0.2 s: tcp://127.0.0.1:{port}"
    assert f"coap://127.0.0.1:{port}/lamp does not answer" in away(coap(listen="", observe=(f"coap://127.0.0.1:{port}/lamp",)))
    assert f"tcp://127.0.0.1:{port} does not answer" in away(nng(pattern="pull", connect=(f"tcp://127.0.0.1:{port}",)))


# Poll


def test_programs_are_asked_once() -> None:
    with programs(lambda *_: [b"21.5"], lambda *_: [b"21.5"], lambda *_: None) as [first, second, silent]:
        assert good(poll(first.endpoint, request="read")) == "the program answers"
        assert good(poll(first.endpoint, second.endpoint, request="read")) == "all 2 programs answer"
        assert away(poll(first.endpoint, silent.endpoint, timeout=0.3)) == f"no answer within 0.3 s: {silent.endpoint}"
        assert (first.asked, second.asked) == ([b"read", b"read", b""], [b"read"])


def test_an_answer_of_several_frames_is_told() -> None:
    with programs(lambda *_: [b"1", b"2"]) as [program]:
        assert wrong(poll(program.endpoint)) == f"{program.endpoint} answers with 2 frames; a reading has one"


# Servers


@pytest.mark.parametrize(
    ("settings", "kind", "where"), [(http, socket.SOCK_STREAM, ""), (coap, socket.SOCK_DGRAM, " (UDP)")], ids=["http", "coap"]
)
def test_a_server_can_listen_unless_somebody_else_does(settings: Any, kind: socket.SocketKind, where: str, port: int) -> None:
    listen = f"127.0.0.1:{port}"
    assert good(settings(listen=listen)).startswith(f"can listen on {listen}{where}")
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            other.listen()
        seen = look(settings(listen=listen))
    assert seen.outcome is Outcome.TAKEN
    assert seen.sentence == f"cannot listen on {listen}{where}: Address already in use; choose another address or port"
    assert "Cannot assign requested address" in wrong(settings(listen="192.0.2.1:8580"))


def test_files_of_a_server_are_read(tmp_path: Path, secret: Path, port: int) -> None:
    make_certificates(tmp_path)
    listen, key = f"127.0.0.1:{port}", tmp_path / "server.key"
    settings = http(listen=listen, token_file=str(secret), certificate=str(tmp_path / "server.pem"), private_key=str(key))
    assert good(settings).startswith(f"can listen on {listen}")
    key.write_text("no key")
    assert wrong(settings).startswith("certificate, private_key or client_ca cannot be used")
    secret.unlink()
    assert wrong(settings).startswith("token_file: ")
    assert wrong(coap(listen=listen, token_file=str(secret))).startswith("token_file: ")


def test_each_resource_is_read_once(device: Any, port: int) -> None:
    lamp: Device = device(port=port)
    assert good(coap(listen="", observe=(f"{lamp.url}/hall/lamp", f"{lamp.url}/still"))) == (
        f"{lamp.url}/hall/lamp, {lamp.url}/still can be read (not tried: to observe)"
    )
    said = wrong(coap(listen="", observe=(f"{lamp.url}/hall/lamp", f"{lamp.url}/nothing")))
    assert said == f"{lamp.url}/nothing answers {aiocoap.NOT_FOUND}; does it exist?"


# nanomsg and NNG


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_push_is_greeted_and_loses_no_message(tmp_path: Path, port: int, transport: str) -> None:
    endpoint = f"tcp://127.0.0.1:{port}" if transport == "tcp" else f"ipc://{tmp_path}/push"
    with program(pynng.Push0, endpoint, send_buffer_size=4) as push:
        push.send(b"one")
        assert good(nng(pattern="pull", connect=(endpoint,))) == f"{endpoint} answers as PUSH"
        assert "is no PUB, which a sub input connects to; correct pattern or connect" in wrong(nng(pattern="sub", connect=(endpoint,)))
        with pynng.Pull0(dial=endpoint, recv_timeout=60_000) as pull:
            assert pull.recv() == b"one"


@pytest.mark.parametrize(("pattern", "peer"), [("sub", pynng.Pub0), ("rep", pynng.Req0), ("surveyor", pynng.Respondent0)])
def test_the_other_side_of_each_pattern_is_known(pattern: str, peer: Any, port: int) -> None:
    with program(peer, f"tcp://127.0.0.1:{port}"):
        assert f"tcp://127.0.0.1:{port} answers as {peer.__name__.upper()[:-1]}" in good(
            nng(pattern=pattern, connect=(f"tcp://127.0.0.1:{port}",))
        )


def test_a_zeromq_program_is_no_program_of_nng(port: int) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.bind(f"tcp://127.0.0.1:{port}")
        assert "does not speak the protocols of nanomsg and NNG" in wrong(nng(pattern="pull", connect=(f"tcp://127.0.0.1:{port}",)))


def test_an_nng_input_can_listen_unless_somebody_else_does(tmp_path: Path, port: int) -> None:
    for endpoint in (f"tcp://127.0.0.1:{port}", f"ipc://{tmp_path}/in"):
        settings = nng(pattern="pull", bind=(endpoint,))
        assert good(settings) == f"can listen on {endpoint} (not tried: a message)"
        with program(pynng.Rep0, endpoint):
            seen = look(settings)
        assert seen.outcome is Outcome.TAKEN
        assert seen.sentence == f"cannot listen on {endpoint}: another program listens there; stop it, or choose another endpoint"
    assert "there is no such directory; make it" in wrong(nng(pattern="pull", bind=("ipc:///nowhere/at/all",)))


def test_an_nng_peer_of_an_unknown_authority_is_told(tmp_path: Path, port: int) -> None:
    make_certificates(tmp_path)
    (tmp_path / "other").mkdir()
    make_certificates(tmp_path / "other")
    endpoint = f"tls+tcp://127.0.0.1:{port}"
    own, key = ((tmp_path / f"server.{suffix}").read_text() for suffix in ("pem", "key"))
    with pynng.Push0() as push:
        push.tls_config = pynng.TLSConfig(pynng.TLSConfig.MODE_SERVER, own_cert_string=own, own_key_string=key)
        push.listen(endpoint)
        assert good(nng(pattern="pull", connect=(endpoint,), ca=str(tmp_path / "ca.pem"))) == f"{endpoint} answers as PUSH"
        said = wrong(nng(pattern="pull", connect=(endpoint,), ca=str(tmp_path / "other" / "ca.pem")))
        assert said.startswith(f"{endpoint} cannot be trusted")
