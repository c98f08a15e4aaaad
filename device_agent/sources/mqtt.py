"""Channel Adapter for MQTT 3.1.1 and 5: a client of a broker, with a session that lasts.

Promises
- PUBACK is sent when the message is on disk, and only over the connection that the message came by: packet ids are used again after a
  reconnect (https://github.com/eclipse-paho/paho.golang/issues/160).
- What the broker holds for an agent that was away is delivered then: the client id is the same at every start, the session persistent.
- Topics that were taken out of the configuration are unsubscribed: a session keeps them for ever (telegraf#9703).
- A message that finds no room keeps its place in the broker's window and is offered to the spool again: a broker sends an unacknowledged
  message again only after a reconnect (https://github.com/eclipse-paho/paho.mqtt.python/issues/348).
- Subscribed with QoS 1 at most: paho hands a message of QoS 2 over only after it has promised it (paho.mqtt.python#382).

How: paho's client without its own thread. This thread waits for the broker's socket and for the courier together, so a message and its
acknowledgement change no thread. Version 5 tells the broker the window (Receive Maximum); with 3.1.1 the broker's own window holds. The
socket is read all the same, for the answers to pings, but for a flood that no window bounds: messages of QoS 0.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from typing import Any, Final, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from device_agent import events
from device_agent.config import MqttConfig
from device_agent.sources import cloudevents, memory, secret, tls
from device_agent.sources.port import Away, Deliver, NotNow, Place, Source

_CONNECT: Final = 10.0  # seconds for TCP and TLS, and again for the broker's CONNACK
_TICK: Final = 1.0  # seconds between looks at the keep-alive
_SURPLUS: Final = 2  # windows of messages until the socket is not read: brokers keep to a window, but not for messages of QoS 0
_BATCH: Final = 64  # messages that are read before acknowledgements have their turn
_CHUNK: Final = 64 * 1024  # bytes a read; more than a TLS record (16 KiB), so TLS never holds back what the socket does not show
#: Reason codes of version 5 with which a broker ends a connection because another one has taken the session over (MQTT 5.0, 3.14.2.1).
_TAKEN_OVER: Final = 0x8E


class _Client(paho.Client):
    """Reads what the broker has sent in one go; paho reads three times for each message, and gives the interpreter lock away each time.

    `_sock_recv` is paho's own: a version that does not call it reads as it always did.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._came, self._at = b"", 0

    @property
    def holds(self) -> bool:
        """Whether there are bytes that were read and not looked at."""
        return self._at < len(self._came)

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self.holds:
            self._came, self._at = super()._sock_recv(_CHUNK), 0
        found = self._came[self._at : self._at + bufsize]
        self._at += len(found)
        return found


