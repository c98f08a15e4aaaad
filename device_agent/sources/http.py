"""Channel Adapter for HTTP: a server that answers when the readings are on disk.

    POST /v1/readings/<topic>      any body is a reading; `application/x-ndjson`: each line is one; CloudEvents 1.0: each event is one
    GET  /v1/readings/<topic>      upgraded to a WebSocket: each message is a reading, and gets the same answer as a text

Answers: 200 `{"ok":true,"first":17,"last":19}` after the disk; 503 with Retry-After where there is no room, 413 for what is never taken,
400 for what cannot be read, each `{"ok":false,"again":...,"error":"..."}`. Of several lines some may be kept all the same: `taken` says how
many, and whoever sends all of them again makes those twice.

Promises: a client that says nothing, or little, or lies about lengths, costs one of `max_connections` connections for `PATIENCE` seconds
at most; bodies are bounded by `max_reading` (of lines: `BODY`) and never decompressed. Beyond loopback nobody is served without the
token, or without a certificate of `client_ca`.

How: aiohttp in this thread's own event loop; the loop watches the courier's descriptors.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from device_agent.config import HttpConfig
from device_agent.config.sources.listen import is_loopback
from device_agent.sources import cloudevents, guard, listening, secret, tls, watch
from device_agent.sources.door import Door
from device_agent.sources.guard import Guard
from device_agent.sources.port import Deliver, Place, Settled, Source
from device_agent.wire.limits import MIB

#: Bytes of a body with many lines.
BODY: Final = MIB
_TYPE: Final = {"Content-Type": "application/json; charset=utf-8"}
_RETRY: Final = "1"  # seconds, for Retry-After
_PATH: Final = "/v1/readings"
_LINES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
_SEVERAL: Final = _LINES | {cloudevents.BATCH}
_PING: Final = 30.0  # seconds between pings of a WebSocket
_STOP: Final = 1.0  # seconds for connections to end at a stop


@dataclass(slots=True)
class _Request:
    """Readings that came together, and what became of them."""

    done: asyncio.Future[None] | None = None  # while it is waited for
    settled: dict[int, Settled] = field(default_factory=dict)

    def answer(self, *, several: bool) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer, once all that were offered are settled."""
        found = [self.settled[number] for number in sorted(self.settled)]
        failed = next((one for one in found if not one.taken), None)
        if failed is None:
            return 200, {"ok": True, "first": found[0].seq, "last": found[-1].seq} if found else {"ok": True}
        taken = sum(one.taken for one in found)
        said: dict[str, Any] = {"ok": False, "again": failed.again, "error": failed.reason}
        return 503 if failed.again else 413, said | ({"taken": taken} if several else {})


