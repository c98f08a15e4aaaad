"""Minimal SQS: answers as cheaply as possible and counts, so that clients are compared and not servers. One process, one thread.

    python -m bench.responder       prints {"port": N}; ends when its standard input does

Speaks HTTP/1.1 with keep-alive and AWS JSON 1.0. `SendMessage`, `SendMessageBatch` and `GetQueueAttributes` for any queue; no signature is
checked and nothing is kept. For `archive` it also answers DynamoDB's and S3's calls with success. `GET /` returns the counters:

    requests    send requests           messages    messages accepted       bytes   as SQS counts them (UTF-8 bodies)
    billed      send requests in units of 64 KiB    readings    in them: an envelope's `count`, else the lines of a body
    first, last monotonic time of the first and last acceptance              cpu     seconds of this process
    live        of envelopes from the number after `watch`: how many, and the largest age of their first reading in seconds

`GET /reset` sets them to zero; `GET /reset?watch=N` also says from which sequence number on envelopes are live.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

UNIT: Final = 64 * 1024
_HEAD_END: Final = b"\r\n\r\n"
#: Extension attributes of an envelope stand before its data, so the beginning of a body is enough.
_ATTRIBUTES: Final = re.compile(r'"time":"([^"]+)".*?"firstseq":"?(\d+)"?.*?"count":(\d+)')
_BEGINNING: Final = 1024
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET: Final = re.compile(rb"\r\nx-amz-target: *([A-Za-z0-9_.]+)", re.IGNORECASE)
_EXPECT: Final = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)


@dataclass(slots=True)
class Counters:
    """What arrived since the last reset."""

    requests: int = 0
    messages: int = 0
    bytes: int = 0
    billed: int = 0
    readings: int = 0
    first: float = 0.0
    last: float = 0.0
    cpu: float = 0.0
    watch: int = sys.maxsize
    live: int = 0
    live_age: float = 0.0
    other: dict[str, int] = field(default_factory=dict)  # calls that are not SQS's

    def accept(self, bodies: list[str], *, now: float) -> None:
        """Count a request with these bodies."""
        size = sum(len(body) if body.isascii() else len(body.encode()) for body in bodies)
        self.requests += 1
        self.messages += len(bodies)
        self.bytes += size
        self.billed += max(1, -(-size // UNIT))
        self.first = self.first or now
        self.last = now
        for body in bodies:
            self.readings += self._readings(body)

    def _readings(self, body: str) -> int:
        found = _ATTRIBUTES.search(body, 0, _BEGINNING) if body.startswith('{"specversion"') else None
        if found is None:
            return body.count("\n", 0, len(body) - 1) + 1
        if int(found[2]) >= self.watch:
            self.live += 1
            self.live_age = max(self.live_age, (datetime.now(UTC) - datetime.fromisoformat(found[1])).total_seconds())
        return int(found[3])


class Responder(asyncio.Protocol):
    """One connection."""

    counters = Counters()
    started = time.process_time()

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._held = bytearray()
        self._needed = 0  # bytes until the request is whole; 0: its head is not known yet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._held += data
        while self._held and len(self._held) >= self._needed:
            end = self._held.find(_HEAD_END)
            if end < 0:
                return
            head = bytes(self._held[:end])
            length = _LENGTH.search(head)
            whole = end + len(_HEAD_END) + (int(length[1]) if length else 0)
            if len(self._held) < whole:
                if not self._needed and _EXPECT.search(head):
                    self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._needed = whole
                return
            body = bytes(self._held[end + len(_HEAD_END) : whole])
            del self._held[:whole]
            self._needed = 0
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        target = _TARGET.search(head)
        if target is not None:
            answer = self._call(target[1].decode(), body)
        elif head.startswith(b"GET "):
            answer = self._control(head.split(b" ", 2)[1].decode())
        else:
            answer = {}
            self.counters.other["s3"] = self.counters.other.get("s3", 0) + 1
        text = json.dumps(answer).encode() if answer else b""
        lines = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nDate: {_date()}\r\nContent-Length: {len(text)}\r\n\r\n"
        self._write(lines.encode() + text)

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def _call(self, target: str, body: bytes) -> dict[str, Any]:
        operation = target.rpartition(".")[2]
        request = json.loads(body)
        if operation == "SendMessageBatch":
            entries = request["Entries"]
            self.counters.accept([entry["MessageBody"] for entry in entries], now=time.monotonic())
            accepted = [{"Id": entry["Id"], "MessageId": "0", "MD5OfMessageBody": "0"} for entry in entries]
            return {"Successful": accepted, "Failed": []}
        if operation == "SendMessage":
            self.counters.accept([request["MessageBody"]], now=time.monotonic())
            return {"MessageId": "0", "MD5OfMessageBody": "0"}
        if operation == "GetQueueAttributes":
            return {"Attributes": {"MaximumMessageSize": "1048576"}}
        self.counters.other[operation] = self.counters.other.get(operation, 0) + 1
        return _dynamodb(operation, request)

    def _control(self, path: str) -> dict[str, Any]:
        parts = urlsplit(path)
        if parts.path == "/reset":
            watch = parse_qs(parts.query).get("watch", [str(sys.maxsize)])[0]
            type(self).counters = Counters(watch=int(watch))
            type(self).started = time.process_time()
        self.counters.cpu = time.process_time() - self.started
        return asdict(self.counters)


def _dynamodb(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """A table in which nothing stands yet and every write succeeds."""
    if operation == "Query":
        return {"Items": [], "Count": 0}
    if operation == "UpdateItem":
        return {"Attributes": {"epochs": {"L": request["ExpressionAttributeValues"][":new"]["L"]}}}
    return {"ConsumedCapacity": {"CapacityUnits": 1}}


_dates: dict[int, str] = {}


def _date() -> str:
    """The present HTTP date, made once a second."""
    now = int(time.time())
    if now not in _dates:
        _dates.clear()
        _dates[now] = formatdate(now, usegmt=True)
    return _dates[now]


async def serve() -> None:
    """Serve on a free port of loopback until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Responder, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
