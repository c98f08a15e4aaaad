"""Log events: every line that the agent logs, as a typed function. Never a payload, never a secret.

A line is `<sentence> key=value ...` on the logger `device_agent`; under systemd the journal adds time and unit.
"""

from __future__ import annotations

import logging

_log = logging.getLogger("device_agent")


def _say(level: int, sentence: str, **fields: object) -> None:
    _log.log(level, "%s%s", sentence, "".join(f" {name}={value}" for name, value in fields.items()))


# agent
# intake
# spool
# uplink
