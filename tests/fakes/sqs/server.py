"""The HTTP server around the model: HTTP/1.1 with keep-alive on a free port of loopback, optionally with TLS.

    with FakeSqs() as sqs:
        url = sqs.create("telemetry")
        sqs.script(Fault("error", "RequestThrottled", status=403, times=3))

`check_signatures` verifies Signature V4 against `keys`; `skew` moves the server's clock (its `Date` and its checks) in seconds.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from tests.fakes.sqs import signature
from tests.fakes.sqs.faults import Fault
from tests.fakes.sqs.model import Accepted, Sqs, SqsError
from tests.fakes.sqs.protocol import Protocol, protocol_of

ACCOUNT = "123456789012"
KEYS = {"AKIDTEST": "secret"}


class LoopbackServer(ThreadingHTTPServer):
    """HTTP or HTTPS on a free port of loopback. TLS begins in the connection's own thread, and no failed handshake leaves a socket open."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        with self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as wrapped:
            wrapped.do_handshake()
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what this is for."""


class _Server(LoopbackServer):
    fake: FakeSqs


class FakeSqs:
    """A context manager; `endpoint` is its address."""

    def __init__(
        self, *, model: Sqs | None = None, check_signatures: bool = True, skew: float = 0.0, token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self.model = model or Sqs()
        self.keys = dict(KEYS)
        self.check_signatures, self.skew, self.token = check_signatures, skew, token
        self.requests: list[tuple[str, str, int]] = []  # operation, queue, entries; in order of arrival
        self.in_flight = 0
        self.most_in_flight = 0
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = _Server(_Handler, tls)
        self._server.fake = self
        self.endpoint = f"{'https' if tls else 'http'}://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    def create(self, name: str, **attributes: str) -> str:
        """Create a queue and return its URL."""
        fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        return self.model.create_queue(name, f"{self.endpoint}/{ACCOUNT}/{name}", fifo | attributes)

    def script(self, *faults: Fault) -> None:
        """Append faults."""
        with self._lock:
            self._faults.extend(faults)

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    @property
    def accepted(self) -> list[Accepted]:
        """First acceptances, in order."""
        return self.model.accepted

    def bodies(self, queue: str) -> list[str]:
        """Accepted bodies of one queue, in order."""
        return [one.body for one in self.model.accepted if one.queue.endswith(f"/{queue}")]

    def now(self) -> float:
        """The server's wall time."""
        return time.time() + self.skew

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        self._stopping.wait(seconds)

    def fault(self, operation: str, queue: str) -> Fault | None:
        """Take the next line of the script that applies."""
        with self._lock:
            for fault in self._faults:
                if fault.matches(operation, queue):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def count(self, operation: str, queue: str, entries: int) -> None:
        """Record a request that arrived."""
        with self._lock:
            self.requests.append((operation, queue, entries))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def end(self) -> None:
        """Record that a request ended."""
        with self._lock:
            self.in_flight -= 1


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version: ClassVar[str] = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True
    wbufsize: ClassVar[int] = -1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(self.server.fake.now() if timestamp is None else timestamp, usegmt=True)

    def do_POST(self) -> None:
        fake, protocol = self.server.fake, protocol_of(self.headers)
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(min(length, 1024))
        body += self.rfile.read(length - len(body))
        operation, parameters = protocol.request(self.headers, body)
        queue = str(parameters.get("QueueUrl", "")).rpartition("/")[2]
        fake.count(operation, queue, len(parameters.get("Entries", ())))
        self._serve(protocol, operation, parameters, queue, body)

    def _serve(self, protocol: Protocol, operation: str, parameters: dict[str, Any], queue: str, body: bytes) -> None:
        fake = self.server.fake
        fault = fake.fault(operation, queue)
        if fault is not None and fault.kind in {"reset", "page", "endless", "drip"}:
            return self._strange(fault)
        try:
            if fake.check_signatures:
                signature.check(
                    method="POST", path=self.path, headers=self.headers, body=body, now=fake.now(), keys=fake.keys, token=fake.token
                )  # fmt: skip
            if fault is not None and fault.kind == "error":
                raise SqsError(fault.code, fault.message, status=fault.status, sender_fault=fault.sender_fault)  # noqa: TRY301  # one way to answer errors
            if fault is not None and fault.kind in {"html", "garbage"}:
                return self._answer(
                    200 if fault.kind == "garbage" else 511, b"<html><body>Please log in</body></html>", "text/html", ours=False
                )
            result = _Operations(fake, fault).run(operation, parameters, queue)
        except SqsError as error:
            text, headers = protocol.error(error)
            return self._answer(error.status, text, protocol.content_type, headers)
        if fault is not None and fault.kind == "lost":
            return self._reset()
        if fault is not None and fault.kind == "hang":
            fake.sleep(fault.seconds)
            return self._reset()
        if fault is not None and fault.kind == "slow":
            fake.sleep(fault.seconds)
        return self._answer(200, protocol.answer(operation, result), protocol.content_type)

    def _answer(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None, *, ours: bool = True) -> None:
        self.server.fake.end()  # before the client can know, and send the next
        self.send_response(status)
        for name, value in {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            **({"x-amzn-RequestId": "0"} if ours else {}),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _strange(self, fault: Fault) -> None:
        """What is no answer of SQS's at all."""
        if fault.kind == "reset":
            self._reset()
        elif fault.kind == "page":
            page = fault.message or "<html><body>No</body></html>"
            self._answer(fault.status, page.encode(), fault.content_type, {"Location": "/"}, ours=False)
        elif fault.kind == "drip":
            self._trickle(b"x", 0.05)
        else:
            self._trickle(b"x" * 65536, 0.0)

    def _trickle(self, part: bytes, pause: float) -> None:
        """Answer without an end, until the client has enough."""
        self.server.fake.end()
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(4000):
                self.wfile.write(part)
                self.wfile.flush()
                self.server.fake.sleep(pause)

    def _reset(self) -> None:
        self.server.fake.end()
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)  # close() sends RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


