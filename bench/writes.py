"""What the card has to bear: bytes at the block device a payload byte at full rate, and a commit at 10 readings a second.

The whole path runs, so deliveries' journal, borders, segment headers and the file system's own journal are in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

import zmq

from bench.board import Board
from bench.disk import Disk, disk
from bench.goals import Figure, of_rounds
from bench.rates import fresh
from bench.run import Run

NAMES: Final = ("write_amplification_full", "pages_per_commit_slow")
_PAGE: Final = 4096
_SLOW: Final = 10.0  # readings a second
_BARE: Final = 350  # bytes: what ten readings are in the log, about
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
    """At ten readings a second, with the agent's defaults: a commit a second, an envelope each 5 s. And with a commit each, for REQ.

    The reference is what the file system itself takes for a commit: bare writes of as many bytes, at the same pace, for as long.
    """
    seconds = run.seconds(60, 6)
    run.say(
        f"bytes at the block device, {_SLOW:.0f} readings a second for {seconds:.0f} s from PUSH, then {seconds / 2:.0f} s from REQ, "
        f"then {seconds:.0f} s of bare fdatasync"
    )
    with Board(
        place.folder / "slow", endpoint=run.endpoint.url, linger="5s", commit_interval="1s", max_bytes="256 MiB", rep=True
    ) as board:  # fmt: skip
        time.sleep(1)
        commits, written = _counted(board, place, lambda: _push(run, board, int(seconds * _SLOW)))
        asked, for_asked = _counted(board, place, lambda: _ask(run, board.rep, int(seconds / 2 * _SLOW)))
    bare, pages = _bare(place, count=int(seconds)), written / _PAGE / max(1, commits)
    note = (
        f"{place.says}; PUSH: {commits} commits of {pages:.2f} pages; bare write of {_BARE} B and fdatasync, one a second: {bare:.2f}; "
        f"REQ, a commit a reading: {for_asked / _PAGE / max(1, asked):.2f}; commit_interval 1 s, linger 5 s"
    )
    return of_rounds("pages_per_commit_slow", [pages / bare], note=note)


def _bare(place: Disk, *, count: int) -> float:
    """Return the pages a write that a plain program takes: into allocated space, one a second, with fdatasync."""
    descriptor = os.open(place.folder / "bare", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, 2**20)
        os.fsync(descriptor)
        before = place.written(os.getpid())
        for number in range(count):
            os.pwrite(descriptor, bytes(_BARE), number * _BARE)
            os.fdatasync(descriptor)
            time.sleep(1)
        return (place.written(os.getpid()) - before) / _PAGE / max(1, count)
    finally:
        os.close(descriptor)


def _counted(board: Board, place: Disk, send: Callable[[], None]) -> tuple[int, int]:
    """Return the commits and the bytes at the device while `send` runs."""
    before, commits = place.written(board.pid), board.stream()["commits"]
    send()
    return board.stream()["commits"] - commits, place.written(board.pid) - before


def _push(run: Run, board: Board, count: int) -> None:
    wanted = board.stream()["committed"] + count
    run.push(board.pull, count, rate=_SLOW).result()
    board.wait(lambda counters: counters["committed"] >= wanted, timeout=_TIMEOUT, pause=0.1)


def _ask(run: Run, endpoint: str, count: int) -> None:
    """One REQ client, ten readings a second."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger, socket.rcvtimeo = 0, 30_000
        socket.connect(endpoint)
        begin = time.monotonic()
        for number in range(count):
            socket.send(run.readings.payloads[number % len(run.readings.payloads)])
            socket.recv()
            time.sleep(max(0.0, begin + (number + 1) / _SLOW - time.monotonic()))
