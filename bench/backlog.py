"""A backlog: how long it takes to open, what memory it costs, how fast it drains, and whether live data waits for it.

Two of them. 1 GiB of incompressible readings (a smaller one in a quick run, said in the note) is opened and drained for its memory. Sensor
readings, the same as at full rate, are drained for the rate in readings a second, while live ones arrive at 100 a second.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.board import Board
from bench.goals import Figure, of_rounds
from bench.processes import Failed, python
from bench.rates import fresh, path
from bench.readings import incompressible
from bench.run import Run

NAMES: Final = ("open_backlog_s", "rss_backlog_mib", "drain_ratio")
_READING: Final = 16 * 1024
_LIVE: Final = 100.0  # readings a second
LINGER: Final = 1.0
_TIMEOUT: Final = 600.0


def measure(run: Run) -> list[Figure]:
    """Measure all of `NAMES`."""
    return [*large(run), drain(run)]


def large(run: Run) -> list[Figure]:
    """Open and drain a large one."""
    size = (128 if run.quick else 1024) * 2**20
    name = f"{size // 2**20} MiB of incompressible readings of 16 KiB"
    run.say(f"a backlog of {name}: write, open, drain")
    folder = fresh(run, "backlog")
    readings = incompressible(256, _READING)
    count = size // _READING
    file = readings.write(run.folder / "incompressible.bin")
    written = run.reference(python("bench.fill", "write", folder / "spool", file, count))
    opened = []
    for _ in range(3):
        cold = drop_caches()
        opened.append(run.reference(python("bench.fill", "open", folder / "spool"))["seconds"])
    run.endpoint.reset()
    with Board(folder, endpoint=run.endpoint.url) as board:
        peak_open = board.peak_mib()
        board.wait(lambda counters: counters["sent"] >= count, timeout=_TIMEOUT, pause=0.1)
        peak = board.peak_mib()
    note = f"{name}, {written['written'] / 2**20:.0f} MiB on disk, {written['envelopes']} envelopes"
    return [
        of_rounds("open_backlog_s", opened, note=f"Spool.open; {note}; page cache {'dropped' if cold else 'warm (not root)'}"),
        of_rounds("rss_backlog_mib", [peak], note=f"VmHWM, {peak_open:.0f} MiB after opening; {note}, all sent"),
    ]


def drop_caches() -> bool:
    """Forget what is in the page cache; tell whether that is allowed."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Drained:
    """One drain."""

    rate: float  # readings of the backlog a second
    live: int
    age: float  # of the oldest live reading when its envelope was accepted, seconds


def drain(run: Run) -> Figure:
    """Drain sensor readings beside live ones, in turns with the whole path at full rate."""
    found, fulls = [], []
    for number in range(1 if run.quick else 3):
        run.say(f"drain, round {number + 1}: {run.frames:,} readings, then live ones beside a backlog")
        fulls.append(path(run).rate)
        found.append(_drained(run))
    ages = max(one.age for one in found)
    note = (
        f"drains {median(one.rate for one in found):,.0f}/s; live readings at {_LIVE:.0f}/s were at most {ages:.2f} s old when accepted, "
        f"allowed {2 * LINGER:.0f} s ({sum(one.live for one in found)} live envelopes)"
    )
    return of_rounds(
        "drain_ratio", [one.rate / full for one, full in zip(found, fulls, strict=True)],
        note=note, also=ages <= 2 * LINGER and all(one.live for one in found),
    )  # fmt: skip


def _drained(run: Run) -> Drained:
    folder = fresh(run, "drain")
    count = run.frames * (2 if run.quick else 4)
    run.reference(python("bench.fill", "write", folder / "spool", run.file, count))
    run.endpoint.reset(watch=count + 1)
    with Board(folder, endpoint=run.endpoint.url, linger=f"{LINGER:.0f}s") as board:
        begin = time.monotonic()
        live = run.push(board.pull, 10**9, rate=_LIVE)
        try:
            end = board.wait(lambda counters: counters["sent"] >= count, timeout=_TIMEOUT, pause=0.05)
            fresh_ones = run.endpoint.counters()
            until = time.monotonic() + 3 * LINGER
            while not fresh_ones["live"] and time.monotonic() < until:  # a short drain ends before the first live envelope
                time.sleep(0.1)
                fresh_ones = run.endpoint.counters()
        finally:
            live.kill()
    if fresh_ones["readings"] < count:
        raise Failed(f"the endpoint accepted {fresh_ones['readings']} of {count} readings")
    start = min(begin, fresh_ones["first"])
    return Drained(count / (end - start), fresh_ones["live"], fresh_ones["live_age"])
