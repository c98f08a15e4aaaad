"""Observing resources of CoAP servers (RFC 7641): each notification is a reading.

Promises
- There is nobody to acknowledge, and a notification is the state of a resource. While there is no room, the newest of each resource is
  kept and offered again; older ones are skipped, and counted in `status`.
- A resource that is away is asked again after a pause; the others go on. One that says nothing for as long as its last state is valid
  (Max-Age, 60 s where nothing is said) is asked anew, as a server that started again has forgotten who observes.
- A notification larger than `max_reading` is not fetched to its end; the log says so.

How: aiocoap's client, a context with a socket for each registration: after it nothing is left of the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from aiocoap import GET, Context, Message
from aiocoap.error import ConRetransmitsExceeded, Error

from device_agent import events
from device_agent.backoff import Backoff
from device_agent.config.sources import CoapConfig
from device_agent.config.sources.coap import topic_of
from device_agent.seldom import Seldom
from device_agent.sources.courier import PAUSE
from device_agent.sources.port import Away, NotNow, Settled, Source

#: Offers a reading; False: there is no room.
Offer = Callable[[Callable[[Settled], None], bytes, str | None], bool]

_READ: Final = 10.0  # seconds for a resource to be read once
_SILENT: Final = "no answer came; is it switched on, and the address right?"
_PAUSES: Final = (1.0, 60.0)  # seconds between tries of a resource that is away
_MAX_AGE: Final = 60  # seconds, where a notification does not say (RFC 7252, 5.10.5)
_LONGEST: Final = 86_400  # seconds that a state is believed to be valid
_SLACK: Final = 15.0  # seconds more before it is asked anew (RFC 7641, 3.3.1)


@asynccontextmanager
async def observing(settings: CoapConfig, offer: Offer, source: Source) -> AsyncIterator[None]:
    """While entered, observe what is to be observed."""
    board = _Board(settings, source)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_Resource(url, settings, offer, board).run()) for url in settings.observe]
        yield
        for task in tasks:
            task.cancel()


async def read_each(urls: Sequence[str]) -> None:
    """Read all resources once, at the same time. Raises `NotNow` that says what is wrong with each that cannot be read."""
    found = await asyncio.gather(*(_read(url) for url in urls), return_exceptions=True)
    for unexpected in (one for one in found if one is not None and not isinstance(one, NotNow)):
        raise unexpected
    wrong = [one for one in found if isinstance(one, NotNow)]
    if wrong:
        kind = Away if all(isinstance(one, Away) for one in wrong) else NotNow
        raise kind("; ".join(map(str, wrong)))


async def _read(url: str) -> None:
    context = await Context.create_client_context(transports=["simple6"])
    try:
        async with asyncio.timeout(_READ):
            response = await context.request(Message(code=GET, uri=url), handle_blockwise=False).response
        _check(url, response)
    except TimeoutError:
        raise Away(f"{url} does not answer: {_SILENT}") from None
    except (Error, OSError) as error:
        raise Away(f"{url} does not answer: {_text(error)}") from None
    finally:
        await context.shutdown()


def _check(url: str, response: Any) -> None:
    if not response.code.is_successful():
        raise NotNow(f"{url} answers {response.code}; does it exist?")


class _Board:
    """What is known of all resources, for `status` and the log."""

    def __init__(self, settings: CoapConfig, source: Source) -> None:
        self._settings, self._source = settings, source
        self._problems = {url: f"{url} has not answered yet" for url in settings.observe}
        self._seldom = Seldom(asyncio.get_running_loop().time)
        self._stands = settings.listen != ""
        self.skipped = 0

    def problem(self, url: str, problem: str) -> None:
        """Say what is wrong with a resource; empty: nothing."""
        self._problems[url] = problem
        if problem and self._seldom.due((url, problem)):
            events.source_waits(name=self._settings.name, problem=problem)
        if not problem and not self._stands:
            self._stands = True
            self._source.on_stand()
        wrong = [one for one in self._problems.values() if one]
        self._source.knows(observed=len(self._problems) - len(wrong), problem="; ".join(wrong))

    def skip(self) -> None:
        """Count a state that was not kept."""
        self.skipped += 1
        self._source.knows(skipped=self.skipped)


class _Resource:
    """One resource."""

    def __init__(self, url: str, settings: CoapConfig, offer: Offer, board: _Board) -> None:
        self._url, self._settings, self._offer, self._board = url, settings, offer, board
        self._topic = topic_of(url)
        self._number = 0  # of the newest state
        self._waiting: bytes | None = None  # the newest state, if it found no room
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Observe until cancelled."""
        backoff = Backoff(first=_PAUSES[0], cap=_PAUSES[1])
        try:
            while True:
                problem = await self._register(backoff)
                if problem:
                    self._board.problem(self._url, problem)
                    await asyncio.sleep(backoff.failed())
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _register(self, backoff: Backoff) -> str:
        """Observe until that ends; return why, and nothing if it is to be asked anew at once."""
        context = await Context.create_client_context(transports=["simple6"])
        try:
            await self._observe(context, backoff)
        except TimeoutError:
            return ""
        except (Error, OSError) as error:
            return f"{self._url} does not answer: {_text(error)}"
        except NotNow as error:
            return str(error)
        finally:
            await context.shutdown()
        return f"{self._url} has ended the observation"

    async def _observe(self, context: Context, backoff: Backoff) -> None:
        """Observe until that ends. Raises `TimeoutError` if nothing came for long."""
        request = context.request(Message(code=GET, uri=self._url, observe=0), handle_blockwise=False)
        response = await request.response
        await self._take(context, response)
        if response.opt.observe is None:
            raise NotNow(f"{self._url} can be read, but not observed")
        self._board.problem(self._url, "")
        backoff.succeeded()
        notifications = aiter(request.observation)
        while True:
            age = _MAX_AGE if response.opt.max_age is None else min(response.opt.max_age, _LONGEST)
            try:
                async with asyncio.timeout(age + _SLACK):
                    response = await anext(notifications)
            except StopAsyncIteration:
                return
            await self._take(context, response)

    # States

    async def _take(self, context: Context, response: Any) -> None:
        _check(self._url, response)
        body = await self._whole(context, response)
        if body is None:
            events.source_refused(name=self._settings.name, reason=f"{self._url} has more than {self._settings.max_reading} bytes")
            return
        self._number += 1
        if self._waiting is not None:
            self._board.skip()
        self._waiting = body
        self._pass()

    async def _whole(self, context: Context, response: Any) -> bytes | None:
        """Return the state, of which `response` may be the first block; None: it is too large."""
        body, block, etag = bytearray(response.payload), response.opt.block2, response.opt.etag
        while block is not None and block.more and len(body) <= self._settings.max_reading:
            ask = Message(code=GET, uri=self._url, block2=(len(body) // block.size, False, min(block.size_exponent, 6)))
            response = await context.request(ask, handle_blockwise=False).response
            block = response.opt.block2
            if block is None or block.start != len(body) or not response.payload or response.opt.etag != etag:
                raise NotNow(f"{self._url} has changed while it was being read")
            body += response.payload
        return bytes(body) if len(body) <= self._settings.max_reading else None

    def _pass(self) -> None:
        """Offer the newest state, now or a little later."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting is None:
            return
        body, self._waiting = self._waiting, None
        if not self._offer(partial(self._settled, self._number, body), body, self._topic):
            self._later(body)

    def _later(self, body: bytes) -> None:
        self._waiting = body
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._pass)

    def _settled(self, number: int, body: bytes, one: Settled) -> None:
        if one.again and not one.taken:
            if number == self._number:
                self._later(body)
            else:
                self._board.skip()  # there is a newer one
        elif not one.taken:
            events.source_refused(name=self._settings.name, reason=one.reason)


def _text(error: Exception) -> str:
    if isinstance(error, ConRetransmitsExceeded):
        return _SILENT
    cause = error.__cause__ or error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
