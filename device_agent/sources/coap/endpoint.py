"""CoAP over UDP: the message layer of a server (RFC 7252, section 4), with bounds.

Promises
- A request that was kept is not served twice, though its datagram comes again within `_LIFETIME`: the answer is sent again. Known are the
  last `REMEMBERED` of them. A message id that is used again for something else is a new request.
- A confirmable request that takes long is acknowledged before its sender asks again; the answer then follows in a message of its own,
  which is sent again until it is acknowledged.
- What is no CoAP is counted and not answered. An answer to what is no request has 4 bytes.

Why not aiocoap's server: what it remembers has no bound, and a flood of datagrams with forged senders fills the memory (decision 57).
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from device_agent.sources.coap.message import Code, Kind, Malformed, Message, decode, encode

#: Requests that are known when they come again; some 400 bytes each.
REMEMBERED: Final = 20_000
_LIFETIME: Final = 247.0  # seconds; EXCHANGE_LIFETIME of RFC 7252, 4.8.2
_ACKNOWLEDGE: Final = 0.5  # seconds until a request is acknowledged without its answer; its sender asks again after 2 to 3
_AGAIN: Final = (2.0, 3.0)  # seconds until an answer is sent again the first time: ACK_TIMEOUT, and that x ACK_RANDOM_FACTOR
_TIMES: Final = 4  # MAX_RETRANSMIT
_UNACKNOWLEDGED: Final = 1000  # answers at most that are sent again; further ones are sent once
_BATCH: Final = 64  # datagrams that are read before answers have their turn
_DATAGRAM: Final = 65_536

Address = tuple[Any, ...]  # what the socket calls it


class Exchange:
    """A request with what became of it. Small: it is remembered for minutes."""

    __slots__ = ("acknowledged", "address", "answer", "began", "confirmable", "datagram", "mid", "timer", "token")

    def __init__(self, address: Address, request: Message, datagram: int, began: float) -> None:
        """Begin; `datagram` is the hash of its bytes."""
        self.address, self.mid, self.token = address, request.mid, request.token
        self.confirmable = request.kind is Kind.CON
        self.datagram, self.began = datagram, began
        self.acknowledged = False
        self.answer = b""
        self.timer: asyncio.TimerHandle | None = None


class Endpoint:
    """A bound socket and the requests that come to it."""

    def __init__(self, bound: socket.socket, serve: Callable[[Exchange, Message], None]) -> None:
        """Hand each request to `serve`, which calls `answer`; now, or later, and then it calls `keep` first."""
        self._socket, self._serve = bound, serve
        self._loop = asyncio.get_running_loop()
        self._recent: OrderedDict[tuple[Address, int], Exchange] = OrderedDict()
        self._unacknowledged: dict[tuple[Address, int], asyncio.TimerHandle] = {}
        self._mid = random.getrandbits(16)
        self.malformed = 0  # datagrams that are no CoAP
        self.unsent = 0  # datagrams that the system did not take

    def open(self) -> None:
        """Take requests."""
        self._loop.add_reader(self._socket, self._read)

    def end(self) -> None:
        """Take no more requests. Answers are still sent."""
        self._loop.remove_reader(self._socket)

    def close(self) -> None:
        """Forget everything."""
        self.end()
        for timer in (*self._unacknowledged.values(), *(one.timer for one in self._recent.values() if one.timer is not None)):
            timer.cancel()
        self._socket.close()

    # In

    def _read(self) -> None:
        for _ in range(_BATCH):
            try:
                data, address = self._socket.recvfrom(_DATAGRAM)
            except BlockingIOError:
                return
            try:
                message = decode(data)
            except Malformed:
                self.malformed += 1
                continue
            self._receive(message, hash(data), address)

    def _receive(self, message: Message, datagram: int, address: Address) -> None:
        if message.kind in {Kind.ACK, Kind.RST}:
            timer = self._unacknowledged.pop((address, message.mid), None)
            if timer is not None:
                timer.cancel()
        elif not message.is_request:
            if message.kind is Kind.CON:  # a ping, or an answer to what was never asked
                self._send(Message(kind=Kind.RST, code=Code.EMPTY, mid=message.mid), address)
        else:
            now = self._loop.time()
            known = self._recent.get((address, message.mid))
            if known is not None and known.datagram == datagram and now - known.began < _LIFETIME:
                self._repeat(known)
            else:
                self._serve(Exchange(address, message, datagram, now), message)

    def _repeat(self, exchange: Exchange) -> None:
        if not exchange.confirmable:
            return
        if exchange.answer and not exchange.acknowledged:
            self._put(exchange.answer, exchange.address)
        else:
            self._acknowledge(exchange)

    # Out

    def keep(self, exchange: Exchange) -> None:
        """Its answer comes later, and it must not be served twice."""
        if exchange.confirmable:
            exchange.timer = self._loop.call_later(_ACKNOWLEDGE, self._acknowledge, exchange)
        key = exchange.address, exchange.mid
        self._recent.pop(key, None)
        self._recent[key] = exchange
        oldest = next(iter(self._recent.values()))
        if len(self._recent) > REMEMBERED or exchange.began - oldest.began > _LIFETIME:
            self._recent.popitem(last=False)

    def _acknowledge(self, exchange: Exchange) -> None:
        exchange.acknowledged = True
        self._cancel(exchange)
        self._send(Message(kind=Kind.ACK, code=Code.EMPTY, mid=exchange.mid), exchange.address)

    def answer(self, exchange: Exchange, code: Code, payload: bytes = b"", options: tuple[tuple[int, bytes], ...] = ()) -> None:
        """Send the answer: within the acknowledgement if that was not sent yet."""
        self._cancel(exchange)
        kind, mid = Kind.ACK, exchange.mid
        if exchange.acknowledged or not exchange.confirmable:
            self._mid = mid = self._mid + 1 & 0xFFFF
            kind = Kind.CON if exchange.acknowledged and len(self._unacknowledged) < _UNACKNOWLEDGED else Kind.NON
        exchange.answer = encode(Message(kind=kind, code=code, mid=mid, token=exchange.token, options=options, payload=payload))
        self._put(exchange.answer, exchange.address)
        if kind is Kind.CON:
            self._await(exchange.answer, exchange.address, mid, random.uniform(*_AGAIN), _TIMES)  # noqa: S311  # no secret

    def _await(self, answer: bytes, address: Address, mid: int, seconds: float, times: int) -> None:
        def again() -> None:
            del self._unacknowledged[address, mid]
            if times:
                self._put(answer, address)
                self._await(answer, address, mid, seconds * 2, times - 1)

        self._unacknowledged[address, mid] = self._loop.call_later(seconds, again)

    def _cancel(self, exchange: Exchange) -> None:
        if exchange.timer is not None:
            exchange.timer.cancel()
            exchange.timer = None

    def _send(self, message: Message, address: Address) -> None:
        self._put(encode(message), address)

    def _put(self, datagram: bytes, address: Address) -> None:
        try:
            self._socket.sendto(datagram, address)
        except OSError:  # no way there, or no room in its buffer: as if it was lost on the way, and the other side asks again
            self.unsent += 1
