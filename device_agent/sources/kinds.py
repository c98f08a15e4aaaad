"""Kinds: makes the source that a configuration asks for. Its library is imported here, when it is wanted and not before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from device_agent.config import SourceConfig
from device_agent.errors import ConfigError
from device_agent.sources.port import Place, Source


def missing(settings: Sequence[SourceConfig]) -> list[ConfigError]:
    """Return a mistake for each input whose library is not installed."""
    found = []
    for one in settings:
        try:
            _class(one)
        except ImportError as error:
            needs = one.NEEDS or f"what {one.SOURCE} imports ({error})"
            found.append(ConfigError(f"input {one.name}: kind {one.kind} needs {needs}", key=("input", one.name, "kind")))
        except AttributeError as error:
            text = f"input {one.name}: kind {one.kind}: SOURCE is {one.SOURCE!r}: {error}"
            found.append(ConfigError(text, key=("input", one.name, "kind")))
    return found


def make(settings: SourceConfig, place: Place) -> Source:
    """Make the source of an input. Raises `NotNow`."""
    return _class(settings)(settings, place)


def _class(settings: SourceConfig) -> Callable[[Any, Place], Source]:
    module, _, name = settings.SOURCE.partition(":")
    found: Callable[[Any, Place], Source] = getattr(import_module(module), name)
    return found
