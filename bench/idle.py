"""An agent with nothing to do: its peak memory and its CPU time."""

from __future__ import annotations

import time
from typing import Final

from bench.board import Board
from bench.goals import Figure, of_rounds
from bench.rates import fresh
from bench.run import Run

NAMES: Final = ("rss_idle_mib", "idle_cpu_percent")
_SETTLE: Final = 1.0  # seconds after which the start is over


def measure(run: Run) -> list[Figure]:
    """Measure all of `NAMES`."""
    seconds = run.seconds(30, 4)
    run.say(f"idle for {seconds:.0f} s")
    with Board(fresh(run, "idle"), endpoint=run.endpoint.url, linger="5s", commit_interval="1s", max_bytes="256 MiB") as board:
        time.sleep(_SETTLE)
        begin, before = time.monotonic(), sum(board.cpu().values())
        time.sleep(seconds)
        used = (sum(board.cpu().values()) - before) / (time.monotonic() - begin)
        peak = board.peak_mib()
    return [
        of_rounds("rss_idle_mib", [peak], note=f"VmHWM {seconds:.0f} s after the start"),
        of_rounds("idle_cpu_percent", [used * 100], note=f"all threads, {seconds:.0f} s"),
    ]