class Mqtt(Source):
    """One run of an `mqtt` input: from the connection to its end."""

    def __init__(self, settings: MqttConfig, place: Place) -> None:
        """Make a client; nothing is connected yet."""
        super().__init__()
        self._settings = settings
        self._subscribed = place.directory / f"{settings.name}.mqtt.json"
        self._source = cloudevents.origin(place, settings.name)
        self._id = settings.client_id or f"{place.device}.{settings.name}"
        self._deliver: Deliver
        self._received = 0
        self._refused = ""
        self._standing = False
        self._lost = ""

    @property
    def _five(self) -> bool:
        return self._settings.version == "5"

    def run(self, deliver: Deliver) -> None:
        """See `Source`."""
        self._deliver = deliver
        client = self._client(clean=False)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_message = self._on_message
        self._connect(client, clean=False)
        try:
            self._loop(client, deliver)
        finally:
            client.disconnect()

    def probe(self) -> str:
        """See `Source`. As another client, whose session ends with the connection: the running agent's goes on."""
        self._id = f"{self._id}.check"
        client = self._client(clean=True)
        client.on_connect = self._on_visit
        client.on_subscribe = self._on_visited
        self._connect(client, clean=True)
        try:
            patience = time.monotonic() + _CONNECT
            while not self._standing:
                self._check(client)
                self._be_patient(patience)
                client.loop(_TICK)
        finally:
            client.disconnect()
        untried = ", ".join(topic for topic in self._settings.topics if topic not in self._harmless())
        return f"{self._settings.url} lets this device in" + (f" (not tried: to subscribe to {untried})" if untried else "")

    def _harmless(self) -> list[str]:
        """Topics that a visitor can subscribe to without a message: version 5 can leave out retained ones, and shares take others' away."""
        return [topic for topic in self._settings.topics if self._five and not topic.startswith("$share/")]

    def _connect(self, client: paho.Client, *, clean: bool) -> None:
        settings = self._settings
        session: dict[str, Any] = {"clean_start": clean, "properties": None if clean else self._session()} if self._five else {}
        try:
            client.connect(*settings.address, keepalive=int(settings.keep_alive), **session)
        except ssl.SSLError as error:
            raise tls.distrust(error, settings.url) from None
        except (OSError, ValueError) as error:  # ValueError: of a host name that cannot be one
            said = getattr(error, "strerror", None) or str(error)
            raise Away(f"{settings.url} does not answer: {said}; is the broker running, and the address right?") from None

    def _client(self, *, clean: bool) -> _Client:
        settings = self._settings
        client = _Client(
            CallbackAPIVersion.VERSION2, client_id=self._id, clean_session=None if self._five else clean, manual_ack=True,
            protocol=paho.MQTTv5 if self._five else paho.MQTTv311, reconnect_on_failure=False,
        )  # fmt: skip
        client.connect_timeout = _CONNECT
        client.on_disconnect = self._on_disconnect
        if settings.username:
            password = secret.read(settings.password_file, what="password_file") if settings.password_file else None
            client.username_pw_set(settings.username, password)
        if settings.tls:
            client.tls_set_context(tls.client(settings))
        return client

    def _session(self) -> Properties:
        found = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        found.SessionExpiryInterval = int(self._settings.session_expiry)
        found.ReceiveMaximum = self._settings.window
        return found

    # The loop

    def _loop(self, client: _Client, deliver: Deliver) -> None:
        patience = time.monotonic() + _CONNECT
        while True:
            self._acknowledge(client, deliver)
            connection = self._check(client)
            if deliver.finished:
                return
            self._be_patient(patience)
            file = connection.fileno()
            reads = not deliver.stopping and deliver.under_way < _SURPLUS * self._settings.window
            holds = reads and client.holds
            ready = deliver.wait([file] if reads else [], 0.0 if holds else _TICK, writing=[file] if client.want_write() else [])
            if reads and (ready or holds):
                self._read(client, deliver)
            if client.want_write():
                client.loop_write()
            client.loop_misc()

    def _check(self, client: paho.Client) -> Any:
        """Return the connection's socket. Raises `NotNow` if it has ended, or the broker has refused something."""
        connection = client.socket()
        if connection is None or self._lost or self._refused:
            raise NotNow(self._refused or self._lost or f"{self._settings.url} has closed the connection")
        return connection

    def _be_patient(self, until: float) -> None:
        """Raise `NotNow` if the broker should have said by now that it takes us."""
        if not self._standing and time.monotonic() > until:
            older = ', or set version = "3.1.1" if it is an old one' if self._five else ""
            raise NotNow(f"{self._settings.url} takes connections, but says nothing: is it an MQTT broker? Restart it{older}")

    def _read(self, client: _Client, deliver: Deliver) -> None:
        """Read what is there, a packet at a time, up to a batch."""
        for _ in range(_BATCH):
            before = self._received
            client.loop_read()
            if self._received == before or not deliver.room:
                return

    def _acknowledge(self, client: paho.Client, deliver: Deliver) -> None:
        for one in deliver.settled():
            mid, qos = cast("tuple[int, int]", one.token)  # what _on_message offered
            if not one.taken and one.again:
                continue  # at a stop: the broker has it still
            if not one.taken:
                events.source_refused(name=self._settings.name, reason=one.reason)
            if qos:
                client.ack(mid, qos)

    # What paho calls, within loop_read

    def _on_connect(
        self, client: paho.Client, _data: object, flags: paho.ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._refuses(reason):
            return
        wanted = list(self._settings.topics)
        gone = [topic for topic in memory.recall(self._subscribed) if topic not in wanted]
        self._remember(gone + wanted)
        if gone:
            client.unsubscribe(gone)
        qos = self._settings.qos
        if self._five:
            client.subscribe([(topic, SubscribeOptions(qos=qos)) for topic in wanted])
        else:
            client.subscribe([(topic, qos) for topic in wanted])
        self.knows(session="resumed" if flags.session_present else "new")

    def _refuses(self, reason: ReasonCode) -> bool:
        if reason.is_failure:
            self._refused = f"{self._settings.url} refuses the connection: {reason}; check username, password_file and client_id"
        return bool(reason.is_failure)

    def _on_visit(
        self, client: paho.Client, _data: object, _flags: paho.ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        topics = self._harmless()
        if self._refuses(reason):
            return
        if topics:
            client.subscribe([(topic, SubscribeOptions(qos=0, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)) for topic in topics])
        else:
            self._standing = True

    def _on_visited(
        self, _client: paho.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self._standing = not self._denies(self._harmless(), reasons)

    def _on_unsubscribe(self, *_: object) -> None:
        self._remember(list(self._settings.topics))

    def _remember(self, topics: list[str]) -> None:
        if memory.recall(self._subscribed) != topics:
            memory.remember(self._subscribed, topics)

    def _on_subscribe(
        self, _client: paho.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if self._denies(self._settings.topics, reasons):
            return
        self._standing = True
        self.knows(peers=1)
        self.on_stand()

    def _denies(self, topics: Sequence[str], reasons: Sequence[ReasonCode]) -> bool:
        refused = [f"{topic} ({reason})" for topic, reason in zip(topics, reasons, strict=False) if reason.is_failure]
        if refused:
            self._refused = f"{self._settings.url} refuses to subscribe to {', '.join(refused)}; ask its administrator, or correct topics"
        return bool(refused)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self._received += 1
        payload = bytes(message.payload)
        if self._settings.properties:
            payload = self._event(message, payload)
        self._deliver.offer((message.mid, message.qos), payload, topic=message.topic)

    def _event(self, message: paho.MQTTMessage, payload: bytes) -> bytes:
        said = message.properties  # version 5
        found: dict[str, Any] = said.json() if said is not None else {}  # type: ignore[no-untyped-call]
        return cloudevents.wrap(
            payload,
            source=self._source,
            content_type=found.get("ContentType", ""),
            attributes={
                "subject": message.topic, "qos": message.qos, "retain": message.retain, "redelivered": message.dup,
                "responsetopic": found.get("ResponseTopic"), "correlationdata": found.get("CorrelationData"),
                "expiry": found.get("MessageExpiryInterval"), "headers": cloudevents.texts(found.get("UserProperty", ())),
            },
        )  # fmt: skip

    def _on_disconnect(
        self, _client: paho.Client, _data: object, _flags: paho.DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.value == _TAKEN_OVER:
            self._lost = f"another program has connected to {self._settings.url} as {self._id!r}; give one of them another client_id"
        else:
            self._lost = f"{self._settings.url} has ended the connection: {reason} (does another program connect as {self._id!r}?)"
