"""Channel Adapter for AMQP 0-9-1: a consumer of a RabbitMQ's queue.

Promises
- A message is acknowledged when it is on disk, and only over the channel that it came by: a run has one channel, and delivery tags count
  anew in each.
- Connection and channel are used by this thread only (pika#963, #1439), and nothing in it waits for the disk: heartbeats go on while the
  spool is full (pika#93, #418, #1104).
- Prefetch is the window. While the spool is full, messages are not acknowledged, and the broker sends no more than the window.
- A broker closes a channel that owes an acknowledgement for long (`consumer_timeout`, 30 minutes). So after `give_back_after` the consumer
  is cancelled and what waits goes back to the queue; then a scout, a consumer with a window of one, finds out when there is room.
- Bindings of the queue that were taken out of the configuration are undone: a durable queue keeps them for ever.
- A message that is never taken is rejected without a requeue: the queue's dead-letter exchange gets it. It is in our quarantine, too, for
  queues that have none.

How: pika's connection for loops of other people, over a loop that waits with the courier (`loop`). As many messages as are settled
before the oldest one that is not are acknowledged at once; those behind it each by itself.
"""

from __future__ import annotations

import json
import math
import time
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

from device_agent import events
from device_agent.config.sources import AmqpConfig
from device_agent.sources import cloudevents, memory
from device_agent.sources.amqp.connection import Connection, channel_problem, connected
from device_agent.sources.amqp.event import event
from device_agent.sources.amqp.loop import Loop
from device_agent.sources.amqp.visit import Visit
from device_agent.sources.onlooker import Onlooker
from device_agent.sources.port import Deliver, NotNow, Place, Source

if TYPE_CHECKING:
    from pika import BasicProperties, spec
    from pika.channel import Channel

_TURN: Final = 1.0  # seconds between looks at the age of messages
#: A scout waits for so many times `give_back_after`: it blocks a single message, and a quorum queue counts how often one comes back.
_SCOUT: Final = 4
_FULL: Final = "the spool is full, or the disk hangs: messages are left in the queue, where others may take them, until there is room"
_BLOCKED: Final = "RabbitMQ is short of memory or disk and takes nothing from publishers ({}); look at its log"


class _State(Enum):
    OPENING = "opening"
    CONSUMING = "consuming"
    CANCELLING = "cancelling"  # the broker may still send
    CANCELLED = "cancelled"


