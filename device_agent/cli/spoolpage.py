"""Spool page: what is in the log on disk, and what is wrong with it, as text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from device_agent.cli import table
from device_agent.configfile import units
from device_agent.spool.tools import Listed, Problem


def lines(listed: Sequence[Listed], *, segments: bool) -> Iterator[str]:
    """Yield a table of logs, or of their segments, and a line for whatever is wrong."""
    if not listed:
        yield "the log is empty: no reading has been written yet"
        return
    if segments:
        cells = [
            (one.stream, one.segment, one.first, one.last, one.waiting, one.envelopes, one.notices, units.roughly(one.bytes))
            for one in listed
        ]
        yield from table.lines(("stream", "segment", "first", "last", "waiting", "envelopes", "notices", "size"), cells)
    else:
        yield from table.lines(
            ("stream", "epoch", "files", "first", "last", "waiting", "size"),
            [_log(list(log)) for _, log in groupby(listed, key=lambda one: (one.stream, one.epoch))],
        )
    bad = sum(bool(one.problems) for one in listed)
    if bad:
        yield f"\n{counted(bad, 'file')} with damage: `device-agent spool verify` says what and where"


def _log(log: list[Listed]) -> tuple[object, ...]:
    first, last = log[0], log[-1]
    waiting = sum(one.waiting for one in log)
    return first.stream, first.epoch, len(log), first.first, last.last, waiting, units.roughly(sum(one.bytes for one in log))


def findings(listed: Sequence[Listed]) -> Iterator[str]:
    """Yield what is wrong, by file, then what to do; or that all is well."""
    bad = [one for one in listed if one.problems]
    for one in bad:
        yield one.path
        for problem in one.problems:
            yield from textwrap.wrap(str(problem), 78, initial_indent="  ", subsequent_indent="    ")
    if bad:
        yield ""
    advice = dict.fromkeys(problem.advice for one in bad for problem in one.problems)
    for text in advice:
        yield from textwrap.wrap(text, 80, break_on_hyphens=False)
        yield ""
    yield _summary(listed, [problem for one in bad for problem in one.problems])


def _summary(listed: Sequence[Listed], problems: list[Problem]) -> str:
    readings = sum(one.last - one.first + 1 for one in listed)
    size = units.roughly(sum(one.bytes for one in listed))
    checked = f"{counted(len(listed), 'file')}, {counted(readings, 'reading')}, {size}"
    if not problems:
        return f"{checked}: all good"
    return f"{checked}: {counted(len(problems), 'problem')}, {counted(sum(one.damaged for one in listed), 'reading')} lost"


def counted(number: int, what: str) -> str:
    """Return "1 reading", "2 readings"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
