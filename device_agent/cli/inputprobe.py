"""Inputs that are not ZeroMQ, as `check --online` sees their other sides: one finding for each, at its place in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from device_agent import status
from device_agent.cli.findings import Finding
from device_agent.config import SourceConfig
from device_agent.configfile import Loaded
from device_agent.errors import ConfigError
from device_agent.sources import Look, Outcome, Place, probe

_VERDICTS: dict[Outcome, Literal["ok", "warning", "failed", "away"]] = {
    Outcome.GOOD: "ok", Outcome.UNTRIED: "warning", Outcome.TAKEN: "failed", Outcome.AWAY: "away", Outcome.WRONG: "failed",
}  # fmt: skip


def look(loaded: Loaded) -> Iterator[Finding]:
    """Yield what the other side of each input says to this machine."""
    config = loaded.config
    place = Place(config.device.id, Path(config.spool.directory) / "sources")
    settings = {one.name: one for one in config.sources}
    for seen in probe(config.sources, place):
        if seen.outcome is Outcome.TAKEN and _held(settings[seen.name], config.spool.directory):
            yield Finding("ok", f"input {seen.name}: the running agent listens there")
        else:
            yield _finding(seen, loaded)


def _finding(seen: Look, loaded: Loaded) -> Finding:
    verdict, text = _VERDICTS[seen.outcome], f"input {seen.name}: {seen.sentence}"
    if verdict == "ok":
        return Finding(verdict, text)
    return Finding(verdict, loaded.places.say(ConfigError(text, key=("input", seen.name))))


def _held(settings: SourceConfig, directory: str) -> bool:
    """Whether the agent that runs on this spool listens where the input is to listen, for the same input."""
    try:
        inputs: Mapping[str, Any] = status.ask(Path(directory)).get("inputs", {})
    except status.NotRunning:
        return False
    entry = inputs.get(settings.name, {})
    shown = {_address(endpoint) for endpoint in entry.get("endpoints", ())}
    return entry.get("pattern") == settings.kind and bool(entry.get("stands")) and {_address(one) for one, _ in settings.binds} <= shown


def _address(endpoint: str) -> str | int | None:
    """Return what only one program can have: the path of an ipc endpoint, the port of any other."""
    return endpoint.partition("://")[2] if endpoint.startswith("ipc:") else urlsplit(endpoint).port
