"""Visit to a RabbitMQ for `device-agent check --online`: is there what the input asks for, and what waits in its queue?

Promises: nothing is made, bound or taken. Queue and exchange are declared passively, which is a question.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from pika import exceptions

from device_agent.config.sources import AmqpConfig
from device_agent.sources.amqp.connection import Connection, channel_problem
from device_agent.sources.amqp.loop import Loop
from device_agent.sources.port import NotNow

if TYPE_CHECKING:
    from pika.channel import Channel

_ANSWER: Final = 10.0  # seconds for the broker's answers
_NOT_FOUND: Final = 404  # AMQP 0-9-1, 1.2: reply code not-found
_SERVER: Final = 60  # characters of its name and version that are shown


class Visit:
    """One visit over a connection that is open."""

    def __init__(self, settings: AmqpConfig, connection: Connection, loop: Loop) -> None:
        """Ask nothing yet."""
        self._settings, self._connection, self._loop = settings, connection, loop
        self._said = ""
        self._problem = ""
        self._exchange_is_there = not settings.exchange

    def look(self) -> str:
        """Return what is there. Raises `NotNow`."""
        self._connection.client.channel(on_open_callback=self._ask)
        until = time.monotonic() + _ANSWER
        while not (self._said or self._problem):
            if time.monotonic() > until:
                raise NotNow(f"{self._settings.url} does not answer questions within {_ANSWER:g} s; the broker or the network hangs")
            self._loop.turn(until - time.monotonic())
            self._connection.check()
        if self._problem:
            raise NotNow(self._problem)
        return f"{self._server()}; queue {self._settings.queue}: {self._said}"

    def _ask(self, channel: Channel) -> None:
        settings = self._settings
        channel.add_on_close_callback(self._on_closed)
        if settings.exchange:
            channel.exchange_declare(settings.exchange, passive=True, callback=self._on_exchange)
        channel.queue_declare(settings.queue, passive=True, callback=self._on_queue)

    def _on_exchange(self, _frame: object) -> None:
        self._exchange_is_there = True

    def _on_queue(self, frame: Any) -> None:
        waiting, consumers = frame.method.message_count, frame.method.consumer_count
        self._said = f"{_count(waiting, 'message')} {'waits' if waiting == 1 else 'wait'}, {_count(consumers, 'consumer')}"

    def _on_closed(self, _channel: Channel, error: Exception) -> None:
        absent = isinstance(error, exceptions.ChannelClosedByBroker) and error.reply_code == _NOT_FOUND
        if absent and self._exchange_is_there and self._settings.declare:
            self._said = "it is not there yet; the agent makes it"
        else:
            self._problem = self._problem or channel_problem(self._settings, error)

    def _server(self) -> str:
        told = getattr(self._connection.client, "server_properties", None) or {}
        name = f"{told.get('product', 'the broker')} {told.get('version', '')}"
        return "".join(one for one in name if one.isprintable()).strip()[:_SERVER]


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
