"""Handshakes that fail, in every way that was found: a word in the log, a count, and the likely cause in `status`; the next peer is served.

The public reports: https://github.com/zeromq/libzmq/issues/2227 (a CURVE handshake that fails looks like a server that is down),
https://github.com/zeromq/libzmq/issues/2329 and 990 (what libzmq does after a denial), https://github.com/zeromq/libzmq/pull/1272 (ZMTP 1.0
and 2.0 are turned away where there is a ZAP domain), https://github.com/zeromq/libzmq/pull/4932 (what a port scan sends becomes a message).
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import zmq
import zmq.auth
from zmq.utils import z85

from device_agent.cli import statuspage
from device_agent.config import CurveConfig, InputConfig, Pattern
from device_agent.errors import ConfigError
from device_agent.intake import check_inputs, dialing, make_keys, sockets
from device_agent.intake.causes import DENIED
from tests.intake.conftest import Bench, bench, path
from tests.lab.agent import wait_for

__all__ = ["bench", "path"]

ZMTP1: Final = b"\x01\x00"  # an anonymous identity: a length, flags
ZMTP2: Final = b"\xff\0\0\0\0\0\0\0\1\x7f\x01"  # signature, revision; the kind of the socket follows


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sockets._OPTIONS, zmq.HANDSHAKE_IVL, 300)
    monkeypatch.setattr(dialing, "_FIRST_TURN", 0.1)


class Keys:
    """Keys of a server, of a client that it knows, and of one that it does not."""

    def __init__(self, directory: Path) -> None:
        for name in ("server", "friend", "stranger", "other"):
            make_keys(directory, name)
        self._directory = directory

    def file(self, name: str) -> str:
        return str(self._directory / f"{name}.key")

    def pair(self, name: str) -> tuple[bytes, bytes]:
        public, secret = zmq.auth.load_certificate(f"{self.file(name)}_secret")
        assert secret is not None
        return public, secret

    def server(self) -> CurveConfig:
        return CurveConfig(secret_key=f"{self.file('server')}_secret", allow=(self.file("friend"),))

    def as_client(self, name: str, server: str = "server") -> dict[int, Any]:
        public, secret = self.pair(name)
        return {zmq.CURVE_SERVERKEY: self.pair(server)[0], zmq.CURVE_PUBLICKEY: public, zmq.CURVE_SECRETKEY: secret}

    def as_server(self, name: str) -> dict[int, Any]:
        return {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: self.pair(name)[1]}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


PLAIN: Final[dict[int, Any]] = {zmq.PLAIN_USERNAME: b"u", zmq.PLAIN_PASSWORD: b"p"}
#: Peer -> (what is said at an input without CURVE, at one with it). Either side may notice first, and then the other one hangs up.
NO_CURVE: Final = (
    "uses CURVE or PLAIN, and this input has no",
    "hung up before the end of the handshake: its socket is no PUSH, its CURVE or PLAIN settings do not fit an input without",
)
NOT_CURVE: Final = (
    "does not use CURVE, and this input has",
    "hung up before the end of the handshake: its socket is no PUSH, its settings do not fit an input with",
)
PEERS: Final[dict[str, tuple[Callable[[Keys], dict[int, Any]], tuple[str, ...], tuple[str, ...]]]] = {
    "null": (lambda _: {}, (), NOT_CURVE),
    "plain client": (lambda _: PLAIN, NO_CURVE, NOT_CURVE),
    "plain server": (lambda _: {zmq.PLAIN_SERVER: 1}, NO_CURVE, NOT_CURVE),
    "curve client": (lambda keys: keys.as_client("friend"), NO_CURVE, ()),
    "curve client of another server": (lambda keys: keys.as_client("friend", "other"), NO_CURVE, ("has another server key",)),
    "curve client that is a stranger": (lambda keys: keys.as_client("stranger"), NO_CURVE, (DENIED,)),
    "curve server": (lambda keys: keys.as_server("other"), NO_CURVE, ("said nothing in time",)),
}


@pytest.mark.parametrize("curve", [False, True], ids=["without", "with curve"])
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_that_does_not_fit_is_told_counted_and_shown(
    bench: Bench, keys: Keys, caplog: pytest.LogCaptureFixture, peer: str, curve: bool
) -> None:
    caplog.set_level("INFO")
    options, *said = PEERS[peer]
    wanted = said[curve]
    endpoint = bench.run(curve=keys.server() if curve else None)
    push = bench.client(zmq.PUSH, endpoint, options=options(keys))
    push.send(b"from the peer")
    if not wanted:
        bench.sink.wait_for(1)
        assert not failures(bench)
        assert bench.counters.handshakes_failed == 0
        return
    wait_for(lambda: any(part in one["cause"] for one in failures(bench) for part in wanted))
    assert bench.counters.handshakes_failed >= 1
    told = tuple(f"handshake failed: the peer {part.removeprefix('the peer ')}" for part in wanted)
    wait_for(lambda: any(part in line for line in caplog.messages for part in (*told, "peer denied")))
    assert any(part in line for line in page(bench) for part in wanted)
    friend = bench.client(zmq.PUSH, endpoint, options=keys.as_client("friend") if curve else {})
    friend.send(b"from a friend")
    assert bench.sink.wait_for(1) == [b"from a friend"]


def failures(bench: Bench) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bench.intakes[0].status()["in"].get("handshakes", [])
    return found


def page(bench: Bench) -> list[str]:
    """What `device-agent status` shows of it, unwrapped."""
    intake = bench.intakes[0]
    now = max(one["time"] for one in failures(bench)) / 1e6
    text = " ".join(statuspage.lines({"inputs": intake.status()}, now=now))
    return " ".join(text.split()).split("input in: ")


def test_a_peer_that_tries_again_and_again_costs_one_line_a_minute(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = bench.run()
    for _ in range(50):
        with connected(endpoint):
            pass
    wait_for(lambda: bench.counters.handshakes_failed == 50)
    assert sum(one["count"] for one in failures(bench)) == 50
    wait_for(lambda: len([line for line in caplog.messages if "handshake failed" in line]) == len(failures(bench)))


@contextmanager
def connected(endpoint: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2]))) as raw:
        raw.settimeout(120)
        yield raw


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (b"", "said nothing in time"),
        (ZMTP1 + b"\x03\0hi", "ZMTP 1.0 or 2.0"),
        (ZMTP2 + b"\x08\0\0\0\x02hi", "ZMTP 1.0 or 2.0"),
        (b"GET / HTTP/1.1\r\n\r\n", "no ZeroMQ"),
    ],
    ids=["silent", "zmtp1", "zmtp2", "http"],
)
@pytest.mark.parametrize("setting", ["curve", "old_peers = false"])
def test_what_does_not_greet_is_cut_and_told(
    bench: Bench, keys: Keys, caplog: pytest.LogCaptureFixture, sent: bytes, cause: str, setting: str
) -> None:
    endpoint = bench.run(curve=keys.server()) if setting == "curve" else bench.run(old_peers=False)
    with connected(endpoint) as raw:
        wait_for(lambda: bench.intakes[0].status()["in"]["peers"] == 1)
        raw.sendall(sent)
        with suppress(ConnectionResetError):
            while raw.recv(1000):
                pass  # its own greeting
    wait_for(lambda: any(cause in one["cause"] for one in failures(bench)))
    wait_for(lambda: any("handshake failed" in line and cause in line for line in caplog.messages))
    assert not bench.sink.payloads()
    assert bench.counters.handshakes_failed == 1
    assert failures(bench)[0]["peer"] in {"127.0.0.1", ""}  # libzmq may have closed it before anybody could ask who it was


def test_a_port_that_is_only_tried_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with connected(bench.run()):
        pass
    wait_for(lambda: any("tried whether the port is open" in line for line in caplog.messages))


def test_a_socket_of_the_wrong_kind_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    bench.client(zmq.SUB, bench.run())
    wait_for(lambda: any("its socket is no PUSH" in line for line in caplog.messages))


def test_an_ipc_peer_is_named_by_its_process(bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = bench.run(bind=(f"ipc://{tmp_path}/in",))
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(endpoint.removeprefix("ipc://"))
        wait_for(lambda: bench.intakes[0].status()["in"]["peers"] == 1)
    wait_for(lambda: any("peer=process " in line for line in caplog.messages))


# ZMTP 1.0 and 2.0: libzmq 2 and 3, of which boards with old images have plenty


@pytest.mark.parametrize("first", [ZMTP1 + b"\x03\0hi", ZMTP2 + b"\x08\0\0\0\x02hi"], ids=["zmtp1", "zmtp2"])
def test_an_old_push_is_served(bench: Bench, first: bytes) -> None:
    with connected(bench.run()) as raw:
        raw.sendall(first)
        assert bench.sink.wait_for(1) == [b"hi"]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (ZMTP1 + b"\x01\x01" + b"\x03\0hi", b"\x01\x01\x06\0World"),
        (ZMTP2 + b"\x03\0\0" + b"\x01\0" + b"\0\x02hi", b"\x01\0\0\x05World"),
    ],
    ids=["zmtp1", "zmtp2"],
)
def test_an_old_req_is_answered_when_its_reading_is_on_disk(bench: Bench, asked: bytes, answered: bytes) -> None:
    with connected(bench.run(Pattern.REP, reply="World")) as raw:
        raw.sendall(asked)
        got = b""
        while answered not in got:
            part = raw.recv(1000)
            assert part, f"cut; so far it said {got!r}"
            got += part
    assert bench.sink.payloads() == [b"hi"]


# The input is the CURVE client of a program


class Server:
    """A program that binds, with a list of keys that it changes."""

    def __init__(
        self, bench: Bench, kind: int, options: dict[int, Any], *, allow: set[bytes] | None = None, status: bytes = b"400"
    ) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.allow, self._status = allow, status
        self._zap = self._context.socket(zmq.REP)
        if allow is not None:
            self._zap.bind("inproc://zeromq.zap.01")
            self._thread = threading.Thread(target=self._judge)
            self._thread.start()
            options = options | {zmq.ZAP_DOMAIN: b"x"}
        self.socket = self._context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        for option, value in options.items():
            self.socket.setsockopt(option, value)
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"

    def _judge(self) -> None:
        while True:
            try:
                version, request, *_, key = self._zap.recv_multipart()
            except zmq.ContextTerminated:
                self._zap.close(0)
                return
            assert self.allow is not None
            status = b"200" if key in self.allow else self._status
            self._zap.send_multipart([version, request, status, b"", b"", b""])

    def close(self) -> None:
        self.socket.close(0)
        if self.allow is None:
            self._zap.close(0)
        self._context.term()
        if self.allow is not None:
            self._thread.join()


@pytest.fixture
def server(bench: Bench) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(*arguments: Any, **options: Any) -> Server:
        made.append(Server(bench, *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("as_text", [False, True], ids=["file", "key itself"])
@pytest.mark.parametrize(("pattern", "kind"), [(Pattern.PULL, zmq.PUSH), (Pattern.SUB, zmq.XPUB)])
def test_an_input_is_the_client_of_a_program_that_is_the_server(
    bench: Bench, keys: Keys, server: Callable[..., Server], pattern: Pattern, kind: int, as_text: bool
) -> None:
    program = server(kind, keys.as_server("server"))
    key = keys.pair("server")[0].decode() if as_text else keys.file("server")
    config = InputConfig(name="in", pattern=pattern, stream="telemetry", connect=(program.endpoint,), curve=CurveConfig(server_key=key))
    assert check_inputs([config]) == []
    bench.start(config)
    if kind == zmq.XPUB:
        assert program.socket.recv() == b"\x01"
    program.socket.send(b"a")
    assert bench.sink.wait_for(1) == [b"a"]
    assert bench.sink.batches[0].run.clients is None
    assert not failures(bench)


@pytest.mark.parametrize("status", [b"300", b"400"])
def test_a_program_that_denies_the_inputs_key_is_told_and_tried_again(
    bench: Bench, keys: Keys, server: Callable[..., Server], caplog: pytest.LogCaptureFixture, status: bytes
) -> None:
    """After 400, libzmq itself never tries again."""
    allow: set[bytes] = set()
    program = server(zmq.PUSH, keys.as_server("server"), allow=allow, status=status)
    curve = CurveConfig(server_key=keys.file("server"), secret_key=f"{keys.file('friend')}_secret")
    bench.start(InputConfig(name="in", pattern=Pattern.PULL, stream="telemetry", connect=(program.endpoint,), curve=curve))
    words = "refuses this input's key (ZAP status 400)" if status == b"400" else "does not allow this input's key"
    wait_for(lambda: any(words in line for line in caplog.messages))
    allow.add(z85.decode(keys.pair("friend")[0]))
    program.socket.send(b"a")
    assert bench.sink.wait_for(1) == [b"a"]


PROGRAMS: Final[dict[str, tuple[Callable[[Keys], dict[int, Any]], tuple[str, ...], tuple[str, ...]]]] = {
    "null": (lambda _: {}, (), ("is not a CURVE server", "does not use CURVE")),
    "plain client": (lambda _: PLAIN, NO_CURVE, ("is not a CURVE server", "does not use CURVE")),
    "plain server": (lambda _: {zmq.PLAIN_SERVER: 1}, NO_CURVE, ("is not a CURVE server", "does not use CURVE")),
    "curve client": (lambda keys: keys.as_client("friend"), NO_CURVE, ("the program is a CURVE client too", "is not a CURVE server")),
    "curve server": (lambda keys: keys.as_server("server"), NO_CURVE, ()),
    "another curve server": (lambda keys: keys.as_server("other"), NO_CURVE, ("another key than `server_key`",)),
}


@pytest.mark.parametrize("curve", [False, True], ids=["without", "with curve"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_does_not_fit_is_told_and_tried_again_when_it_was_mended(
    bench: Bench, keys: Keys, server: Callable[..., Server], program: str, curve: bool
) -> None:
    """After some of these, libzmq itself never tries again."""
    options, *said = PROGRAMS[program]
    wanted = said[curve]
    wrong = server(zmq.PUSH, options(keys))
    config = CurveConfig(server_key=keys.file("server")) if curve else None
    bench.start(InputConfig(name="in", pattern=Pattern.PULL, stream="telemetry", connect=(wrong.endpoint,), curve=config))
    if not wanted:
        wrong.socket.send(b"a")
        bench.sink.wait_for(1)
        return
    wait_for(lambda: any(part in one["cause"] for one in failures(bench) for part in wanted))
    assert {one["peer"] for one in failures(bench)} == {wrong.endpoint}
    wrong.socket.close(0)
    mended = bench.context.socket(zmq.PUSH)
    try:
        mended.setsockopt(zmq.LINGER, 0)
        for option, value in (keys.as_server("server") if curve else {}).items():
            mended.setsockopt(option, value)
        wait_for(lambda: bound(mended, wrong.endpoint))
        mended.send(b"a")
        assert bench.sink.wait_for(1) == [b"a"]
    finally:
        mended.close(0)


def bound(socket: zmq.Socket[bytes], endpoint: str) -> bool:
    try:
        socket.bind(endpoint)
    except zmq.ZMQError:
        return False
    return True


def test_a_program_that_sent_too_large_a_frame_is_connected_to_again(bench: Bench, server: Callable[..., Server]) -> None:
    """After that, too, libzmq never tries again."""
    program = server(zmq.PUSH, {})
    bench.start(InputConfig(name="in", pattern=Pattern.PULL, stream="telemetry", connect=(program.endpoint,)))
    program.socket.send(b"before")
    bench.sink.wait_for(1)
    program.socket.send(b"x" * (sockets.MAX_MESSAGE_SIZE + 1))
    wait_for(lambda: program.socket.poll(0, zmq.POLLOUT) and bench.intakes[0].status()["in"]["peers"] == 1)

    def arrived() -> bool:
        program.socket.send(b"after")
        return b"after" in bench.sink.payloads()

    wait_for(arrived)


@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        (CurveConfig(server_key="no such file"), "cannot read key file"),
        (CurveConfig(server_key="x" * 39), "cannot read key file"),
    ],
)
def test_keys_that_cannot_be_are_a_mistake(bench: Bench, curve: CurveConfig, reason: str) -> None:
    config = InputConfig(name="in", pattern=Pattern.PULL, stream="telemetry", connect=("tcp://127.0.0.1:1",), curve=curve)
    assert any(reason in str(one) for one in check_inputs([config]))
    with pytest.raises(ConfigError, match=reason):
        bench.start(config)


def test_status_is_json(bench: Bench) -> None:
    with connected(bench.run()):
        pass
    wait_for(lambda: failures(bench))
    (one,) = json.loads(json.dumps(bench.intakes[0].status()))["in"]["handshakes"]
    assert one.keys() == {"cause", "count", "peer", "time"}
