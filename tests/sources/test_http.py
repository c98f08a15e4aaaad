"""HTTP: answers, and clients that mean no good."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from device_agent.config import HttpConfig
from device_agent.ports import Verdict
from device_agent.sources import guard
from tests.lab.agent import wait_for
from tests.sources.certificates import make_certificates
from tests.sources.conftest import Board, no_descriptors


def settings(**changes: Any) -> HttpConfig:
    return HttpConfig(**({"name": "in", "kind": "http", "stream": "telemetry", "listen": "127.0.0.1:0"} | changes))


class Client:
    def __init__(self, board: Board, context: ssl.SSLContext | None = None) -> None:
        scheme, _, rest = board.url.partition("://")
        where = rest.split("/")[0]
        self.address = (where.rpartition(":")[0], int(where.rpartition(":")[2]))
        self._connection = http.client.HTTPConnection(where, timeout=60)
        if scheme == "https":
            self._connection = http.client.HTTPSConnection(where, timeout=60, context=context)

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        self._connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}, dict(answer.headers)

    def post(self, body: bytes, path: str = "/v1/readings/a", **headers: str) -> tuple[int, dict[str, Any]]:
        return self.request("POST", path, body, **headers)[:2]

    def served(self, body: bytes) -> None:
        """Send until it is taken: what idles too long is cut off, and on a busy machine that may be this client."""

        def taken() -> bool:
            try:
                return self.post(body)[0] == 200
            except (OSError, http.client.HTTPException):
                self._connection.close()
                return False

        wait_for(taken, what="an answer")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def client(board: Board) -> Any:
    made: list[Client] = []

    def start(context: ssl.SSLContext | None = None, **changes: Any) -> Client:
        board.start(settings(**changes))
        made.append(Client(board, context))
        return made[-1]

    yield start
    for one in made:
        one.close()


NDJSON = {"Content_Type": "application/x-ndjson"}


def test_the_answer_tells_the_numbers_and_lines_are_readings(board: Board, client: Any) -> None:
    http_ = client()
    assert http_.post(b"\0\xff") == (200, {"ok": True, "first": 1, "last": 1})
    assert http_.post(b"1\n\n 2 \r\n3", **NDJSON) == (200, {"ok": True, "first": 2, "last": 4})
    assert http_.post(b"", **NDJSON) == (200, {"ok": True})
    assert http_.post(b"x", "/v1/readings") == (200, {"ok": True, "first": 5, "last": 5})
    assert board.sink.payloads() == [b"\0\xff", b"1", b" 2 ", b"3", b"x"]
    assert board.topics() == ["a", "a", "a", "a", None]


EVENT = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1.50}'


def test_cloudevents_are_readings_in_all_three_modes(board: Board, client: Any) -> None:
    http_ = client()
    assert http_.post(EVENT, Content_Type="application/cloudevents+json; charset=utf-8") == (200, {"ok": True, "first": 1, "last": 1})
    batch = b"[" + EVENT + b", " + EVENT + b"]"
    assert http_.post(batch, Content_Type="application/cloudevents-batch+json") == (200, {"ok": True, "first": 2, "last": 3})
    headers = {"ce_specversion": "1.0", "ce_id": "7", "ce_source": "/s", "ce_type": "t", "ce_unit": "%C2%B0C"}
    assert http_.post(b"21.50", Content_Type="application/json", **headers) == (200, {"ok": True, "first": 4, "last": 4})
    found = board.sink.payloads()
    assert found[:3] == [EVENT] * 3
    assert bytes(found[3]) == (
        b'{"specversion":"1.0","id":"7","source":"/s","type":"t","unit":"\\u00b0C","datacontenttype":"application/json","data":21.50}'
    )


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Content_Type": "application/cloudevents+json"}, "that is not JSON"),
        ({"Content_Type": "application/cloudevents-batch+json"}, "a batch is an array of events"),
        ({"ce_specversion": "1.0", "ce_id": "7", "ce_type": "t"}, "an event has 'source', a text"),
        ({"ce_specversion": "1.0", "ce_id": "7", "ce_type": "t", "ce_source": "/", "ce_data": "zz"}, "ce-data names no attribute"),
        ({"ce_specversion": "1.0", "ce_id": "7", "ce_type": "t", "ce_source": "/", "ce_a_b": "1"}, "ce-a-b names no attribute"),
    ],
)
def test_what_is_no_cloudevent_is_400_with_the_reason(board: Board, client: Any, headers: dict[str, str], why: str) -> None:
    status, said = client().post(b"x", **headers)
    assert (status, said["ok"], said["again"]) == (400, False, False)
    assert why in said["error"]
    assert board.sink.payloads() == []


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "word"),
    [
        ("POST", "/", {}, 404, "/v1/readings"), ("POST", "/v1/readingsx", {}, 404, "/v1/readings"),
        ("GET", "/v1/readings/a", {}, 405, "POST"), ("DELETE", "/v1/readings/a", {}, 405, "POST"),
        ("POST", "/v1/readings/a", {"Content_Encoding": "gzip"}, 415, "Content-Encoding"),
        ("POST", "/v1/readings/a", {"Host": "evil.example"}, 421, "another machine"),
        ("POST", "/v1/readings/a", {"Host": "127.evil.example"}, 421, "another machine"),
        ("POST", "/v1/readings/a", {"Origin": "https://evil.example"}, 403, "another origin"),
        ("GET", "/v1/readings/a", {"Origin": "null", "Upgrade": "websocket"}, 403, "another origin"),
        ("POST", "/v1/readings/" + "t" * 300, {}, 413, "topic"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_answered_with_what_to_do(
    board: Board, client: Any, method: str, path: str, headers: dict[str, str], status: int, word: str
) -> None:
    """A page in a browser that DNS led here names another host (DNS rebinding)."""
    http_ = client()
    found, said, _ = http_.request(method, path, b"x", **headers)
    assert found == status
    assert said["ok"] is False
    assert word in said["error"]
    assert board.sink.payloads() == []


def test_a_full_spool_is_503_and_says_how_much_was_taken(board: Board, client: Any) -> None:
    http_ = client(window=4)
    board.sink.verdicts["telemetry"] = Verdict.FULL
    status, said, headers = http_.request("POST", "/v1/readings/a", b"x")
    assert (status, said["again"], headers["Retry-After"]) == (503, True, "1")
    assert "full" in said["error"]
    status, said, _ = http_.request("POST", "/v1/readings/a", b"1\n2\n3", **NDJSON)
    assert (status, said["taken"]) == (503, 0)
    board.sink.verdicts.clear()
    assert http_.post(b"x")[0] == 200


def test_a_token_is_asked_for(board: Board, client: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    http_ = client(token_file=str(file))
    for given in ("", "Bearer", "Bearer \xff", "Bearer wrong", "Basic s3cret", "Bearer s3cret2", "s3cret"):
        assert http_.post(b"x", Authorization=given)[0] == 401
    assert http_.post(b"x", Authorization="Bearer s3cret", Host="agent.example")[0] == 200
    assert board.sink.payloads() == [b"x"]


def test_a_token_that_others_can_read_is_no_start(board: Board, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret")
    file.chmod(0o644)
    board.begin(settings(token_file=str(file)))
    wait_for(lambda: "run: chmod 600" in board.problem(), what="the problem")


def test_a_port_that_is_taken_is_told_and_taken_when_it_is_free(board: Board) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        board.begin(settings(listen=listen))
        wait_for(lambda: f"cannot listen on {listen}: " in board.problem(), what="the problem")
    wait_for(lambda: board.status()["stands"], what="the port")


def test_clients_show_a_certificate(board: Board, client: Any, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    stranger = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    files = {
        "certificate": str(tmp_path / "server.pem"),
        "private_key": str(tmp_path / "server.key"),
        "client_ca": str(tmp_path / "ca.pem"),
    }
    http_ = client(context, **files)
    assert http_.post(b"x")[0] == 200
    other = Client(board, stranger)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        other.post(b"y")
    other.close()
    assert board.sink.payloads() == [b"x"]


# Clients that mean no good


def raw(http_: Client, data: bytes) -> socket.socket:
    connection = socket.create_connection(http_.address, timeout=60)
    connection.sendall(data)
    return connection


def closed(connection: socket.socket) -> bool:
    with connection:
        try:
            while connection.recv(65536):
                pass
        except ConnectionError:
            return True
        return True


@pytest.mark.parametrize(
    "data",
    [
        b"", b"POST /v1/readings/a HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /v1/readings/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf",
        b"POST /v1/readings/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
    ],
    ids=["silent", "head", "body", "chunk"],
)  # fmt: skip
def test_a_client_that_stops_in_the_middle_is_cut_off(board: Board, client: Any, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Slow loris: aiohttp waits for a head for ever."""
    monkeypatch.setattr(guard, "PATIENCE", 0.5)
    http_ = client()
    slow = raw(http_, data)
    http_.served(b"others are served")
    assert closed(slow)
    assert set(board.sink.payloads()) == {b"others are served"}


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 1000, b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000,
        b"POST /v1/readings/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/readings/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/readings/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
    ],
    ids=["tls", "zeros", "headers", "negative", "smuggled", "chunk"],
)  # fmt: skip
def test_rubbish_harms_nobody(board: Board, client: Any, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(guard, "PATIENCE", 0.5)
    http_ = client()
    with suppress(ConnectionError):  # cut while it was being sent
        assert closed(raw(http_, data))
    http_.served(b"ok")
    assert set(board.sink.payloads()) == {b"ok"}
    assert board.problem() == ""


def test_a_chunked_bomb_ends_at_the_limit(board: Board, client: Any) -> None:
    http_ = client(max_reading=1000)
    connection = raw(http_, b"POST /v1/readings/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with connection:
        try:
            for _ in range(200):
                connection.sendall(chunk)
            answer = connection.recv(65536)
        except ConnectionError:
            answer = b" 413 "  # cut while it was being sent
    assert b" 413 " in answer
    assert http_.post(b"ok")[0] == 200
    assert board.sink.payloads() == [b"ok"]


def test_connections_above_the_limit_are_closed_and_room_comes_back(board: Board, client: Any) -> None:
    http_ = client(max_connections=20)
    idle = [raw(http_, b"") for _ in range(200)]
    wait_for(lambda: board.status()["peers"] == 20, what="as many as may be")
    for one in idle:
        one.close()
    wait_for(lambda: board.status()["peers"] == 0, what="their end")
    http_.served(b"ok")


def test_connections_that_shake_no_hands_count_and_end(board: Board, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio knows a connection only after its TLS handshake: a thousand bare ones took all descriptors of the process."""
    monkeypatch.setattr(guard, "PATIENCE", 0.5)
    make_certificates(tmp_path)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    files = {"certificate": str(tmp_path / "server.pem"), "private_key": str(tmp_path / "server.key")}
    http_ = client(context, max_connections=3, **files)
    for one in [socket.create_connection(http_.address, timeout=60) for _ in range(6)]:
        assert closed(one)
    http_.served(b"others are served")
    assert set(board.sink.payloads()) == {b"others are served"}


def test_without_descriptors_nothing_is_accepted_and_the_log_stays_short(
    board: Board, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    http_ = client()
    http_.served(b"before")
    with no_descriptors(spare=1), socket.create_connection(http_.address, timeout=60):
        wait_for(lambda: "no file descriptors left" in board.problem(), what="the problem")
    wait_for(lambda: not board.problem(), what="the end of the shortage")
    http_.served(b"after")
    assert len(caplog.records) < 10
