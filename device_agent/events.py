"""Log events: every line that the agent logs, as a typed function. Never a payload, never a secret.

A line is `<sentence> key=value ...` on the logger `device_agent`; under systemd the journal adds time and unit.
One file, though long: what the agent may say is read and compared in one place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from device_agent.output import Output
from device_agent.redact import redact

_log = logging.getLogger("device_agent")


def _say(level: int, sentence: str, **fields: object) -> None:
    _log.log(level, "%s%s", sentence, "".join(f" {name}={value}" for name, value in fields.items()))


def configure(level: str, *, journal: bool, output: Output) -> None:
    """Send the log to `output`: under the journal with its priorities and no time, else with the time in UTC."""
    handler = _Handler(output)
    handler.setFormatter(_JournalFormatter("%(message)s") if journal else _PlainFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    output.notice = handler.notice
    _log.handlers[:] = [handler]
    _log.setLevel(level.upper())
    _log.propagate = False


class _Handler(logging.Handler):
    """Writes nothing itself."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def handle(self, record: logging.LogRecord) -> bool:
        """Without logging's lock: `Output.put` is safe from every thread."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._output.put(redact(self.format(record)))
        except Exception:  # noqa: BLE001  # a line that cannot be formatted must not end the thread that said it
            self.handleError(record)

    def notice(self, count: int) -> str:
        text = "lines of the log were dropped here, since standard error took none"
        return self.format(_log.makeRecord(_log.name, logging.WARNING, "", 0, f"{text} lines={count}", (), None))


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


def stopped(*, waiting: int) -> None:
    """Everything is closed; `waiting` readings are on disk and not sent."""
    if waiting:
        _say(logging.INFO, "stopped; what was not sent is on disk", readings=waiting)
    else:
        _say(logging.INFO, "stopped; everything was sent")


def died(part: str) -> None:
    """A thread ended that never should; its traceback was logged before."""
    _say(logging.ERROR, "a thread died, so the agent stops; the service manager should start it again", part=part)


def unchanged(path: Path) -> None:
    """SIGHUP without a change."""
    _say(logging.INFO, "configuration is unchanged", file=path)


def refused(path: Path, error: Exception) -> None:
    """SIGHUP with a configuration that is wrong or cannot be started."""
    _say(logging.ERROR, f"new configuration refused, the old one goes on: {error}", file=path)


def left_behind(directory: str, *, readings: int) -> None:
    """SIGHUP named another spool directory, and the old one holds what nobody sends any more."""
    _say(
        logging.WARNING,
        "the old spool directory still holds readings that are not sent; to send them, run an agent with a configuration that names it "
        "until its `status` shows nothing waiting, or take them out with `device-agent spool export --directory`",
        directory=directory, readings=readings,
    )  # fmt: skip


def descriptors_short(*, limit: int) -> None:
    """No new file descriptor can be had, or only those that connections may not take."""
    _say(
        logging.ERROR,
        "file descriptors run out: no further connections are accepted, and what needs a file or a connection waits; raise LimitNOFILE of "
        "the unit (or `ulimit -n`), or lower max_connections",
        limit=limit,
    )  # fmt: skip


def descriptors_back(*, free: int) -> None:
    """There are enough of them again."""
    _say(logging.WARNING, "there are file descriptors again", free=free)


def descriptors_bound(*, connections: int, wanted: int) -> None:
    """The limit of open files is less than the inputs' `max_connections` together: each input gets its part."""
    _say(
        logging.WARNING,
        "the limit of open files allows fewer connections than max_connections of the inputs together; raise LimitNOFILE of the unit "
        "(or `ulimit -n`)",
        connections=connections, max_connections=wanted,
    )  # fmt: skip


# intake


def receiver_path(path: str) -> None:
    """Which of the two inner loops receives: the one in C, or the slower one in Python and why."""
    _say(logging.INFO, "readings are received by", path=path)


def input_open(*, input: str, endpoints: list[str]) -> None:  # noqa: A002  # the word for it everywhere
    """An input is bound."""
    _say(logging.INFO, "listening", input=input, endpoints=",".join(endpoints))


def listener_unwatched() -> None:
    """The kernel does not show how libzmq watches a listener (no /proc here?), so its accepting is not in our hands."""
    _say(
        logging.WARNING,
        "cannot hold libzmq back at max_connections, nor when file descriptors run out: /proc/self/fdinfo is not readable here; mount "
        "/proc, or have far fewer programs connect than there may be open files",
    )


def input_crowded(*, input: str, limit: int) -> None:  # noqa: A002
    """More peers than the limit want to connect; they wait until one leaves."""
    _say(logging.WARNING, "more peers than max_connections, further ones wait until one leaves", input=input, max_connections=limit)


