"""`[[input]]` with `kind = "mqtt"`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from device_agent.config.setting import Unit, setting
from device_agent.config.sources.base import BrokerConfig, Mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig(BrokerConfig):
    """`[[input]]` with `kind = "mqtt"`: a client of an MQTT broker; a message is acknowledged when it is on disk."""

    url: str = setting("The broker: `mqtt://host:1883`, or `mqtts://host:8883` for TLS.", default="mqtt://localhost:1883")
    topics: tuple[str, ...] = setting("Topic filters to subscribe to, with the wildcards `+` and `#`; `$share/<group>/...` is shared.")
    qos: int = setting(
        "1: the broker is told when a message is on disk, and sends it again until then. 0: nobody is told.", bounds=(0, 1), default=1
    )
    version: str = setting("MQTT version.", choices=("5", "3.1.1"), default="5")
    client_id: str = setting(
        "Names the session at the broker; empty: `<device id>.<name>`. Two clients of one id throw each other out.", default=""
    )
    keep_alive: float = setting(
        "Silence after which the broker is asked whether it is there.", unit=Unit.DURATION, bounds=(5.0, 3600.0), default=30.0
    )
    session_expiry: float = setting(
        "Version 5: how long the broker keeps messages for an agent that is away.",
        unit=Unit.DURATION,
        bounds=(0.0, 365 * 86400.0),
        default=7 * 86400.0,
    )

    SOURCE: ClassVar[str] = "device_agent.sources.mqtt:Mqtt"
    NEEDS: ClassVar[str] = "paho-mqtt 2.0 or newer: pip install 'device-agent[mqtt]', or Debian 13: apt install python3-paho-mqtt"
    TOPIC: ClassVar[str] = "the MQTT topic"
    SCHEMES: ClassVar[dict[str, int]] = {"mqtt": 1883, "mqtts": 8883}

    def mistakes(self) -> Iterator[Mistake]:
        """See `SourceConfig`."""
        yield from BrokerConfig.mistakes(self)
        if not self.topics:
            yield "topics", 'must not be empty; "#" is everything'
        for position, topic in enumerate(self.topics):
            if not _is_filter(topic):
                text = f"{topic!r} is no topic filter: '+' stands alone between slashes, '#' alone at the end"
                yield ("topics", position), text


def _is_filter(topic: str) -> bool:
    """Whether a broker takes a topic filter (MQTT 5.0, 4.7.1 and 4.8.2)."""
    if topic.startswith("$share/"):
        group, _, topic = topic.removeprefix("$share/").partition("/")
        if not group or set(group) & set("+#"):
            return False
    levels = topic.split("/")
    return (
        bool(topic)
        and len(topic.encode()) <= 65535
        and all(level == "+" or "+" not in level for level in levels)
        and "#" not in "".join(levels[:-1])
        and (levels[-1] == "#" or "#" not in levels[-1])
    )
