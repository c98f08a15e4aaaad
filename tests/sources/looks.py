"""Looks at the other sides of inputs, and their settings: for the tests of probes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_agent.config import SourceConfig
from device_agent.config.sources import AmqpConfig, CoapConfig, HttpConfig, MqttConfig, PollConfig, StompConfig
from device_agent.sources import Look, Outcome, Place, probe

PLACE = Place("board-7", Path("/nowhere"))  # a probe keeps nothing


def look(settings: SourceConfig) -> Look:
    (seen,) = probe([settings], PLACE)
    return seen


def good(settings: SourceConfig) -> str:
    seen = look(settings)
    assert seen.outcome is Outcome.GOOD, seen
    return seen.sentence


def wrong(settings: SourceConfig) -> str:
    seen = look(settings)
    assert seen.outcome is Outcome.WRONG, seen
    return seen.sentence


def away(settings: SourceConfig) -> str:
    seen = look(settings)
    assert seen.outcome is Outcome.AWAY, seen
    return seen.sentence


def mqtt(url: str, **changes: Any) -> MqttConfig:
    return MqttConfig(**({"name": "in", "kind": "mqtt", "stream": "telemetry", "topics": ("a/#",), "url": url} | changes))


def amqp(url: str, **changes: Any) -> AmqpConfig:
    return AmqpConfig(**({"name": "in", "kind": "amqp", "stream": "telemetry", "queue": "hello", "url": url} | changes))


def stomp(url: str, **changes: Any) -> StompConfig:
    return StompConfig(**({"name": "in", "kind": "stomp", "stream": "telemetry", "destination": "/queue/open.q", "url": url} | changes))


def http(**changes: Any) -> HttpConfig:
    return HttpConfig(**({"name": "in", "kind": "http", "stream": "telemetry"} | changes))


def coap(**changes: Any) -> CoapConfig:
    return CoapConfig(**({"name": "in", "kind": "coap", "stream": "telemetry"} | changes))


def poll(*endpoints: str, **changes: Any) -> PollConfig:
    return PollConfig(**({"name": "in", "kind": "poll", "stream": "telemetry", "endpoints": endpoints} | changes))


def secret(folder: Path) -> Path:
    """Return a file with a password, the wrong one."""
    path = folder / "password"
    path.write_text("wr0ng\n")
    path.chmod(0o600)
    return path