class _Operations:
    """The few operations of SQS that are there."""

    def __init__(self, fake: FakeSqs, fault: Fault | None) -> None:
        self._fake, self._model = fake, fake.model
        self._fault = fault if fault is not None and fault.kind in {"entries", "unnamed"} else None

    def run(self, operation: str, parameters: dict[str, Any], queue: str) -> dict[str, Any]:
        method = getattr(self, "_" + operation, None)
        if method is None:
            raise SqsError("InvalidAction", f"The action {operation} is not valid for this endpoint.")
        result: dict[str, Any] = method(parameters, queue)
        return result

    def _CreateQueue(self, parameters: dict[str, Any], _queue: str) -> dict[str, Any]:  # noqa: N802
        name = parameters["QueueName"]
        attributes = parameters.get("Attributes") or {one["Name"]: one["Value"] for one in parameters.get("Attribute", [])}
        return {"QueueUrl": self._model.create_queue(name, f"{self._fake.endpoint}/{ACCOUNT}/{name}", attributes)}

    def _GetQueueUrl(self, parameters: dict[str, Any], _queue: str) -> dict[str, Any]:  # noqa: N802
        return {"QueueUrl": self._model.url(parameters["QueueName"])}

    def _DeleteQueue(self, _parameters: dict[str, Any], queue: str) -> dict[str, Any]:  # noqa: N802
        self._model.delete_queue(queue)
        return {}

    def _GetQueueAttributes(self, _parameters: dict[str, Any], queue: str) -> dict[str, Any]:  # noqa: N802
        return {"Attributes": self._model.attributes(queue)}

    def _SendMessage(self, parameters: dict[str, Any], queue: str) -> dict[str, Any]:  # noqa: N802
        return dict(self._model.send(queue, parameters))

    def _SendMessageBatch(self, parameters: dict[str, Any], queue: str) -> dict[str, Any]:  # noqa: N802
        self._model.url(queue)
        entries = parameters.get("Entries") or []
        self._model.check_batch(entries)
        successful, failed = [], []
        for index, entry in enumerate(entries):
            if self._fault is not None and index in self._fault.entries:
                if self._fault.kind == "entries":
                    failed.append(_failed(entry, SqsError(self._fault.code, self._fault.message, sender_fault=self._fault.sender_fault)))
                continue
            try:
                successful.append({"Id": entry["Id"], **self._model.send(queue, entry)})
            except SqsError as error:
                failed.append(_failed(entry, error))
        return {"Successful": successful} | ({"Failed": failed} if failed else {})

    def _ReceiveMessage(self, parameters: dict[str, Any], queue: str) -> dict[str, Any]:  # noqa: N802
        messages = self._model.receive(queue, int(parameters.get("MaxNumberOfMessages", 1)))
        return {"Messages": messages} if messages else {}

    def _DeleteMessage(self, parameters: dict[str, Any], queue: str) -> dict[str, Any]:  # noqa: N802
        self._model.delete(queue, parameters["ReceiptHandle"])
        return {}


def _failed(entry: dict[str, Any], error: SqsError) -> dict[str, Any]:
    return {"Id": entry["Id"], "SenderFault": error.sender_fault, "Code": error.code, "Message": error.message}
