"""The agent inside of a program of yours: no process of its own, and sockets of `inproc://` that nothing else reaches.

    import zmq
    from device_agent import embedded

    with embedded.agent("agent.toml") as agent:                 # [[input]] pattern = "pull", bind = ["inproc://sensors"]
        with agent.context.socket(zmq.PUSH) as sensors:
            sensors.connect("inproc://sensors")
            sensors.send(b"21.5")

Promises: inside of the block the agent receives, keeps and sends as the daemon does; at its end it stops in order. It sets no signal
handlers and answers no `device-agent status`: that is the program's, see `Embedded.status` and `Embedded.dead`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from device_agent import configfile
from device_agent.agent import Agent
from device_agent.clock import SystemClock
from device_agent.descriptors import Descriptors
from device_agent.metrics import Metrics, ProcessMetrics

__all__ = ["Embedded", "agent"]


class Embedded:
    """A running agent."""

    def __init__(self, running: Agent) -> None:
        """Wrap it."""
        self._agent = running

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """The ZeroMQ context of its inputs, for sockets that connect to `inproc://`. Close them before the block ends."""
        return self._agent.doors.intake.context

    def status(self) -> dict[str, Any]:
        """Return the document that `device-agent status --json` shows."""
        return self._agent.status()

    def dead(self) -> str:
        """Return the name of a part whose threads died; empty if all live. A program looks now and then, and starts anew."""
        return self._agent.dead()


@contextmanager
def agent(path: str | Path) -> Iterator[Embedded]:
    """Run the agent of a configuration file inside of the block.

    Raises:
        ConfigError: the file, an endpoint or a key file cannot be used; one line a mistake.
        SpoolError: another agent has the spool, or the directory cannot be used.
    """
    process = ProcessMetrics()
    loaded = configfile.read(Path(path), environ=os.environ)
    running = Agent(loaded, clock=SystemClock(), metrics=Metrics(process=process), descriptors=Descriptors(process))
    running.check()
    running.start()
    try:
        yield Embedded(running)
    finally:
        settings = running.config.agent
        running.stop(drain=settings.drain, flush=settings.flush)