class Amqp(Source):
    """One run of an `amqp` input: from the connection to its end."""

    def __init__(self, settings: AmqpConfig, place: Place) -> None:
        """Prepare; nothing is connected yet."""
        super().__init__()
        self._settings = settings
        self._name = f"{place.device}.{settings.name}"
        self._source = cloudevents.origin(place, settings.name)
        self._bound = place.directory / f"{settings.name}.amqp.json"
        self._deliver: Deliver
        self._channel: Channel
        self._state = _State.OPENING
        self._scouting = False  # the consumer, or the next one, is a scout
        self._consumer = ""
        self._delivered: dict[int, float] = {}  # delivery tags that are neither acknowledged nor refused, the oldest first; with the time
        self._lost = ""

    def run(self, deliver: Deliver) -> None:
        """See `Source`."""
        self._deliver = deliver
        with connected(self._settings, self._name, deliver) as (connection, loop):
            if not deliver.stopping:
                self._begin(connection)
                self._work(connection, loop)

    def probe(self) -> str:
        """See `Source`. Asks for queue and exchange without making them, and consumes nothing."""
        with connected(self._settings, f"{self._name}.check", Onlooker()) as (connection, loop):
            return Visit(self._settings, connection, loop).look()

    def _begin(self, connection: Connection) -> None:
        connection.client.add_on_connection_blocked_callback(
            lambda _, frame: self.knows(problem=_BLOCKED.format(frame.method.reason)),
        )
        connection.client.add_on_connection_unblocked_callback(lambda *_: self.knows(problem=""))
        connection.client.channel(on_open_callback=self._on_channel)

    def _work(self, connection: Connection, loop: Loop) -> None:
        while True:
            self._settle()
            if self._deliver.finished:
                return
            self._regulate()
            loop.turn(_TURN)
            connection.check()
            if self._lost:
                raise NotNow(self._lost)

    # Acknowledgements

    def _settle(self) -> None:
        taken: list[int] = []
        for one in self._deliver.settled():
            tag = cast("int", one.token)  # what _on_message offered
            if one.again and self._deliver.stopping:
                continue  # it goes back with the channel
            del self._delivered[tag]
            if one.taken:
                taken.append(tag)
            elif one.again:
                self._channel.basic_nack(tag, requeue=True)
            else:
                events.source_refused(name=self._settings.name, reason=one.reason)
                self._channel.basic_reject(tag, requeue=False)
        if taken:
            self._acknowledge(taken)

    def _acknowledge(self, taken: list[int]) -> None:
        oldest = next(iter(self._delivered), math.inf)
        together = max((tag for tag in taken if tag < oldest), default=0)
        if together:
            self._channel.basic_ack(together, multiple=True)
        for tag in taken:
            if tag > together:
                self._channel.basic_ack(tag)
        if self._scouting and self._state is _State.CONSUMING:  # there is room
            self._cancel(scout=False)

    # When to consume, and how much

    def _regulate(self) -> None:
        """Cancel, give back and consume again, as the time and the room ask for."""
        if self._state is _State.CONSUMING and self._deliver.stopping:
            self._cancel(scout=False)
        elif self._state is _State.CONSUMING and self._age() > self._settings.give_back_after * (_SCOUT if self._scouting else 1):
            self.knows(problem=_FULL)
            self._cancel(scout=True)
        elif self._state is _State.CANCELLED and not self._deliver.stopping:
            self._deliver.give_back()
            self._settle()
            if not self._delivered:
                self._consume()

    def _age(self) -> float:
        """Return for how long the oldest message has been waiting, in seconds."""
        return time.monotonic() - next(iter(self._delivered.values())) if self._delivered else 0.0

    def _cancel(self, *, scout: bool) -> None:
        self._state, self._scouting = _State.CANCELLING, scout
        self._channel.basic_cancel(self._consumer, callback=self._on_cancelled)

    def _consume(self) -> None:
        self._state = _State.OPENING
        self._channel.basic_qos(prefetch_count=1 if self._scouting else self._settings.window)
        self._consumer = self._channel.basic_consume(self._settings.queue, self._on_message, callback=self._on_consuming)

    # What pika calls, within the loop's turn

    def _on_channel(self, channel: Channel) -> None:
        """Ask for everything at once: pika sends one request after the other, and an error closes the channel."""
        settings, self._channel = self._settings, channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(self._on_cancelled_by_broker)
        channel.queue_declare(settings.queue, passive=not settings.declare, durable=settings.declare)
        self._bind(channel)
        self._consume()

    def _bind(self, channel: Channel) -> None:
        """Bind the queue as told, and undo what an earlier configuration told; what is to be undone is on disk until it is."""
        settings = self._settings
        wanted = [json.dumps([settings.queue, settings.exchange, key]) for key in settings.keys]
        try:
            known = memory.recall(self._bound)
        except NotNow as error:
            self._lost = str(error)
            return
        gone = [binding for binding in known if binding not in wanted and json.loads(binding)[0] == settings.queue]
        self._remember(gone + wanted)
        for binding in wanted:
            queue, exchange, key = json.loads(binding)
            channel.queue_bind(queue, exchange, routing_key=key)
        for binding in gone:
            queue, exchange, key = json.loads(binding)
            last = binding is gone[-1]
            channel.queue_unbind(queue, exchange, routing_key=key, callback=(lambda _: self._remember(wanted)) if last else None)

    def _remember(self, bindings: list[str]) -> None:
        try:
            if memory.recall(self._bound) != bindings:
                memory.remember(self._bound, bindings)
        except NotNow as error:  # within pika's callback it would end the connection, and say that the broker did
            self._lost = str(error)

    def _on_consuming(self, _frame: object) -> None:
        self._state = _State.CONSUMING
        if not self._scouting:
            self.knows(peers=1, problem="")
            self.on_stand()

    def _on_message(self, _channel: Channel, method: spec.Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        tag = cast("int", method.delivery_tag)
        self._delivered[tag] = time.monotonic()
        if self._deliver.stopping:
            return
        topic = _text(method.routing_key)
        if self._settings.properties:
            body = event(body, method, properties, source=self._source, subject=topic)
        self._deliver.offer(tag, body, topic=topic)

    def _on_cancelled(self, _frame: object) -> None:
        self._state = _State.CANCELLED

    def _on_cancelled_by_broker(self, _frame: object) -> None:
        settings = self._settings
        self._lost = f"queue {settings.queue!r} at {settings.url} was deleted or moved: make it again, or set declare = true"

    def _on_channel_closed(self, _channel: Channel, error: Exception) -> None:
        self._lost = channel_problem(self._settings, error)


def _text(key: str | bytes | None) -> str:
    """Return a routing key; pika gives bytes where it is not UTF-8, and these become question marks."""
    return key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else key or ""
