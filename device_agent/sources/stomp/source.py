"""Channel Adapter for STOMP 1.1 and 1.2: a subscriber of a queue or topic of ActiveMQ, Artemis or RabbitMQ.

Promises
- A message is acknowledged by itself (`client-individual`) when it is on disk, and only over the connection that it came by.
- A message that is never taken is refused (NACK) so that the broker does not send it again: it is for the broker's dead-letter queue.
- A message that finds no room stays unacknowledged, and the broker sends no more than the window (a header of each broker says so). If a
  broker sends more all the same, the socket is not read until there is room.
- Heart-beats go on in both directions while the disk is slow or the spool full.

How: stomp.py's own connection reads in a thread of its own as fast as the broker sends, into memory without a bound. So only its code for
frames is used (`frames`). This thread waits for the broker's socket and for the courier together (`connection`).

A stop ends with DISCONNECT, without UNSUBSCRIBE before: after that brokers take no acknowledgement of what they have sent.
"""

from __future__ import annotations

import time
from typing import Final

from device_agent import events
from device_agent.config.sources import StompConfig
from device_agent.sources import cloudevents, secret
from device_agent.sources.onlooker import Onlooker
from device_agent.sources.port import Deliver, NotNow, Place, Source
from device_agent.sources.stomp.connection import LARGEST, Connection
from device_agent.sources.stomp.frames import Frame
from device_agent.wire.limits import MIB

_ANSWER: Final = 10.0  # seconds for the broker's answers to CONNECT and SUBSCRIBE, both together
_LEAVE: Final = 2.0  # seconds for its answer to DISCONNECT
_SURPLUS: Final = 2  # windows of messages until the socket is not read
_ARTEMIS: Final = 4096  # bytes a message: Artemis counts its window in bytes
_TEXT: Final = 300  # characters of what a broker says that are shown
_READY: Final = "subscribed"


_DIGITS: Final = 16  # of milliseconds since 1970; what is longer is no time
#: Headers of a message that are about its way, or have a place of their own in an event.
_NOT_KEPT: Final = {
    "ack", "subscription", "destination", "content-length", "content-type", "message-id", "redelivered", "timestamp",
}  # fmt: skip


