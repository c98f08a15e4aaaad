"""Kinds: makes the source that a configuration asks for. Its library is imported here, when it is wanted and not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from device_agent.config import HttpConfig, MqttConfig
from device_agent.errors import ConfigError
from device_agent.sources.keeper import Make, Place
from device_agent.sources.port import Source

#: By kind: the module and class, and what to install where the import fails.
_KINDS: Final[dict[str, tuple[str, str, str]]] = {
    "mqtt": ("mqtt", "Mqtt", "paho-mqtt 2.0 or newer: pip install 'device-agent[mqtt]', or Debian 13: apt install python3-paho-mqtt"),
    "http": ("http", "Http", "aiohttp 3.8 or newer: pip install 'device-agent[http]', or Debian: apt install python3-aiohttp"),
}


def missing(settings: Sequence[MqttConfig | HttpConfig]) -> list[ConfigError]:
    """Return a mistake for each input whose library is not installed."""
    found = []
    for one in settings:
        try:
            _class(one.kind)
        except ImportError:
            text = f"input {one.name}: kind {one.kind} needs {_KINDS[one.kind][2]}"
            found.append(ConfigError(text, key=("input", one.name, "kind")))
    return found


def makers() -> Mapping[str, Make]:
    """Return how each kind is made."""
    return {kind: _maker(kind) for kind in _KINDS}


def _maker(kind: str) -> Make:
    def make(settings: Any, place: Place) -> Source:
        return _class(kind)(settings, place)

    return make


def _class(kind: str) -> Callable[[Any, Place], Source]:
    module, name, _ = _KINDS[kind]
    found: Callable[[Any, Place], Source] = getattr(import_module(f"device_agent.sources.{module}"), name)
    return found
