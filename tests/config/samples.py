"""A valid config file, and what a test changes in it."""

from __future__ import annotations

from device_agent.config import Config
from device_agent.configfile import loads
from device_agent.errors import ConfigError

GOOD = """\
[device]
id = "board-7"

[aws]
region = "eu-central-1"

[spool]
directory = "/var/lib/device-agent"

[[input]]
name = "sensors"
pattern = "pull"
bind = ["tcp://127.0.0.1:5555"]
stream = "telemetry"

[[input]]
name = "orders"
pattern = "rep"
bind = ["tcp://127.0.0.1:5556"]
stream = "events"

[[stream]]
name = "telemetry"
queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"

[[stream]]
name = "events"
queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/events.fifo"
linger = "0s"
"""


def load(text: str, **environ: str) -> Config:
    """Load a text as agent.toml."""
    return loads(text, "agent.toml", environ=environ)


def mistakes(text: str, **environ: str) -> list[str]:
    """Return the lines of the error; empty if the text is a valid config."""
    try:
        load(text, **environ)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def changed(old: str, new: str) -> str:
    """Return the good file with one text replaced; it must be there."""
    assert old in GOOD
    return GOOD.replace(old, new, 1)
