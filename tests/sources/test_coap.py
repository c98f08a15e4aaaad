"""CoAP's own: statuses, token, datagrams that come twice, answers that come late, and clients that mean no good."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agent.config.sources import CoapConfig
from device_agent.ports import Verdict
from device_agent.sources.coap import endpoint as coapendpoint
from device_agent.sources.coap.blocks import Block
from device_agent.sources.coap.endpoint import Endpoint, Exchange
from device_agent.sources.coap.message import Code, Kind, Message, Option, decode, encode, uint
from tests.lab.agent import wait_for
from tests.sources.conftest import Board

WAIT = 60.0


def settings(**changes: Any) -> CoapConfig:
    return CoapConfig(**({"name": "in", "kind": "coap", "stream": "telemetry", "listen": "127.0.0.1:0"} | changes))


def path(*parts: str) -> tuple[tuple[int, bytes], ...]:
    return tuple((Option.URI_PATH, part.encode()) for part in parts)


READINGS = path("v1", "readings", "a", "b")


class Client:
    """A socket that sends what it is told to."""

    def __init__(self, board: Board) -> None:
        host, _, port = board.url.removeprefix("coap://").split("/")[0].rpartition(":")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(WAIT)
        self._socket.connect((host, int(port)))
        self._mid = 0

    def message(self, payload: bytes = b"", *, code: int = Code.POST, kind: Kind = Kind.CON, options: Any = READINGS) -> Message:
        self._mid += 1
        ordered = tuple(sorted(options, key=lambda one: one[0]))
        return Message(kind=kind, code=code, mid=self._mid, token=b"t%d" % self._mid, options=ordered, payload=payload)

    def put(self, message: Message | bytes) -> None:
        self._socket.send(message if isinstance(message, bytes) else encode(message))

    def get(self) -> Message:
        return decode(self._socket.recv(65_536))

    def ask(self, message: Message) -> Message:
        """Send until the answer comes, as a client does, and return the answer."""
        self._socket.settimeout(2.0)
        for _ in range(30):
            self.put(message)
            try:
                while (found := self.get()).token != message.token:
                    pass
            except TimeoutError:
                continue
            self._socket.settimeout(WAIT)
            return found
        raise AssertionError("no answer")

    def post(self, payload: bytes, **changes: Any) -> Message:
        return self.ask(self.message(payload, **changes))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def client(board: Board) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def start(**changes: Any) -> Client:
        board.start(settings(**changes))
        made.append(Client(board))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_the_answer_tells_the_number(board: Board, client: Any) -> None:
    coap = client()
    said = coap.post(b"\0\xff")
    assert (said.kind, said.code, said.payload) == (Kind.ACK, Code.CHANGED, b'{"ok":true,"first":1,"last":1}')
    assert said.values(Option.CONTENT_FORMAT) == [uint(50)]
    assert coap.post(b"", options=path("v1", "readings")).payload == b'{"ok":true,"first":2,"last":2}'
    said = coap.post(b"x", kind=Kind.NON)
    assert (said.kind, said.code) == (Kind.NON, Code.CHANGED)
    assert board.sink.payloads() == [b"\0\xff", b"", b"x"]
    assert board.topics() == ["a/b", None, "a/b"]


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"options": ()}, Code.NOT_FOUND, "/v1/readings"), ({"options": path("v1", "readingsx")}, Code.NOT_FOUND, "/v1/readings"),
        ({"code": 1}, Code.NOT_ALLOWED, "POST"), ({"code": 4}, Code.NOT_ALLOWED, "POST"),
        ({"options": [*READINGS, (9, b"oscore")]}, Code.BAD_OPTION, "option 9 "),
        ({"options": [*READINGS, (Option.PROXY_URI, b"coap://x")]}, Code.NO_PROXY, "proxy"),
        ({"options": [*READINGS, (Option.BLOCK2, uint(1 << 4 | 6))]}, Code.BAD_OPTION, "blocks"),
        ({"options": [*READINGS, (Option.URI_PATH, b"\xff")]}, Code.BAD_REQUEST, "UTF-8"),
        ({"options": [*READINGS, (Option.BLOCK1, b"\x07")]}, Code.BAD_REQUEST, "block"),
        ({"options": [*READINGS, (Option.BLOCK1, uint(2 << 4 | 6))]}, Code.INCOMPLETE, "missing"),
        ({"payload": b"x" * 1001}, Code.TOO_LARGE, "1000 bytes"),
        ({"options": [*READINGS, (Option.BLOCK1, uint(14)), (Option.SIZE1, uint(2000))]}, Code.TOO_LARGE, "1000 bytes"),
        ({"options": path("v1", "readings", *("t" * 200, "t" * 100))}, Code.TOO_LARGE, "topic"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_answered_with_the_reason(board: Board, client: Any, changes: dict[str, Any], code: Code, word: str) -> None:
    coap = client(max_reading=1000)
    said = coap.post(**({"payload": b"x"} | changes))
    assert said.code == code
    assert word in said.payload.decode()
    assert board.sink.payloads() == []
    assert coap.post(b"ok").code == Code.CHANGED


def test_elective_options_are_no_hindrance(board: Board, client: Any) -> None:
    coap = client()
    more = [
        (Option.URI_HOST, b"board"),
        (6, b""),
        (Option.CONTENT_FORMAT, uint(60)),
        (Option.ACCEPT, uint(50)),
        (258, b"\x02"),
        (2048, b""),
    ]
    assert coap.post(b"x", options=[*READINGS, *more]).code == Code.CHANGED


def test_what_there_is_can_be_asked_for(client: Any) -> None:
    said = client().post(b"", code=Code.GET, options=path(".well-known", "core"))
    assert (said.code, said.values(Option.CONTENT_FORMAT)) == (Code.CONTENT, [uint(40)])
    assert said.payload.startswith(b"</v1/readings>")


def test_a_full_spool_is_5_03_with_max_age(board: Board, client: Any) -> None:
    coap = client()
    board.sink.verdicts["telemetry"] = Verdict.FULL
    said = coap.post(b"x")
    assert (said.code, said.values(Option.MAX_AGE)) == (Code.UNAVAILABLE, [b"\x01"])
    assert b"full" in said.payload
    board.sink.verdicts.clear()
    assert coap.post(b"x").code == Code.CHANGED


def test_a_token_is_asked_for(board: Board, client: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    coap = client(token_file=str(file))
    for given in (b"", b"token", b"token=", b"token=wrong", b"token=s3cret2", b"xtoken=s3cret", b"s3cret"):
        said = coap.post(b"x", options=[*READINGS, (Option.URI_QUERY, given)])
        assert (said.code, len(said.payload) < 30) == (Code.UNAUTHORIZED, True)
    assert coap.post(b"x", code=Code.GET, options=path(".well-known", "core")).code == Code.UNAUTHORIZED
    assert coap.post(b"x", options=[*READINGS, (Option.URI_QUERY, b"q=1"), (Option.URI_QUERY, b"token=s3cret")]).code == Code.CHANGED
    assert board.sink.payloads() == [b"x"]


def test_a_port_that_is_taken_is_told_and_taken_when_it_is_free(board: Board) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        board.begin(settings(listen=listen))
        wait_for(lambda: f"cannot listen on {listen} (UDP): Address already in use" in board.problem(), what="the problem")
    wait_for(lambda: board.status()["stands"], what="the port")


def test_a_token_that_others_can_read_is_no_start(board: Board, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret")
    file.chmod(0o644)
    board.begin(settings(token_file=str(file)))
    wait_for(lambda: "run: chmod 600" in board.problem(), what="the problem")


@pytest.mark.parametrize("listen", ["localhost:0", "[::1]:0"])
def test_names_and_ipv6_can_be_listened_on(board: Board, listen: str) -> None:
    if listen[0] == "[" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("needs IPv6")
    board.start(settings(listen=listen))
    host, _, port = board.url.removeprefix("coap://").split("/")[0].rpartition(":")
    with socket.socket(socket.AF_INET6 if host == "[::1]" else socket.AF_INET, socket.SOCK_DGRAM) as coap:
        coap.settimeout(WAIT)
        coap.sendto(encode(Message(kind=Kind.CON, code=Code.POST, mid=1, options=READINGS, payload=b"x")), (host.strip("[]"), int(port)))
        assert decode(coap.recv(1000)).code == Code.CHANGED


# Messages that come late, or twice


def test_nothing_is_answered_before_the_disk_and_a_late_answer_comes_until_it_is_acknowledged(board: Board, client: Any) -> None:
    coap = client()
    board.sink.hold = True
    request = coap.message(b"x")
    coap.put(request)
    early = coap.get()
    assert (early.kind, early.code, early.mid) == (Kind.ACK, Code.EMPTY, request.mid)  # taken note of, nothing more
    coap.put(request)
    assert coap.get() == early
    board.sink.hold = False
    board.sink.commit()
    late = coap.get()
    assert (late.kind, late.code, late.token) == (Kind.CON, Code.CHANGED, request.token)
    assert coap.get() == late  # not acknowledged, so it comes again
    coap.put(Message(kind=Kind.ACK, code=Code.EMPTY, mid=late.mid))
    coap.put(request)
    assert coap.get() == early  # the answer itself has arrived
    assert board.sink.payloads() == [b"x"]


def test_a_datagram_that_comes_again_is_answered_again_and_taken_once(board: Board, client: Any) -> None:
    coap = client()
    request = coap.message(b"x")
    said = coap.ask(request)
    for _ in range(20):
        assert coap.ask(request) == said
    silent = coap.message(b"y", kind=Kind.NON)
    coap.ask(silent)
    for _ in range(20):
        coap.put(silent)
    assert coap.post(b"end").code == Code.CHANGED
    assert board.sink.payloads() == [b"x", b"y", b"end"]


def test_a_message_id_that_is_used_again_for_something_else_is_a_reading(board: Board, client: Any) -> None:
    """A client that sends more than 265 messages a second comes round within EXCHANGE_LIFETIME; it must not get an old answer."""
    coap = client()
    for payload in (b"1", b"2"):
        coap._mid = 7
        assert coap.post(payload).code == Code.CHANGED
    assert board.sink.payloads() == [b"1", b"2"]


def test_the_last_block_that_comes_again_is_one_reading(board: Board, client: Any) -> None:
    coap = client()
    first = coap.post(b"a" * 16, options=[*READINGS, (Option.BLOCK1, uint(8))])
    assert (first.code, Block.of(first.values(Option.BLOCK1)[0])) == (Code.CONTINUE, Block(0, more=True, exponent=0))
    request = coap.message(b"end", options=[*READINGS, (Option.BLOCK1, uint(1 << 4))])
    last = coap.ask(request)
    assert (last.code, Block.of(last.values(Option.BLOCK1)[0])) == (Code.CHANGED, Block(1, more=False, exponent=0))
    assert coap.ask(request) == last
    assert board.sink.payloads() == [b"a" * 16 + b"end"]


# Clients that mean no good


def test_a_flood_is_bounded_by_the_window_and_refused_beyond(board: Board, client: Any) -> None:
    coap = client(window=10)
    board.sink.hold = True
    for _ in range(10):
        coap.put(coap.message(b"x", kind=Kind.NON))
    wait_for(lambda: board.status()["under_way"] == 10, what="a full window")
    assert {coap.post(b"y", kind=Kind.NON).code for _ in range(10_000)} == {Code.UNAVAILABLE}
    assert board.status()["under_way"] == 10
    board.sink.hold = False
    board.sink.commit()
    wait_for(lambda: coap.post(b"ok").code == Code.CHANGED, what="room")
    assert board.sink.payloads() == [b"x"] * 10 + [b"ok"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coapendpoint, "REMEMBERED", 100)
    monkeypatch.setattr(coapendpoint, "_UNACKNOWLEDGED", 5)

    async def flood() -> tuple[int, int]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
            bound.bind(("127.0.0.1", 0))
            endpoint = Endpoint(bound, lambda _exchange, _message: None)
            for mid in range(1000):
                exchange = Exchange(bound.getsockname(), Message(kind=Kind.CON, code=Code.POST, mid=mid), mid, 0.0)
                endpoint.keep(exchange)
                endpoint._acknowledge(exchange)
                endpoint.answer(exchange, Code.CHANGED)
            found = len(endpoint._recent), len(endpoint._unacknowledged)
            endpoint.close()
            return found

    assert asyncio.run(flood()) == (100, 5)


def test_transfers_that_nobody_ends_are_bounded(board: Board, client: Any) -> None:
    coap = client(max_transfers=4)
    half = [coap.post(b"x" * 1024, options=[*path("v1", "readings", str(number)), (Option.BLOCK1, uint(14))]).code for number in range(50)]
    assert half[:4] == [Code.CONTINUE] * 4
    assert Code.UNAVAILABLE in half[4:]
    assert coap.post(b"ok").code == Code.CHANGED
    assert board.sink.payloads() == [b"ok"]


def test_rubbish_harms_nobody(board: Board, client: Any) -> None:
    coap = client()
    rng = random.Random(15)
    good = encode(coap.message(b"payload", options=[*READINGS, (Option.BLOCK1, uint(14)), (Option.URI_QUERY, b"token=x")]))
    for turn in range(3000):
        if turn % 50 == 0:
            coap.post(b"between")  # so that the system drops none
        data = bytearray(rng.randbytes(rng.randrange(80)) if rng.random() < 0.3 else good)
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        coap.put(bytes(data[: rng.randrange(len(data) + 1)]))
    coap.put(b"\x40\x02\x00\x01" + b"\x00" * 60_000)
    assert coap.post(b"the end").code == Code.CHANGED
    assert b"the end" in board.sink.payloads()
    assert board.status()["malformed"] > 500
    assert board.problem() == ""


@pytest.mark.parametrize(
    ("message", "answered"),
    [
        (Message(kind=Kind.CON, code=Code.EMPTY, mid=9), True), (Message(kind=Kind.CON, code=Code.CONTENT, mid=9), True),
        (Message(kind=Kind.NON, code=Code.CONTENT, mid=9), False), (Message(kind=Kind.ACK, code=Code.EMPTY, mid=9), False),
        (Message(kind=Kind.RST, code=Code.EMPTY, mid=9), False), (Message(kind=Kind.CON, code=0xE1, mid=9), True),
    ],
)  # fmt: skip
def test_what_is_no_request_gets_four_bytes_at_most(client: Any, message: Message, *, answered: bool) -> None:
    """A ping (RFC 7252, 4.3), and answers to what was never asked."""
    coap = client()
    coap.put(message)
    if answered:
        assert coap.get() == Message(kind=Kind.RST, code=Code.EMPTY, mid=9)
    request = coap.message(b"x")
    coap.put(request)
    assert coap.get().token == request.token  # and nothing before it
