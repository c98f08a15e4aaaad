"""`[[input]]` with `kind = "stomp"`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from device_agent.config.setting import Unit, setting
from device_agent.config.sources.base import BrokerConfig, Mistake

#: What queues are called in ActiveMQ and RabbitMQ.
_QUEUES = ("/queue/", "/amq/queue/")


@dataclass(frozen=True, slots=True, kw_only=True)
class StompConfig(BrokerConfig):
    """`[[input]]` with `kind = "stomp"`: a client of a broker that speaks STOMP; a message is acknowledged when it is on disk."""

    url: str = setting("The broker: `stomp://host:61613`, or `stomp+ssl://host:61614` for TLS.", default="stomp://localhost:61613")
    destination: str = setting("Queue or topic to take from: `/queue/hello`, `/topic/hello`, or `hello` with Artemis.")
    durable: bool = setting(
        "Topics only: the broker keeps what comes while the agent is away, for the subscriber `<device id>.<name>`.", default=False
    )
    virtual_host: str = setting("RabbitMQ: its virtual host. Empty: the host of `url`.", default="/")
    heart_beat: float = setting(
        "Each side sends something at least this often; a broker that does not is given up.",
        unit=Unit.DURATION,
        bounds=(1.0, 3600.0),
        default=30.0,
    )

    SOURCE: ClassVar[str] = "device_agent.sources.stomp:Stomp"
    NEEDS: ClassVar[str] = "stomp.py 8.0 or newer: pip install 'device-agent[stomp]', or Debian 12: apt install python3-stomp"
    TOPIC: ClassVar[str] = "the destination"
    SCHEMES: ClassVar[dict[str, int]] = {"stomp": 61613, "stomp+ssl": 61614}

    def mistakes(self) -> Iterator[Mistake]:
        """See `SourceConfig`."""
        yield from BrokerConfig.mistakes(self)
        if self.durable and self.destination.startswith(_QUEUES):
            yield "durable", "is for topics only; a queue keeps its messages by itself"
