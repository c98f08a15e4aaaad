"""What the card has to bear: bytes at the block device a payload byte at full rate, and a commit at 10 readings a second.

The whole path runs, so deliveries' journal, borders, segment headers and the file system's own journal are in it.
"""

from __future__ import annotations

import time
from typing import Final

from bench.board import Board
from bench.disk import Disk, disk
from bench.goals import Figure, of_rounds
from bench.rates import fresh
from bench.run import Run

NAMES: Final = ("write_amplification_full", "pages_per_commit_slow")
_PAGE: Final = 4096
_SLOW: Final = 10.0  # readings a second
_TIMEOUT: Final = 300.0


def measure(run: Run) -> list[Figure]:
    """Measure all of `NAMES`."""
    with disk(fresh(run, "writes")) as place:
        return [full(run, place), slow(run, place)]


def full(run: Run, place: Disk) -> Figure:
    """At full rate, cap and all."""
    found = []
    for number in range(1 if run.quick else 3):
        run.say(f"bytes at the block device, full rate, {number + 1}: {place.says}")
        with Board(place.folder / f"full-{number}", endpoint=run.endpoint.url, max_bytes="2 GiB") as board:
            before = place.written(board.pid)
            run.push(board.pull, run.frames).result()
            board.wait(lambda counters: counters["sent"] >= run.frames, timeout=_TIMEOUT)
            found.append((place.written(board.pid) - before) / run.readings.bytes_of(run.frames))
    return of_rounds(
        "write_amplification_full", found, note=f"{place.says}; {run.frames:,} readings of {run.readings.average:.0f} B, sent and settled"
    )


def slow(run: Run, place: Disk) -> Figure:
    """At ten readings a second, with the agent's defaults: a commit a second, an envelope each 5 s."""
    seconds = run.seconds(60, 9)
    run.say(f"bytes at the block device, {_SLOW:.0f} readings a second for {seconds:.0f} s")
    count = int(seconds * _SLOW)
    with Board(place.folder / "slow", endpoint=run.endpoint.url, linger="5s", commit_interval="1s", max_bytes="256 MiB") as board:
        time.sleep(1)
        before, commits = place.written(board.pid), board.stream()["commits"]
        run.push(board.pull, count, rate=_SLOW).result()
        board.wait(lambda counters: counters["committed"] >= count, timeout=_TIMEOUT, pause=0.1)
        counters = board.stream()
        written = place.written(board.pid) - before
    made = counters["commits"] - commits
    note = f"{place.says}; {made} commits, {written:,} B, {counters['committed']} readings; commit_interval 1 s, linger 5 s"
    return of_rounds("pages_per_commit_slow", [written / _PAGE / max(1, made)], note=note)
