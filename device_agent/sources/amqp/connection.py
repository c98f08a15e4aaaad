"""The connection to a RabbitMQ, and what is wrong with it in a sentence that says what, where and what to do.

Promises: `Connection.open` ends after `_CONNECT` seconds for each of the host's addresses at most, and at once when the source is to stop;
`Connection.close` after `_CLOSE` seconds. Both leave no socket.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import pika
from pika import exceptions
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter

from device_agent.config.sources import AmqpConfig
from device_agent.sources import secret, tls
from device_agent.sources.amqp.loop import Loop
from device_agent.sources.port import Away, Deliver, NotNow

_CONNECT: Final = 10.0  # seconds for TCP, TLS and the handshake, for each address of the host
_CLOSE: Final = 3.0  # seconds for the broker to take note of the end
_TURN: Final = 1.0  # seconds of a turn of the loop at most


class _Client(pika.SelectConnection):
    def drop(self) -> None:
        """End the connection without a word to the broker, which does not listen."""
        cast("Any", self)._adapter_disconnect_stream()  # for adapters; not in the stubs


class Connection:
    """One connection, from its beginning to its end. Belongs to one thread."""

    def __init__(self, settings: AmqpConfig, name: str, loop: Loop) -> None:
        """Begin to connect as `name`. Raises `NotNow`."""
        self._settings, self._loop = settings, loop
        self._error: BaseException | None = None
        self._closed = False
        self.client = _Client(
            _parameters(settings, name), on_open_error_callback=self._on_close, on_close_callback=self._on_close,
            custom_ioloop=SelectorIOServicesAdapter(cast("Any", loop)),
        )  # fmt: skip

    def _on_close(self, _client: object, error: str | BaseException) -> None:
        self._error, self._closed = error if isinstance(error, BaseException) else Exception(error), True

    def open(self, deliver: Deliver) -> None:
        """Wait until it is open, or `deliver.stopping`. Raises `NotNow`."""
        while not (self.client.is_open or deliver.stopping):
            self._loop.turn(_TURN)
            self.check()

    def check(self) -> None:
        """Raise `NotNow` if it has ended."""
        if self._closed:
            raise _reason(self._settings, self._error)

    def close(self) -> None:
        """End it, and wait for that."""
        was_open = self.client.is_open
        if not (self._closed or self.client.is_closing or self.client.is_closed):
            self.client.close()
        self._end()
        if was_open and not self._closed:
            self.client.drop()
            self._end()

    def _end(self) -> None:
        end = time.monotonic() + _CLOSE
        while not self._closed and (left := end - time.monotonic()) > 0:
            self._loop.turn(left)


@contextmanager
def connected(settings: AmqpConfig, name: str, deliver: Deliver) -> Iterator[tuple[Connection, Loop]]:
    """While entered, there is a connection as `name`, unless `deliver.stopping`, over a loop that waits with `deliver`. Raises `NotNow`."""
    loop = Loop(deliver)
    try:
        connection = Connection(settings, name, loop)
        try:
            connection.open(deliver)
            yield connection, loop
        finally:
            connection.close()
    finally:
        loop.close()


def _parameters(settings: AmqpConfig, name: str) -> pika.ConnectionParameters:
    host, port = settings.address
    given: dict[str, Any] = {}
    if settings.username:
        password = secret.read(settings.password_file, what="password_file") if settings.password_file else ""
        given["credentials"] = pika.PlainCredentials(settings.username, password, erase_on_connect=True)
    if settings.tls:
        given["ssl_options"] = pika.SSLOptions(tls.client(settings), host)
    return pika.ConnectionParameters(
        host=host, port=port, virtual_host=settings.virtual_host, heartbeat=int(settings.heartbeat), socket_timeout=_CONNECT,
        stack_timeout=_CONNECT, connection_attempts=1, client_properties={"connection_name": name}, **given,
    )  # fmt: skip


#: What people are told of pika's errors; the first that is among the causes counts.
_SAID: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (exceptions.ProbableAuthenticationError, "{url} refuses the user {user!r}; check username and password_file"),
    (exceptions.AuthenticationError, "{url} refuses the user {user!r}; check username and password_file"),
    (
        exceptions.ProbableAccessDeniedError,
        "{url} refuses the virtual host {host!r}: it is not there, or not for the user {user!r}; correct url",
    ),
    (exceptions.AMQPHeartbeatTimeout, "{url} has been silent for longer than heartbeat; the broker or the network hangs"),
    (exceptions.IncompatibleProtocolError, "{url} does not speak AMQP 0-9-1; is it the right port, and TLS where it is wanted?"),
    (exceptions.ConnectionClosed, "{url} has ended the connection: {last.reply_text}"),
    (exceptions.StreamLostError, "{url} has ended the connection: {last}; is the broker running?"),
)


def _reason(settings: AmqpConfig, error: BaseException | None) -> NotNow:
    """Return what ended a connection, or kept it from beginning."""
    causes = list(_causes(error))
    last = causes[-1]
    if isinstance(last, ssl.SSLError):
        return tls.distrust(last, settings.url)
    for kind, said in _SAID:
        if any(isinstance(cause, kind) for cause in causes):
            return NotNow(said.format(url=settings.url, user=settings.username or "guest", host=settings.virtual_host, last=last))
    words = getattr(last, "strerror", None) or str(last) or type(last).__name__
    return Away(f"{settings.url} does not answer: {words}; is the broker running, and the address right?")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error of pika's and those that it wraps, each version in its own way, the innermost last."""
    while error is not None:
        yield error
        inside = getattr(error, "exceptions", None) or [getattr(error, "exception", None) or (error.args[0] if error.args else None)]
        error = inside[-1] if isinstance(inside[-1], BaseException) else None


def channel_problem(settings: AmqpConfig, error: BaseException) -> str:
    """Say why the broker has closed a channel."""
    if not isinstance(error, exceptions.ChannelClosedByBroker):
        return f"{settings.url} has ended the connection"
    where = f"queue {settings.queue!r} at {settings.url}"
    if error.reply_code == 404 and f"queue '{settings.queue}'" in error.reply_text:
        return f"{where} is not there: make it, correct queue, or set declare = true"
    return f"{where} cannot be used, the broker says: {error.reply_text}"
