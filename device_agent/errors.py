"""Errors of the device.

    DeviceAgentError
    +-- ConfigError      wrong usage or configuration: exit code 2, nothing was changed
    +-- SpoolError       the spool cannot be used: locked by another agent, not a directory, not writable
    +-- NotNow           may succeed later without anybody's help: retry
    +-- Never            will fail however often it is tried: quarantine with the reason

The type of an error decides what happens, never its text; the text says what, where and what to do.
"""

from __future__ import annotations

from device_agent.redact import redact


class DeviceAgentError(Exception):
    """Base of all errors that the agent raises on purpose. Their texts are for people, so no secret stays in them (`redact`)."""

    def __init__(self, text: str = "") -> None:
        super().__init__(redact(text))


class ConfigError(DeviceAgentError):
    """Wrong usage or configuration. `str()` has one line a mistake, each with file, key or line, and what to do.

    What the disk or the network found wrong has a `key` instead, from the root: ("input", "sensors", "bind"). Whoever has read the file
    puts its place before the text (`configfile.places`).
    """

    def __init__(self, text: str = "", *, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(text)
        self.key = key


class SpoolError(DeviceAgentError):
    """The spool directory cannot be used as it is."""


class NotNow(DeviceAgentError):  # noqa: N818  # a verdict, named as one
    """Try again later: network, throttling, credentials, clock, a full or failing disk."""


class Never(DeviceAgentError):  # noqa: N818  # a verdict, named as one
    """Do not try again: set the thing aside, with this reason."""
