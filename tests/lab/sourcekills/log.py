"""The agent's log on disk, read from outside."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass

from device_agent.spool import tools
from tests.lab.agent import command
from tests.lab.sourcekills.agent import SourceAgent


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading: its text, and whether the broker says that it had sent it before."""

    text: str
    redelivered: bool = False

    @property
    def number(self) -> str:
        """Return which message it is, without the attempt."""
        return self.text.rpartition(".")[0]


class Log:
    """What has arrived. `events`: readings are CloudEvents with what the broker says."""

    def __init__(self, agent: SourceAgent, *, events: bool) -> None:
        self._agent, self._events = agent, events
        self._found: list[Reading] = []

    def look(self) -> list[Reading]:
        """Return all so far, in their order, while the agent runs; only new ones are read."""
        for one in tools.cat(str(self._agent.spool), "telemetry", first=len(self._found) + 1):
            if one.seq != len(self._found) + 1:  # written, and not readable yet
                break
            assert isinstance(one.payload, bytes)
            self._found.append(self._reading(one.payload.decode()))
        return self._found

    def cat(self) -> list[Reading]:
        """Return all, as `device-agent spool cat` prints them."""
        return [*self._printed()]

    def _printed(self) -> Iterator[Reading]:
        done = command(["spool", "cat", "--config", str(self._agent.config)])
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            data = json.loads(line)["data"]
            yield self._reading(data)

    def _reading(self, text: str) -> Reading:
        if not self._events:
            return Reading(text)
        event = json.loads(text)
        return Reading(base64.b64decode(event["data_base64"]).decode(), event["redelivered"])
