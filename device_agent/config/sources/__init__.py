"""`[[input]]` of other kinds: one file a kind, with its keys and what must fit together among them.

Other people's kinds come by the entry points `device_agent.sources`: the name is the kind, the object its subclass of `SourceConfig`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from device_agent.config.sources.amqp import AmqpConfig
from device_agent.config.sources.base import BrokerConfig, Inlet, Mistake, SourceConfig
from device_agent.config.sources.coap import CoapConfig
from device_agent.config.sources.http import HttpConfig
from device_agent.config.sources.mqtt import MqttConfig
from device_agent.config.sources.nng import NngConfig
from device_agent.config.sources.poll import PollConfig
from device_agent.config.sources.stomp import StompConfig
from device_agent.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

__all__ = [
    "BUILT_IN", "AmqpConfig", "BrokerConfig", "CoapConfig", "HttpConfig", "Inlet", "Mistake", "MqttConfig", "NngConfig", "PollConfig",
    "SourceConfig", "StompConfig", "named", "others",
]  # fmt: skip

#: Our own kinds.
BUILT_IN: Final[dict[str, type[SourceConfig]]] = {
    "mqtt": MqttConfig,
    "amqp": AmqpConfig,
    "stomp": StompConfig,
    "http": HttpConfig,
    "coap": CoapConfig,
    "nng": NngConfig,
    "poll": PollConfig,
}
_GROUP: Final = "device_agent.sources"


@cache
def others() -> tuple[str, ...]:
    """Return the names of the kinds that other packages bring."""
    return tuple(sorted({entry.name for entry in _entry_points()} - set(BUILT_IN)))


@cache
def named(kind: str) -> type[SourceConfig]:
    """Return the settings of a kind that is built in or among `others`.

    Raises:
        ConfigError: the package that brings it cannot be used.
    """
    if kind in BUILT_IN:
        return BUILT_IN[kind]
    entry = next(iter(_entry_points().select(name=kind)))
    try:
        found: object = entry.load()
    except Exception as error:  # what an import of somebody else's may raise
        raise ConfigError(f"kind {kind!r}: {entry.value} cannot be imported ({type(error).__name__}: {error})") from error
    if not isinstance(found, type) or not issubclass(found, SourceConfig) or "__dataclass_fields__" not in vars(found) or not found.SOURCE:
        raise ConfigError(f"kind {kind!r}: {entry.value} is no dataclass derived from SourceConfig with a SOURCE; see docs/sources.md")
    if found.place is SourceConfig.place:
        raise ConfigError(f"kind {kind!r}: {entry.value} has no property `place`; see docs/sources.md")
    return found


def _entry_points() -> EntryPoints:
    from importlib.metadata import entry_points  # noqa: PLC0415  # reads every package's files: only if a kind is not ours

    return entry_points(group=_GROUP)
