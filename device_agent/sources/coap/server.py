"""Channel Adapter for CoAP (RFC 7252): a server that answers when the reading is on disk, and an observer of resources of others.

    POST /v1/readings/<topic>      the body is a reading; large ones come block-wise (RFC 7959)
    GET  /.well-known/core         what there is (RFC 6690)

Answers: 2.04 with `{"ok":true,"first":17,"last":17}` after the disk; 5.03 with Max-Age where there is no room, 4.13 for what is never
taken, and 4.00, 4.01, 4.02, 4.04, 4.05, 4.08 for what is asked in a wrong way, each with its reason as text.

Promises: what is under way is bounded by `window`, what is put together by `max_transfers`, what is remembered by `REMEMBERED`; more is
refused at once, and answers are short, so a forged sender gains little. Beyond loopback nobody is served without the token. It goes in
clear: it keeps out who sends by mistake, not who listens.

How: the message layer is endpoint.py, in this thread's own event loop, which watches the courier's descriptors; observing is
observe.py, with aiocoap's client.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from device_agent.config.sources import CoapConfig
from device_agent.sources import listening, secret, watch
from device_agent.sources.coap.blocks import Assemblies, Block, Refusal, too_large
from device_agent.sources.coap.endpoint import Endpoint, Exchange
from device_agent.sources.coap.message import Code, Message, Option, uint
from device_agent.sources.coap.observe import observing, read_each
from device_agent.sources.port import Deliver, Place, Settled, Source

_PATH: Final = ["v1", "readings"]
_CORE: Final = [".well-known", "core"]
_LINKS: Final = b'</v1/readings>;title="POST a reading to /v1/readings/<topic>"'
_LINK_FORMAT: Final = (Option.CONTENT_FORMAT, uint(40))
_JSON: Final = (Option.CONTENT_FORMAT, uint(50))
_LATER: Final = (Option.MAX_AGE, uint(1))  # seconds
_REASON: Final = 200  # bytes
#: Critical options that a request may have; Uri-Host and Uri-Port name this machine, whoever it is.
_KNOWN: Final = {Option.URI_HOST, Option.URI_PORT, Option.URI_PATH, Option.URI_QUERY, Option.ACCEPT, Option.BLOCK1, Option.BLOCK2}
#: Options that differ between the blocks of one body.
_OF_A_BLOCK: Final = {Option.BLOCK1, Option.SIZE1}


class Coap(Source):
    """One run of a `coap` input."""

    def __init__(self, settings: CoapConfig, _place: Place) -> None:
        """Nothing listens yet."""
        super().__init__()
        self._settings = settings
        self._token = secret.read(settings.token_file, what="token_file").encode() if settings.token_file else b""
        self._deliver: Deliver
        self._endpoint: Endpoint
        self._bodies: Assemblies
        self._settle_soon = watch.Soon(self._settle)
        self._counts: Endpoint | None = None  # what it counts, once it listens

    def status(self) -> dict[str, Any]:
        """See `Source`. `malformed`: datagrams that were no CoAP; `unsent`: answers that the system did not take."""
        counts = self._counts
        return super().status() | ({} if counts is None else {"malformed": counts.malformed, "unsent": counts.unsent})

    def run(self, deliver: Deliver) -> None:
        """See `Source`."""
        self._deliver = deliver
        asyncio.run(self._run())

    def probe(self) -> str:
        """See `Source`. The address is had for a moment, and each resource is read once; the token was read before."""
        settings, said = self._settings, []
        if settings.listen:
            self._bind().close()
            said.append(f"can listen on {settings.listen} (UDP)")
        if settings.observe:
            asyncio.run(read_each(settings.observe))
            said.append(f"{', '.join(settings.observe)} can be read (not tried: to observe)")
        return "; ".join(said)

    async def _run(self) -> None:
        with watch.watched(self._deliver, self._settle) as stopped:
            endpoint = self._listen() if self._settings.listen else None
            try:
                async with observing(self._settings, self._offer, self):
                    await stopped.wait()
                if endpoint is not None:
                    endpoint.end()
                await watch.finish(self._deliver, self._settle)
            finally:
                if endpoint is not None:
                    endpoint.close()

    def _bind(self) -> socket.socket:
        try:
            return listening.bind(*listening.split(self._settings.listen), socket.SOCK_DGRAM)
        except OSError as error:
            raise listening.refused(f"{self._settings.listen} (UDP)", error) from None

    def _listen(self) -> Endpoint:
        settings, loop = self._settings, asyncio.get_running_loop()
        bound = self._bind()
        self._bodies = Assemblies(limit=settings.max_transfers, size=settings.max_reading, monotonic=loop.time)
        self._endpoint = self._counts = Endpoint(bound, self._serve)
        self._endpoint.open()
        host, port = bound.getsockname()[:2]
        self.knows(endpoints=[f"coap://{f'[{host}]' if ':' in host else host}:{port}/{'/'.join(_PATH)}", *settings.observe])
        self.on_stand()
        return self._endpoint

    # To the disk and back

    def _offer(self, settled: Callable[[Settled], None], payload: bytes, topic: str | None) -> bool:
        """Offer a reading if there is room, and call `settled` with what becomes of it."""
        if not self._deliver.room:
            return False
        self._deliver.offer(settled, payload, topic=topic)
        self._settle_soon()
        return True

    def _settle(self) -> None:
        for one in self._deliver.settled():
            cast("Callable[[Settled], None]", one.token)(one)  # what _offer got

    # Requests

    def _serve(self, exchange: Exchange, request: Message) -> None:
        try:
            self._respond(exchange, request)
        except Refusal as refusal:
            self._endpoint.answer(exchange, refusal.code, _short(str(refusal)), refusal.options)

    def _respond(self, exchange: Exchange, request: Message) -> None:
        _check(request)
        if not self._permitted(request):
            raise Refusal(Code.UNAUTHORIZED, "token missing or wrong")
        path = _path(request)
        if path == _CORE and request.code == Code.GET:
            self._endpoint.answer(exchange, Code.CONTENT, _LINKS, (_LINK_FORMAT,))
            return
        if path[: len(_PATH)] != _PATH:
            raise Refusal(Code.NOT_FOUND, "there is only /v1/readings/<topic>")
        if request.code != Code.POST:
            raise Refusal(Code.NOT_ALLOWED, "send readings by POST")
        block = next((Block.of(value) for value in request.values(Option.BLOCK1)), None)
        body = self._body(exchange, request, block)
        if body is None:
            assert block is not None  # without one the body is complete
            self._endpoint.answer(exchange, Code.CONTINUE, b"", (block.option(Option.BLOCK1),))
        elif self._deliver.room:
            self._endpoint.keep(exchange)
            self._offer(partial(self._answer, exchange, block), body, "/".join(path[len(_PATH) :]) or None)
        else:
            raise Refusal(Code.UNAVAILABLE, "as many readings as may be are under way", _LATER)

    def _permitted(self, request: Message) -> bool:
        if not self._token:
            return True  # only this machine comes here
        given = [value.removeprefix(b"token=") for value in request.values(Option.URI_QUERY) if value.startswith(b"token=")]
        return any(hmac.compare_digest(one, self._token) for one in given)

    def _body(self, exchange: Exchange, request: Message, block: Block | None) -> bytes | None:
        """Return the whole body; None: blocks of it are to come."""
        if any(int.from_bytes(size, "big") > self._settings.max_reading for size in request.values(Option.SIZE1)):
            raise too_large(self._settings.max_reading)
        if block is None:
            if len(request.payload) > self._settings.max_reading:
                raise too_large(self._settings.max_reading)
            return request.payload
        key = exchange.address, tuple(option for option in request.options if option[0] not in _OF_A_BLOCK)
        return self._bodies.feed(key, block, request.payload)

    def _answer(self, exchange: Exchange, block: Block | None, one: Settled) -> None:
        options = () if block is None else (block.option(Option.BLOCK1),)
        if one.taken:
            said = f'{{"ok":true,"first":{one.seq},"last":{one.seq}}}'.encode()
            self._endpoint.answer(exchange, Code.CHANGED, said, (_JSON, *options))
        elif one.again:
            self._endpoint.answer(exchange, Code.UNAVAILABLE, _short(one.reason), (_LATER, *options))
        else:
            self._endpoint.answer(exchange, Code.TOO_LARGE, _short(one.reason), options)


def _check(request: Message) -> None:
    """Refuse what must be understood, and is not (RFC 7252, 5.4.1)."""
    for number, value in request.options:
        if number in {Option.PROXY_URI, Option.PROXY_SCHEME}:
            raise Refusal(Code.NO_PROXY, "this is no proxy")
        if number & 1 and number not in _KNOWN:
            raise Refusal(Code.BAD_OPTION, f"option {number} is not known")
        if number == Option.BLOCK2 and Block.of(value).number:
            raise Refusal(Code.BAD_OPTION, "answers have no further blocks")


def _path(request: Message) -> list[str]:
    try:
        return [part.decode() for part in request.values(Option.URI_PATH)]
    except UnicodeDecodeError:
        raise Refusal(Code.BAD_REQUEST, "the path is not UTF-8") from None


def _short(reason: str) -> bytes:
    return reason.encode()[:_REASON].decode("utf-8", "ignore").encode()