class Http(Source):
    """One run of an `http` input."""

    def __init__(self, settings: HttpConfig, _place: Place) -> None:
        """Nothing listens yet."""
        super().__init__()
        self._settings = settings
        self._token = secret.read(settings.token_file, what="token_file").encode() if settings.token_file else b""
        self._deliver: Deliver
        self._settle_soon = watch.Soon(self._settle)
        self._room = asyncio.Event()
        self._guards: dict[asyncio.Transport, Guard] = {}  # of the connections that are open

    def run(self, deliver: Deliver) -> None:
        """See `Source`."""
        self._deliver = deliver
        asyncio.run(self._serve())

    def probe(self) -> str:
        """See `Source`. The files are read and the address is had for a moment, without listening; the token was read before."""
        settings = self._settings
        tls.server(settings)
        try:
            listening.bind(*listening.split(settings.listen), socket.SOCK_STREAM).close()
        except OSError as error:
            raise listening.refused(settings.listen, error) from None
        return f"can listen on {settings.listen} (not tried: a request)"

    async def _serve(self) -> None:
        with watch.watched(self._deliver, self._settle) as stopped:
            await self._listen(stopped)

    async def _listen(self, stopped: asyncio.Event) -> None:
        context = tls.server(self._settings)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=_STOP, keepalive_timeout=guard.PATIENCE,
            auto_decompress=False, lingering_time=_STOP,
        )  # fmt: skip
        await runner.setup()
        server = runner.server
        assert server is not None
        door = Door(
            lambda: Guard(server(), self._guards, self._count), limit=lambda: self._is_full(door), context=context, short=self._short
        )
        try:
            host, port = await door.open(self._settings.listen)
            scheme = "https" if self._settings.certificate else "http"
            self.knows(endpoints=[f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{_PATH}"])
            self.on_stand()
            await stopped.wait()
            door.close()
            await door.wait()
            await watch.finish(self._deliver, self._settle)
        finally:
            door.close()
            await runner.cleanup()
            for transport in self._guards:
                transport.abort()  # its client does not read the last answer
            await asyncio.sleep(0)

    def _is_full(self, door: Door) -> bool:
        return len(self._guards) + door.arriving >= self._settings.max_connections

    def _short(self) -> None:
        self.knows(
            problem="there are no file descriptors left, so no connection is accepted for now; raise LimitNOFILE, or stop what takes them"
        )

    def _count(self) -> None:
        self.knows(peers=len(self._guards), problem="")

    # Requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        guarded = self._guards.get(request.transport) if request.transport is not None else None
        if guarded is None:
            return _answer(503, "the connection is gone")
        with guarded.working():
            return await self._respond(request)

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        refusal = self._turned_away(request)
        if refusal is not None:
            return refusal
        path = request.path
        if path != _PATH and not path.startswith(f"{_PATH}/"):
            return _answer(404, f"there is only {_PATH}/<topic>")
        topic = path.removeprefix(_PATH).removeprefix("/") or None
        if request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request, topic)
        if request.method != "POST":
            return _answer(405, "send readings by POST, or upgrade to a WebSocket", {"Allow": "POST, GET"})
        return await self._post(request, topic)

    def _turned_away(self, request: web.Request) -> web.Response | None:
        """Return what to say to those who may not come in."""
        if not self._token and not self._settings.client_ca and not _is_local(request.host):
            return _answer(421, f"the Host header names another machine ({request.host}); send to localhost or 127.0.0.1")
        if _is_foreign(request):
            return _answer(403, "a page of another origin may not send readings; send without Origin, as programs do")
        if not self._permitted(request):
            return _answer(401, "the token is missing or wrong; send `Authorization: Bearer <token>`", {"WWW-Authenticate": "Bearer"})
        return None

    def _permitted(self, request: web.Request) -> bool:
        if not self._token:
            return True  # only this machine, or who has a certificate, comes here
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token)

    async def _post(self, request: web.Request, topic: str | None) -> web.StreamResponse:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return _answer(415, "bodies are taken as they are: send without Content-Encoding")
        several = request.content_type in _SEVERAL
        limit = BODY if several else self._settings.max_reading
        if (request.content_length or 0) > limit:
            return _answer(413, f"the body has {request.content_length} bytes; at most {limit} are taken")
        try:
            body = await _body(request, limit)
        except TimeoutError:
            return _answer(408, f"the body did not come within {guard.PATIENCE:.0f} s")
        if body is None:
            return _answer(413, f"the body has more than {limit} bytes")
        try:
            readings = _readings(request, body)
        except cloudevents.EventError as error:
            return _answer(400, f"{error}; see CloudEvents 1.0, HTTP protocol binding")
        status, said = await self._take(readings, topic)
        return _say(status, said)

    async def _websocket(self, request: web.Request, topic: str | None) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=_PING, max_msg_size=self._settings.max_reading)
        await socket.prepare(request)
        async for message in socket:
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                break
            payload = message.data.encode() if message.type is WSMsgType.TEXT else message.data
            _, said = await self._take([payload], topic)
            await socket.send_str(json.dumps(said, separators=(",", ":")))
        return socket

    async def _take(self, readings: Sequence[bytes], topic: str | None) -> tuple[int, dict[str, Any]]:
        """Offer readings in their order and return the answer once all are settled; after a failure nothing more is offered."""
        request = _Request()
        offered = 0
        while offered < len(readings) and all(one.taken for one in request.settled.values()):
            if not self._deliver.room:
                self._room.clear()
                await self._room.wait()
                continue
            self._deliver.offer((request, offered), readings[offered], topic=topic)
            offered += 1
            self._settle_soon()
        while len(request.settled) < offered:
            request.done = asyncio.get_running_loop().create_future()
            await request.done
        return request.answer(several=len(readings) > 1)

    def _settle(self) -> None:
        for one in self._deliver.settled():
            request, number = cast("tuple[_Request, int]", one.token)  # what _take offered
            request.settled[number] = one
            if request.done is not None and not request.done.done():
                request.done.set_result(None)
        self._room.set()


async def _body(request: web.Request, limit: int) -> bytes | None:
    """Return the body; None as soon as it has more than `limit` bytes. Raises `TimeoutError`."""
    if request.content.is_eof():  # it came with its head, as small ones do: there is nothing to wait for
        whole = request.content.read_nowait()
        return whole if len(whole) <= limit else None
    found = bytearray()
    async with asyncio.timeout(guard.PATIENCE):
        async for part in request.content.iter_any():
            found += part
            if len(found) > limit:
                return None
    return bytes(found)


def _readings(request: web.Request, body: bytes) -> list[bytes]:
    """Return what a body holds. Raises `EventError`."""
    kind = request.content_type
    if kind in _LINES:
        return [line.removesuffix(b"\r") for line in body.split(b"\n") if line.strip()]
    if kind == cloudevents.BATCH:
        return cloudevents.split(body)
    if kind == cloudevents.STRUCTURED:
        return [cloudevents.check(body)]
    if "ce-specversion" in request.headers:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return [cloudevents.from_headers(body, headers, request.headers.get("Content-Type", ""))]
    return [body]


def _is_local(address: str) -> bool:
    """Whether a request names this machine: a page in a browser that was led here by DNS names another (DNS rebinding)."""
    name = address.rpartition(":")[0] if address.rpartition(":")[2].isdecimal() else address
    return is_loopback(name)


def _is_foreign(request: web.Request) -> bool:
    """Whether a page of another origin sends it, whose browser would let a plain POST and a WebSocket through."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host


def _answer(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    return _say(status, {"ok": False, "again": status == 408, "error": reason}, headers)


def _say(status: int, said: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    more = {"Retry-After": _RETRY} if status == 503 else {}
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=False) + "\n"
    fields = _TYPE | (headers or {}) | more
    return web.Response(status=status, body=text.encode(), headers=fields)