def input_heavy(*, input: str, size: int, high_water_mark: int, enough: int) -> None:  # noqa: A002
    """Readings are so large that what ZeroMQ may hold of a peer is worth a setting. Once an input."""
    _say(
        logging.WARNING,
        "readings are large: while the disk is behind, ZeroMQ may hold high_water_mark of them in memory for each peer; lower it, "
        "which costs no speed with such readings",
        input=input, mean_bytes=size, high_water_mark=high_water_mark, mib_a_peer=size * high_water_mark >> 20, enough=enough,
    )  # fmt: skip


def input_oversize(*, input: str, stream: str, since_start: int, reason: str) -> None:  # noqa: A002
    """Readings that no log takes came by a pattern that tells nobody; once a minute at most, with the count of all."""
    _say(
        logging.WARNING, "a reading is too large and was set aside (`device-agent quarantine ls`)", input=input, stream=stream,
        since_start=since_start, reason=reason,
    )  # fmt: skip


def peer_denied(*, input: str, address: str, key: str) -> None:  # noqa: A002
    """A peer's public key is not on the input's list."""
    _say(logging.WARNING, "peer denied: its key is not in the input's `curve.allow`", input=input, address=address, key=key)


def handshake_failed(*, input: str, cause: str, peer: str, count: int, certain: bool) -> None:  # noqa: A002
    """A connection came to nothing; of each cause one line a minute at most, with the count since the start."""
    words = "handshake failed" if certain else "no handshake"
    who = {"peer": peer} if peer else {}
    _say(logging.WARNING if certain else logging.INFO, f"{words}: {cause}", input=input, **who, since_start=count)


def answers_lost(*, input: str, count: int) -> None:  # noqa: A002
    """At a stop: peers had not taken these answers."""
    _say(logging.WARNING, "answers were not taken before the stop", input=input, count=count)


def readings_lost(*, input: str, count: int) -> None:  # noqa: A002
    """A PULL or SUB socket was closed while its stream took nothing; what was still in the kernel's buffers is not counted."""
    _say(
        logging.ERROR, "readings that ZeroMQ held are lost: the input was closed while its stream took none, and PUSH and PUB are not told",
        input=input, at_least=count,
    )  # fmt: skip


def receiver_died(error: BaseException) -> None:
    """The receiver ended with an error that should not exist."""
    _log.error("the receiver died; please report it", exc_info=error)


# spool


def spool_sealed(path: str, end: int, error: OSError) -> None:
    """A write or fdatasync failed: the segment is not used any more, the readings go to the next."""
    _say(logging.ERROR, "the disk failed; going on in a new segment", segment=path, good_bytes=end, error=error.strerror)


def spool_not_cut(path: str, error: OSError) -> None:
    """A closed segment keeps its unused end: it takes more room than it needs."""
    _say(logging.WARNING, "cannot cut the unused end of a segment", segment=path, error=error.strerror)


def spool_unreadable(path: str, error: OSError) -> None:
    """A segment cannot be read in one go; it is read page by page."""
    _say(logging.ERROR, "cannot read a segment; what can be read of it is kept", segment=path, error=error.strerror)


def spool_torn(path: str, cut: int, why: str) -> None:
    """Opening cut the end of a log: what a crash left half-written, or what cannot be read any more."""
    _say(logging.WARNING, "cut the end of a log, a copy is in quarantine", segment=path, bytes=cut, why=why)


def spool_damaged(stream: str, *, segment: int, position: int, length: int, first: int, last: int, why: str) -> None:
    """Bytes of the log are not what was written."""
    numbers = f"{first}-{last}" if last >= first else "none"
    _say(logging.ERROR, "damage in the log", stream=stream, segment=segment, position=position, bytes=length, lost=numbers, why=why)


def spool_blocked(stream: str, reason: str) -> None:
    """Nothing can be written for a stream; it is tried again."""
    _say(logging.WARNING, "a stream takes no readings for now", stream=stream, reason=reason)


def spool_unblocked(stream: str) -> None:
    """Readings are taken again."""
    _say(logging.INFO, "a stream takes readings again", stream=stream)


def spool_chore_failed(stream: str, error: Exception) -> None:
    """Deleting segments, or writing the journal or a notice, failed; it is tried again."""
    _say(logging.WARNING, "cannot tidy the log; trying again", stream=stream, error=error)


def spool_new_epoch(stream: str, epoch: str, why: str) -> None:
    """Numbers begin again at 1."""
    _say(logging.INFO, "a new epoch begins", stream=stream, epoch=epoch, why=why)


