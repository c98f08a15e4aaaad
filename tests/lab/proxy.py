"""Fault proxy: HTTP/1.1 in front of an SQS endpoint, failing as networks and services do, at random from a seed or as it is told.

Promises: a request whose fate is `pass` reaches the endpoint unchanged (TLS apart) and its answer the client; what each fate does to the
endpoint is said beside it. Threads: one a connection. Not for production: everything is buffered.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import ssl
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.sqs.model import SqsError
from tests.fakes.sqs.protocol import Query, protocol_of


class Fate(Enum):
    """What becomes of a request."""

    PASS = "pass"
    ERROR = "error"  # 500; the endpoint sees nothing
    UNAVAILABLE = "unavailable"  # 503 with a page for people; the endpoint sees nothing
    THROTTLE = "throttle"  # the endpoint sees nothing
    LOST = "lost"  # accepted by the endpoint; the client sees a reset
    HANG = "hang"  # accepted by the endpoint; the client sees nothing until it gives up
    CUT_REQUEST = "cut request"  # reset with (large) requests still on their way; the endpoint sees nothing
    CUT_ANSWER = "cut answer"  # accepted by the endpoint; reset in the middle of the answer's body
    PARTIAL = "partial"  # some entries of a batch fail, not the sender's fault; the endpoint sees the others. Query protocol: ERROR
    SLOW = "slow"  # accepted and answered, after `Faults.latency`


@dataclass
class Faults:
    """What goes wrong now. Changed by the test's thread at any time."""

    rate: float = 0.0  # part of the requests that do not pass
    kinds: tuple[Fate, ...] = tuple(fate for fate in Fate if fate not in {Fate.PASS, Fate.HANG, Fate.SLOW})
    latency: float = 1.0  # seconds, of SLOW
    every: float = 0.0  # seconds, of all requests
    bandwidth: float = 0.0  # bytes a second upwards, all connections together; 0: no limit
    only: str = "SendMessageBatch"  # operation that fails; "": all


@dataclass
class Proxy:
    """A context manager; `url` is where the client is to send. `tls` makes it speak TLS to the client."""

    upstream: str
    seed: int = 0
    tls: ssl.SSLContext | None = None
    faults: Faults = field(default_factory=Faults)
    seen: Counter[Fate] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._lock, self._line = threading.Lock(), threading.Lock()
        self._stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    def heal(self) -> None:
        """Let everything pass from now on."""
        self.faults = Faults()

    def fate(self, operation: str) -> Fate:
        """Decide about a request."""
        with self._lock:
            faults = self.faults
            wanted = not faults.only or operation == faults.only
            fate = self.random.choice(faults.kinds) if wanted and faults.kinds and self.random.random() < faults.rate else Fate.PASS
            self.seen[fate] += 1
            return fate

    def draw(self, below: int) -> list[int]:
        """Some of the numbers 0 to `below` - 1, at least one."""
        with self._lock:
            return sorted(self.random.sample(range(below), self.random.randint(1, below)))

    def carry(self, size: int) -> None:
        """Take as long as `size` bytes take on the line."""
        faults = self.faults
        if faults.every:
            self.sleep(faults.every)
        if faults.bandwidth:
            with self._line:
                self.sleep(size / faults.bandwidth)

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        self._stopping.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away, or that refuse our certificate, are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # type: ignore[misc]  # as the standard library means it
    protocol_version: ClassVar[str] = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True
    wbufsize: ClassVar[int] = -1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""

    def do_POST(self) -> None:
        proxy = self.server.proxy
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(min(length, 512))
        protocol = protocol_of(self.headers)
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2] or _operation(body)
        fate = proxy.fate(operation)
        if fate is Fate.CUT_REQUEST:
            return self._reset()
        if fate is Fate.PARTIAL and protocol is Query:
            fate = Fate.ERROR
        body += self.rfile.read(length - len(body))
        proxy.carry(length)
        return self._meet(fate, body)

    def _meet(self, fate: Fate, body: bytes) -> None:
        if fate is Fate.ERROR:
            self._error(500, "InternalError")
        elif fate is Fate.THROTTLE:
            self._error(400, "ThrottlingException")
        elif fate is Fate.UNAVAILABLE:
            self._answer(503, b"<html><body>Service Unavailable</body></html>", "text/html")
        else:
            self._pass(fate, body)

    def _pass(self, fate: Fate, body: bytes) -> None:
        proxy = self.server.proxy
        if fate is Fate.SLOW:
            proxy.sleep(proxy.faults.latency)
        body, failed = self._without(body) if fate is Fate.PARTIAL else (body, [])
        status, kind, answer = 200, "application/x-amz-json-1.0", b"{}"
        if body:
            try:
                status, kind, answer = self._forward(body)
            except (OSError, http.client.HTTPException):
                return self._reset()  # the endpoint is away, or cut us off
        if failed and status == 200:
            said = json.loads(answer)
            answer = json.dumps(said | {"Failed": [*said.get("Failed", []), *failed]}).encode()
        if fate is Fate.HANG:
            proxy.sleep(60)
        if fate in {Fate.LOST, Fate.HANG}:
            return self._reset()
        return self._answer(status, answer, kind, cut=fate is Fate.CUT_ANSWER)

    def _without(self, body: bytes) -> tuple[bytes, list[dict[str, Any]]]:
        """Take some entries out of a batch; what is left (nothing if all are out), and what they fail with."""
        request = json.loads(body)
        entries = request["Entries"]
        drawn = set(self.server.proxy.draw(len(entries)))
        failed = [
            {"Id": entry["Id"], "SenderFault": False, "Code": "InternalError", "Message": "by the fault proxy"}
            for at, entry in enumerate(entries)
            if at in drawn
        ]
        request["Entries"] = [entry for at, entry in enumerate(entries) if at not in drawn]
        return json.dumps(request).encode() if request["Entries"] else b"", failed

    def _forward(self, body: bytes) -> tuple[int, str, bytes]:
        upstream = urlsplit(self.server.proxy.upstream)
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port or 80, timeout=60)
        try:
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in {"content-length", "expect", "connection"}
            }
            connection.request("POST", self.path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        finally:
            connection.close()

    def _error(self, status: int, code: str) -> None:
        protocol = protocol_of(self.headers)
        body, headers = protocol.error(SqsError(code, "by the fault proxy", status=status))
        self._answer(status, body, protocol.content_type, headers=headers)

    def _answer(self, status: int, body: bytes, kind: str, *, cut: bool = False, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), "x-amzn-RequestId": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            self._reset()

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() sends RST
        self.connection.close()


def _operation(body: bytes) -> str:
    """What the Query protocol (boto3 before 1.28.82) asks for; it says so first."""
    return dict(parse_qsl(body.decode("ascii", "replace"))).get("Action", "")