class Stomp(Source):
    """One run of a `stomp` input: from the connection to its end."""

    def __init__(self, settings: StompConfig, place: Place) -> None:
        """Nothing is connected yet."""
        super().__init__()
        self._settings = settings
        self._client = f"{place.device}.{settings.name}"
        self._source = cloudevents.origin(place, settings.name)
        self._subscription = self._client if settings.durable else "1"
        self._deliver: Deliver
        self._connection: Connection
        self._version = ""  # until the broker has accepted the connection
        self._standing = False
        self._full = False  # frames wait in the connection's memory until there is room

    def run(self, deliver: Deliver) -> None:
        """See `Source`."""
        self._deliver = deliver
        login = self._login(self._client)
        self._connection = connection = Connection(self._settings)
        try:
            connection.send("CONNECT", **login)
            self._loop(time.monotonic() + _ANSWER)
            if self._standing:
                connection.leave(_LEAVE)
        finally:
            connection.close()

    def probe(self) -> str:
        """See `Source`. Only CONNECT, as another client: whoever subscribes is sent messages."""
        self._deliver = Onlooker()
        login = self._login(f"{self._client}.check")
        self._connection = connection = Connection(self._settings)
        try:
            connection.send("CONNECT", **login)
            limit = time.monotonic() + _ANSWER
            while not self._version:
                connection.flush()
                self._wait(limit)
                frame = connection.next()
                if frame is not None:
                    self._greeted(frame)
            connection.send("DISCONNECT")
            connection.flush()
        finally:
            connection.close()
        server = self.status()["server"] or "the broker"
        return f"{server} lets this device in (not tried: to subscribe to {self._settings.destination})"

    def _greeted(self, frame: Frame) -> None:
        if frame.command == "ERROR":
            raise NotNow(self._error(frame))
        if frame.command == "CONNECTED":
            self._connected(frame)

    def _login(self, client: str) -> dict[str, str]:
        settings = self._settings
        beat = f"{settings.heart_beat * 1000:.0f}"
        found = {"accept_version": "1.1,1.2", "host": settings.virtual_host or settings.address[0], "heart_beat": f"{beat},{beat}"}
        if settings.durable:
            found["client_id"] = client
        if settings.username:
            found["login"] = settings.username
            found["passcode"] = ""
        if settings.password_file:
            found["passcode"] = secret.read(settings.password_file, what="password_file")
            if set(found["passcode"]) & set("\r\n\0"):
                raise NotNow("password_file: the password must be one line")
        return found

    # The loop

    def _loop(self, limit: float) -> None:
        while True:
            self._acknowledge()
            self._take()
            self._connection.flush()
            if self._deliver.finished:
                return
            self._wait(limit)

    def _wait(self, limit: float) -> None:
        """Wait for what comes first: the broker, the disk, a heart-beat, or the limit of the broker's first answers."""
        connection = self._connection
        reads = not self._full and not connection.clogged
        timeout = connection.rest(reading=reads)
        if not self._standing:
            left = limit - time.monotonic()
            if left <= 0:
                raise NotNow(f"{self._settings.url} does not answer within {_ANSWER:g} s; is it a STOMP broker, and the port right?")
            timeout = left if timeout is None else min(left, timeout)
        file = connection.fileno()
        ready = self._deliver.wait([file] if reads else [], timeout, writing=[file] if connection.unsent else [])
        if reads and ready:
            connection.receive()

    def _take(self) -> None:
        """Handle the frames that have come, while there is room."""
        limit = _SURPLUS * self._settings.window
        while self._deliver.under_way < limit or self._deliver.stopping:
            frame = self._connection.next()
            if frame is None:
                self._full = False
                return
            self._handle(frame)
        self._full = True

    def _acknowledge(self) -> None:
        for one in self._deliver.settled():
            if not one.taken and one.again:
                continue  # at a stop: the broker has it still
            if not one.taken:
                events.source_refused(name=self._settings.name, reason=one.reason)
            self._answer(str(one.token), taken=one.taken)

    def _answer(self, token: str, *, taken: bool) -> None:
        named = {"id": token} if self._version == "1.2" else {"message_id": token, "subscription": self._subscription}
        if taken:
            self._connection.send("ACK", **named)
        else:
            self._connection.send("NACK", requeue="false", **named)  # RabbitMQ sends it again for ever without that header

    # What the broker says

    def _handle(self, frame: Frame) -> None:
        if frame.command == "MESSAGE":
            self._message(frame)
        elif frame.command == "CONNECTED":
            self._connected(frame)
            self._subscribe()
        elif frame.command == "ERROR":
            raise NotNow(self._error(frame))
        elif frame.headers.get("receipt-id") == _READY:
            self._standing = True
            self.knows(peers=1)
            self.on_stand()

    def _connected(self, frame: Frame) -> None:
        version = frame.headers.get("version", "1.0")
        if version not in {"1.1", "1.2"}:
            raise NotNow(f"{self._settings.url} speaks STOMP {version[:10]} only; 1.1 or 1.2 is needed, for heart-beats and NACK")
        self._version = version
        wanted = self._settings.heart_beat
        sends, wants = self._beats(frame.headers.get("heart-beat", "0,0"))
        self._connection.agree(version, ours=max(wanted, wants) if wants else 0.0, theirs=max(wanted, sends) if sends else 0.0)
        self.knows(server=_printable(frame.headers.get("server", ""))[:100])

    def _beats(self, text: str) -> tuple[float, float]:
        """Return the seconds between heart-beats that the broker can send, and those that it wants; 0: none."""
        sends, _, wants = (part.strip() for part in text.partition(","))
        if not (sends.isdecimal() and wants.isdecimal() and len(text) <= 30):
            raise NotNow(f"{self._settings.url} answers with a heart-beat of {text[:40]!r}, which is not two numbers")
        return int(sends) / 1000, int(wants) / 1000

    def _subscribe(self) -> None:
        settings, window = self._settings, self._settings.window
        headers = {
            "id": self._subscription, "destination": settings.destination, "ack": "client-individual", "receipt": _READY,
            "activemq.prefetchSize": f"{window}", "prefetch-count": f"{window}", "consumer-window-size": f"{window * _ARTEMIS}",
        }  # fmt: skip
        if settings.durable:  # ActiveMQ's words, Artemis', and RabbitMQ's
            headers |= {"activemq.subscriptionName": self._client, "durable-subscription-name": self._client}
            headers |= {"durable": "true", "auto-delete": "false"}
        self._connection.send("SUBSCRIBE", **headers)

    def _message(self, frame: Frame) -> None:
        if self._deliver.stopping:
            return  # it was not taken, so the broker gives it to the next
        token = frame.headers.get("ack" if self._version == "1.2" else "message-id")
        if token is None:
            raise NotNow(f"{self._settings.url} sends a message that cannot be acknowledged: it has no header for that")
        if frame.size > len(frame.body):
            reason = f"{frame.size} bytes, and nothing above {LARGEST // MIB} MiB is kept in quarantine"
            events.source_refused(name=self._settings.name, reason=reason)
            self._answer(token, taken=False)
        else:
            body = _event(frame, self._source) if self._settings.properties else frame.body
            self._deliver.offer(token, body, topic=frame.headers.get("destination"))

    def _error(self, frame: Frame) -> str:
        url, settings = self._settings.url, self._settings
        said = _said(frame)
        if not self._version:
            return f"{url} refuses the connection: {said}; check username, password_file and virtual_host"
        if not self._standing:
            return f"{url} refuses to subscribe to {settings.destination}: {said}; correct destination, or ask the broker's administrator"
        return f"{url} has ended the connection: {said}"


def _event(frame: Frame, source: str) -> bytes:
    """Return the event of a message. `timestamp` is ActiveMQ's, in milliseconds."""
    headers = frame.headers
    sent = headers.get("timestamp", "")
    attributes = {
        "id": headers.get("message-id"), "subject": headers.get("destination"), "redelivered": headers.get("redelivered") == "true",
        "time": cloudevents.time(int(sent) / 1000) if sent.isdecimal() and len(sent) < _DIGITS else None,
        "headers": cloudevents.texts((name, value) for name, value in headers.items() if name not in _NOT_KEPT),
    }  # fmt: skip
    return cloudevents.wrap(frame.body, source=source, content_type=headers.get("content-type", ""), attributes=attributes)


def _said(frame: Frame) -> str:
    """Return what an ERROR frame says, as one line of limited length."""
    title = _printable(frame.headers.get("message", ""))
    lines = [_printable(line) for line in frame.body.decode("utf-8", "replace").splitlines()]
    first = next((line for line in lines if line), "")
    parts = [title] if not first or title in first or first in title else [title, first]
    return ": ".join(part for part in parts if part)[:_TEXT].rstrip(" .") or "it does not say why"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text).strip()
