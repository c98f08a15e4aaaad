"""What comes to a source in the benchmarks: brokers that are filled beforehand, and clients that ask and wait. A process each.

python -m bench.loads mqtt|amqp|stomp URL FILE COUNT      puts COUNT readings into the session or queue that is taken from
python -m bench.loads http|coap|rep PORT FILE COUNT       `CLIENTS` connections, each with one request under way
python -m bench.loads push PORT FILE COUNT                one connection, as fast as it is read; open until the reader closes it

FILE: as the C producer takes it. Prints `count`, and of the last two lines `seconds` and `cpu` (seconds) from the first request on.

Clients write bytes that were made beforehand to plain sockets, so that they take a small part of the CPU time that a server does. NNG's
protocol over TCP: https://nanomsg.org/rfcs/sp-tcp-v1.html.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench.bare import NAME, SESSION, WINDOW
from bench.readings import read

CLIENTS: Final = 64
_CHUNK: Final = 64 * 1024
_SILENCE: Final = 30.0  # seconds without an answer
_PROTOCOLS: Final = {"push": 0x50, "req": 0x30}


class Failed(Exception):  # noqa: N818  # what happened, not a mistake of the caller
    """The other side did not do what it should."""


# Brokers


def mqtt(url: str, payloads: Iterator[bytes]) -> int:
    """Make the session that is taken from, and publish for it with QoS 1."""
    import paho.mqtt.client as paho  # noqa: PLC0415  # each pays for what it uses only
    from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415
    from paho.mqtt.packettypes import PacketTypes  # noqa: PLC0415
    from paho.mqtt.properties import Properties  # noqa: PLC0415

    address = urlsplit(url).hostname or "", urlsplit(url).port or 0
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = 3600
    owner = paho.Client(CallbackAPIVersion.VERSION2, client_id=SESSION, protocol=paho.MQTTv5)

    def on_connect(*_: object) -> None:
        owner.subscribe(NAME, 1)

    def on_subscribe(*_: object) -> None:
        owner.disconnect()

    owner.on_connect, owner.on_subscribe = on_connect, on_subscribe
    owner.connect(*address, clean_start=True, properties=session)
    owner.loop_forever()
    publisher = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    publisher.max_inflight_messages_set(WINDOW)
    publisher.connect(*address)
    publisher.loop_start()
    sent = [publisher.publish(NAME, payload, qos=1) for payload in payloads]
    for one in sent:
        one.wait_for_publish(_SILENCE)
    publisher.disconnect()
    publisher.loop_stop()
    return sum(one.is_published() for one in sent)


def amqp(url: str, payloads: Iterator[bytes]) -> int:
    """Declare the queue, and publish into it."""
    import pika  # noqa: PLC0415

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare(NAME, durable=True)
    count = 0
    for count, payload in enumerate(payloads, start=1):  # noqa: B007  # the number of the last
        channel.basic_publish("", NAME, payload)
    until = time.monotonic() + _SILENCE
    while (found := channel.queue_declare(NAME, passive=True).method.message_count or 0) < count and time.monotonic() < until:
        connection.sleep(0.05)
    connection.close()
    return found


def stomp(url: str, payloads: Iterator[bytes]) -> int:
    """Send to the queue; the receipt for the last one says that all are there."""
    import stomp as library  # noqa: PLC0415

    parts = urlsplit(url)
    connection = library.Connection12([(parts.hostname, parts.port)])
    receipts = library.WaitingListener("all")
    connection.set_listener("", receipts)
    connection.connect(wait=True)
    count = 0
    for count, payload in enumerate(payloads, start=1):  # noqa: B007  # the number of the last
        connection.send(f"/queue/{NAME}", payload, headers={"persistent": "true"})
    connection.send("/queue/open.last", b"", headers={"persistent": "true", "receipt": "all"})
    receipts.wait_on_receipt()
    connection.disconnect()
    return count


# Clients that ask and wait


class Client(ABC):
    """One connection; one request is under way at a time."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self.socket = self.connect(("127.0.0.1", port))

    def connect(self, address: tuple[str, int]) -> socket.socket:
        """Return the connection."""
        made = socket.create_connection(address, timeout=_SILENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    @abstractmethod
    def ask(self, payload: bytes) -> None:
        """Send a request."""

    @abstractmethod
    def answered(self) -> bool:
        """Read; return whether the answer is complete. Raises `Failed` if it is no good one."""


class HttpClient(Client):
    """HTTP 1.1, kept alive."""

    _LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")

    def __init__(self, port: int) -> None:
        """See `Client`."""
        super().__init__(port)
        self._came = b""

    def ask(self, payload: bytes) -> None:
        """See `Client`."""
        head = b"POST /v1/readings/%b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.socket.sendall(head % (NAME.encode(), len(payload)) + payload)

    def answered(self) -> bool:
        """See `Client`."""
        self._came += self.socket.recv(_CHUNK)
        end = self._came.find(b"\r\n\r\n")
        found = self._LENGTH.search(self._came, 0, max(0, end)) if end >= 0 else None
        if found is None or len(self._came) < end + 4 + int(found[1]):
            if not self._came:
                raise Failed("the server has closed the connection")
            return False
        if not self._came.startswith(b"HTTP/1.1 200"):
            raise Failed(f"the server answers {self._came[:200]!r}")
        self._came = b""
        return True


class CoapClient(Client):
    """Confirmable POSTs; each client has a port of its own, and message ids that are not used again."""

    _CON: Final = 0x40
    _TOKEN: Final = 4  # bytes

    def __init__(self, port: int) -> None:
        """See `Client`."""
        super().__init__(port)
        self._number = 0
        parts = (b"v1", b"readings", NAME.encode())
        heads = (b"\xb0", b"\x00", b"\x00")  # Uri-Path, and twice again
        self._path = b"".join(bytes([head[0] | len(part)]) + part for head, part in zip(heads, parts, strict=True))

    def connect(self, address: tuple[str, int]) -> socket.socket:
        """See `Client`."""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.connect(address)
        return made

    def ask(self, payload: bytes) -> None:
        """See `Client`."""
        self._number += 1
        if self._number > 0xFFFF:
            raise Failed("no message id is left; take more clients")
        head = struct.pack(">BBHI", self._CON | self._TOKEN, 2, self._number, self._number)
        self.socket.send(head + self._path + b"\xff" + payload)

    def answered(self) -> bool:
        """See `Client`."""
        came = self.socket.recv(_CHUNK)
        kind, code, mid = struct.unpack_from(">BBH", came)
        if code == 0:
            return False  # the answer follows
        if kind & 0x30 == 0:  # confirmable
            self.socket.send(struct.pack(">BBH", 0x60, 0, mid))
        if code != 0x44:
            raise Failed(f"the server answers {code >> 5}.{code & 31:02d}: {came!r}")
        return True


class ReqClient(Client):
    """NNG's REQ."""

    def __init__(self, port: int) -> None:
        """See `Client`."""
        super().__init__(port)
        greet(self.socket, "req")
        self._number = 0x80000000
        self._came = b""

    def ask(self, payload: bytes) -> None:
        """See `Client`."""
        self._number += 1
        self.socket.sendall(struct.pack(">QI", 4 + len(payload), self._number) + payload)

    def answered(self) -> bool:
        """See `Client`."""
        self._came += self.socket.recv(_CHUNK)
        if len(self._came) < 12 or len(self._came) < 8 + struct.unpack_from(">Q", self._came)[0]:
            if not self._came:
                raise Failed("the server has closed the connection")
            return False
        if struct.unpack_from(">I", self._came, 8)[0] != self._number or b'"ok":true' not in self._came:
            raise Failed(f"the server answers {self._came[12:]!r}")
        self._came = b""
        return True


def greet(connection: socket.socket, protocol: str) -> None:
    """Say the protocol, and hear the other side's."""
    connection.sendall(struct.pack(">4sHH", b"\0SP\0", _PROTOCOLS[protocol], 0))
    if len(connection.recv(8, socket.MSG_WAITALL)) < 8:
        raise Failed("the other side does not speak NNG's protocol")


def ask(kind: type[Client], port: int, payloads: Iterator[bytes]) -> int:
    """Keep all clients busy until every payload has its answer."""
    with ExitStack() as stack:
        made = [kind(port) for _ in range(CLIENTS)]
        clients = {stack.enter_context(one.socket).fileno(): one for one in made}
        return _ask(clients, stack.enter_context(select.epoll()), payloads)


def _ask(clients: Mapping[int, Client], poll: select.epoll, payloads: Iterator[bytes]) -> int:
    under_way, count = 0, 0
    for file, payload in zip(clients, payloads, strict=False):
        clients[file].ask(payload)
        poll.register(file, select.EPOLLIN)
        under_way += 1
    while under_way:
        ready = poll.poll(_SILENCE)
        if not ready:
            raise Failed(f"no answer within {_SILENCE:.0f} s; {count} came before")
        for file, _ in ready:
            if clients[file].answered():
                count, under_way = count + 1, under_way - 1
                for payload in islice(payloads, 1):
                    clients[file].ask(payload)
                    under_way += 1
    return count


def push(port: int, payloads: Iterator[bytes]) -> int:
    """NNG's PUSH."""
    count = 0
    with socket.create_connection(("127.0.0.1", port), timeout=_SILENCE) as connection:
        greet(connection, "push")
        while some := list(islice(payloads, 500)):
            connection.sendall(b"".join(struct.pack(">Q", len(payload)) + payload for payload in some))
            count += len(some)
        connection.settimeout(None)
        connection.recv(1)  # who has read all closes
    return count


_FILLS: Final[dict[str, Callable[[str, Iterator[bytes]], int]]] = {"mqtt": mqtt, "amqp": amqp, "stomp": stomp}
_CLIENTS: Final[dict[str, type[Client]]] = {"http": HttpClient, "coap": CoapClient, "rep": ReqClient}


def main(kind: str, where: str, file: str, count: str) -> None:
    """Run one and say what it did."""
    payloads = islice(cycle(read(Path(file))), int(count))
    began, cpu = time.monotonic(), time.process_time()
    if kind in _FILLS:
        done = _FILLS[kind](where, payloads)
    else:
        done = push(int(where), payloads) if kind == "push" else ask(_CLIENTS[kind], int(where), payloads)
    said: dict[str, Any] = {"count": done, "seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}
    print(json.dumps(said), flush=True)
    if done != int(count):
        raise Failed(f"{done} of {count} readings")


if __name__ == "__main__":
    main(*sys.argv[1:])
