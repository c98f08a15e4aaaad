"""Log events: every line that the agent logs, as a typed function. Never a payload, never a secret.

A line is `<sentence> key=value ...` on the logger `device_agent`; under systemd the journal adds time and unit.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import ClassVar, TextIO

_log = logging.getLogger("device_agent")


def _say(level: int, sentence: str, **fields: object) -> None:
    _log.log(level, "%s%s", sentence, "".join(f" {name}={value}" for name, value in fields.items()))


def configure(level: str, *, journal: bool, stream: TextIO) -> None:
    """Send the log to `stream`: under the journal with its priorities and no time, else with the time in UTC."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JournalFormatter("%(message)s") if journal else _PlainFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    _log.handlers[:] = [handler]
    _log.setLevel(level.upper())
    _log.propagate = False


class _PlainFormatter(logging.Formatter):
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"
    converter = staticmethod(time.gmtime)


class _JournalFormatter(logging.Formatter):
    """Priorities as sd-daemon(3) reads them."""

    _PRIORITY: ClassVar = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}

    def format(self, record: logging.LogRecord) -> str:
        return f"<{self._PRIORITY.get(record.levelno, 5)}>{super().format(record)}"


# agent


def started(*, device: str, inputs: int, streams: int) -> None:
    """Every socket is bound, the spool is open."""
    _say(logging.INFO, "started", device=device, inputs=inputs, streams=streams)


def stopping(*, drain: float, flush: float) -> None:
    """A signal asked for it."""
    _say(logging.INFO, "stopping", drain=f"{drain:g}s", flush=f"{flush:g}s")


def stopped() -> None:
    """Everything is closed; what was not sent is on disk."""
    _say(logging.INFO, "stopped; what was not sent is on disk")


def died(part: str) -> None:
    """A thread ended that never should; its traceback was logged before."""
    _say(logging.ERROR, "a thread died, so the agent stops; the service manager should start it again", part=part)


def unchanged(path: Path) -> None:
    """SIGHUP without a change."""
    _say(logging.INFO, "configuration is unchanged", file=path)


def refused(path: Path, error: Exception) -> None:
    """SIGHUP with a configuration that is wrong or cannot be started."""
    _say(logging.ERROR, f"new configuration refused, the old one goes on: {error}", file=path)


# intake
# spool
# uplink


def clock_wrong(*, offset: float) -> None:
    """The board's wall clock is off by more than a minute; signatures use the server's time."""
    _say(logging.WARNING, "the wall clock is wrong: signing with the server's time (is NTP running?)", offset_seconds=round(offset))


def clock_right() -> None:
    """The wall clock agrees with the server's again."""
    _say(logging.INFO, "the wall clock is right again")


def uplink_waits(*, queue: str, problem: str) -> None:
    """Sending to a queue failed, for a new reason; it is tried again for ever."""
    _say(logging.WARNING, f"cannot send, data waits on disk: {problem}", queue=queue)


def uplink_resumes(*, queue: str) -> None:
    """The queue answers again."""
    _say(logging.INFO, "sending again", queue=queue)


def quarantined(*, stream: str, first: int, last: int, reason: str) -> None:
    """The cloud will never take these readings; they are kept on disk."""
    _say(logging.ERROR, f"quarantined: {reason}", stream=stream, first=first, last=last)


def uplink_bug(error: Exception) -> None:
    """Something that should not happen happened while sending; the sending goes on."""
    _log.error("unexpected error while sending; please report it", exc_info=error)