def input_dials(*, input: str, endpoint: str) -> None:  # noqa: A002
    """A name does not answer in one family of addresses; the other is tried, and so on in turns until one answers."""
    _say(logging.INFO, "no answer yet; trying IPv6 and IPv4 in turns", input=input, endpoint=endpoint)


def machine_changed(total: int, in_a_row: int, *, wrong: bool) -> None:
    """The spool was written on another board, or under another machine id; `wrong`: it changes at every start."""
    if wrong:
        _say(
            logging.ERROR, "the machine id changes at every start, and each start begins new epochs: this image keeps no machine id. Let "
            "/etc/machine-id stay (`systemd-machine-id-setup --commit`, or a file on a partition that is written)",
            changes=total, in_a_row=in_a_row,
        )  # fmt: skip
    else:
        _say(logging.WARNING, "the spool was written on another board, or the machine id has changed: new epochs begin", changes=total)


def moves_not_noted(error: Exception) -> None:
    """How often the machine changed is not known, or not kept."""
    _say(logging.WARNING, "cannot keep count of changes of the machine id", error=error)


def spool_end_lost(stream: str, epoch: str, number: int) -> None:
    """What was acknowledged from `number` on, and not sent, is gone: the card lost the end of the log."""
    _say(logging.ERROR, "the end of the log is lost: acknowledged readings may be gone", stream=stream, epoch=epoch, next=number)


def spool_unsaved(stream: str, readings: int, reason: str) -> None:
    """The agent stops with readings in memory that the disk does not take."""
    _say(logging.ERROR, "readings that were never acknowledged are lost at the stop", stream=stream, readings=readings, reason=reason)


def spool_writer_died(error: BaseException) -> None:
    """A bug: the agent must be restarted."""
    _log.critical("the writer has died: %s", error, exc_info=error)


def quarantine_evicted(path: str) -> None:
    """The quarantine's part of the cap is used up: what nobody was promised gives way, or with `drop-oldest` the oldest."""
    _say(logging.WARNING, "the oldest quarantined file gave way to a new one", file=path)


def quarantine_failed(stream: str, error: Exception) -> None:
    """Something could not be set aside."""
    _say(logging.ERROR, "cannot write to the quarantine", stream=stream, error=getattr(error, "strerror", None) or error)


# sources


def source_stands(*, name: str, endpoints: str) -> None:
    """A source has its connection, or listens."""
    _say(logging.INFO, "receiving", input=name, endpoints=endpoints)


def source_waits(*, name: str, problem: str) -> None:
    """A source cannot go on, for a new reason; it is tried again for ever."""
    _say(logging.WARNING, f"cannot receive: {problem}", input=name)


def source_bug(error: Exception, *, name: str) -> None:
    """Something that should not happen happened in a source; it is started again."""
    _log.error("input %s: unexpected error; please report it", name, exc_info=error)


def source_refused(*, name: str, reason: str) -> None:
    """A message that is never taken was acknowledged, so that its broker does not send it for ever."""
    _say(logging.ERROR, f"a message is not taken: {reason}", input=name)


def source_lost(*, name: str, count: int) -> None:
    """A source whose other side is told nothing stopped with readings that found no room, or were not on disk in time."""
    _say(
        logging.ERROR,
        "readings are lost: the input was stopped before they were on disk, and the other side is not told",
        input=name,
        count=count,
    )


# uplink


def clock_wrong(*, offset: float) -> None:
    """The board's wall clock is off by more than a minute; signatures use the server's time."""
    _say(logging.WARNING, "the wall clock is wrong: signing with the server's time (is NTP running?)", offset_seconds=round(offset))


def clock_right() -> None:
    """The wall clock agrees with the server's again."""
    _say(logging.INFO, "the wall clock is right again")


def uplink_waits(*, queue: str, streams: Sequence[str], problem: str) -> None:
    """Sending to a queue failed, for a new reason; it is tried again for ever. `streams` are those that wait."""
    _say(logging.WARNING, f"cannot send, data waits on disk: {problem}", queue=queue, streams=",".join(streams))


def uplink_resumes(*, queue: str) -> None:
    """The queue answers again."""
    _say(logging.INFO, "sending again", queue=queue)


def quarantined(*, stream: str, first: int, last: int, reason: str) -> None:
    """The cloud will never take these readings; they are kept on disk."""
    _say(logging.ERROR, f"quarantined: {reason}", stream=stream, first=first, last=last)


def uplink_bug(error: Exception) -> None:
    """Something that should not happen happened while sending; the sending goes on."""
    _log.error("unexpected error while sending; please report it", exc_info=error)
