"""`[[input]]` with `kind = "amqp"`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import unquote, urlsplit

from device_agent.config.setting import Unit, setting
from device_agent.config.sources.base import BrokerConfig, Mistake

_LONGEST: Final = 255  # bytes of a name or a routing key (AMQP 0-9-1, 4.2.5.3, short strings)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmqpConfig(BrokerConfig):
    """`[[input]]` with `kind = "amqp"`: takes a queue of a RabbitMQ (AMQP 0-9-1); a message is acknowledged when it is on disk."""

    url: str = setting(
        "The broker and its virtual host: `amqp://host:5672/%2f`, or `amqps://host:5671/%2f` for TLS; `%2f` is the virtual host `/`.",
        default="amqp://localhost/%2f",
    )
    username: str = setting("User at the broker; empty: guest, which RabbitMQ lets in from the same machine only.", default="")
    queue: str = setting("Queue that messages are taken from.")
    declare: bool = setting(
        "true: make the queue, durable, if it is not there. false: somebody else makes it, and the input waits until it is there.",
        default=False,
    )
    exchange: str = setting(
        "Exchange that the queue is bound to, with each of `keys`; empty: its bindings are left as they are.", default=""
    )
    keys: tuple[str, ...] = setting(
        "Routing keys of these bindings; `*` is one word and `#` any number of words in a topic exchange.", default=()
    )
    heartbeat: float = setting(
        "Silence after which the connection to the broker counts as lost.", unit=Unit.DURATION, bounds=(5.0, 3600.0), default=60.0
    )
    give_back_after: float = setting(
        "How long messages wait for a full spool before they go back to the queue, where others may take them. One stays, for 4 times as "
        "long, to see when there is room. Keep that below the broker's `consumer_timeout` (RabbitMQ: 30m).",
        unit=Unit.DURATION,
        bounds=(1.0, 86400.0),
        default=300.0,
    )

    SOURCE: ClassVar[str] = "device_agent.sources.amqp:Amqp"
    NEEDS: ClassVar[str] = "pika 1.2 or newer: pip install 'device-agent[amqp]', or Debian 12: apt install python3-pika"
    TOPIC: ClassVar[str] = "the routing key"
    SCHEMES: ClassVar[dict[str, int]] = {"amqp": 5672, "amqps": 5671}
    PATH: ClassVar[bool] = True

    @property
    def virtual_host(self) -> str:
        """The virtual host that the URL names."""
        return unquote(urlsplit(self.url).path.removeprefix("/")) or "/"

    def mistakes(self) -> Iterator[Mistake]:
        """See `SourceConfig`."""
        yield from BrokerConfig.mistakes(self)
        if not self.queue:
            yield "queue", "must not be empty"
        if self.keys and not self.exchange:
            yield "exchange", "missing; keys is given"
        if self.exchange and not self.keys:
            yield "keys", 'missing; exchange is given, and ["#"] is every message of a topic exchange, [""] of a fanout exchange'
        named: list[tuple[str | tuple[str | int, ...], str]] = [("queue", self.queue), ("exchange", self.exchange)]
        for key, text in [*named, *((("keys", position), text) for position, text in enumerate(self.keys))]:
            if len(text.encode()) > _LONGEST:
                yield key, f"must be at most {_LONGEST} bytes long in UTF-8"
