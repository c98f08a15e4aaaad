"""`make soak MINUTES=30`: full load with outages for a long time; memory, threads, open files and disk must stay flat.

    python -m tests.lab.soak --minutes 30 --rate 500

The middle third of the samples is held against the last third. Everything that was committed must have been accepted by the queue at the
end. Exit status 0 only if all that holds.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

from device_agent.wire import envelope
from device_agent.wire.ranges import Ranges
from tests.lab.agent import AgentProcess, backlog, committed, wait_for
from tests.lab.board import Board
from tests.lab.killing import Producers
from tests.lab.proxy import Faults

KIB = 1024
#: How much a figure may grow from the middle third to the last: absolutely, and relatively.
ALLOWED = {"memory": (8 * 1024 * KIB, 0.05), "threads": (0, 0.0), "files": (4, 0.0), "disk": (70 * 1024 * KIB, 0.0)}


@dataclass(frozen=True, slots=True)
class Sample:
    """What an agent takes at one moment."""

    memory: int  # resident bytes
    threads: int
    files: int  # open descriptors
    disk: int  # bytes of the spool, as `du` counts


def sample(agent: AgentProcess) -> Sample:
    """Look at a running agent."""
    proc = Path(f"/proc/{agent.pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    disk = sum(path.stat().st_blocks * 512 for path in list(agent.spool.rglob("*")) if path.exists())
    return Sample(int(status["VmRSS"].split()[0]) * KIB, int(status["Threads"]), len(list((proc / "fd").iterdir())), disk)


def growth(samples: list[Sample]) -> list[str]:
    """Say what did not stay flat."""
    third = len(samples) // 3
    found = []
    for field in fields(Sample):
        typical = min if field.name == "memory" else median  # an outage's backlog takes some memory for a while; a leak raises the least
        before = typical(getattr(one, field.name) for one in samples[third : 2 * third])
        after = typical(getattr(one, field.name) for one in samples[2 * third :])
        absolute, relative = ALLOWED[field.name]
        if after - before > max(absolute, relative * before):
            found.append(f"{field.name} grew from {before:,.0f} to {after:,.0f}")
    return found


class Reaper:
    """Takes what the queue accepted out of the test's memory, and remembers the numbers."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._stopping = threading.Event()
        self.numbers: dict[str, Ranges] = defaultdict(Ranges)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(0.2):
            self.turn()

    def turn(self) -> None:
        model = self._board.sqs.model
        with model._lock:
            accepted, model.accepted = model.accepted, []
            for queue in model._queues.values():
                queue.messages.clear()
                queue.seen.clear()
        self._board.sqs.requests.clear()
        for one in accepted:
            content = envelope.decode(one.body)
            self.numbers[content.stream].add(content.first, content.last)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.turn()


def soak(board: Board, *, seconds: float, rate: float, every: float, say: Callable[[str], None], seed: int = 0) -> list[str]:
    """Run it, and return what is wrong."""
    agent = board.agent
    agent.start()
    reaper = Reaper(board)
    producers = Producers(agent, rate=rate, seed=seed)
    samples: list[Sample] = []
    began = time.monotonic()
    try:
        while (elapsed := time.monotonic() - began) < seconds:
            phase = int(elapsed / max(2.0, seconds / 60)) % 4
            board.proxy.faults = (Faults(), Faults(rate=1.0), Faults(rate=0.5), Faults())[phase]
            time.sleep(every)
            samples.append(sample(agent))
            one = samples[-1]
            say(f"{elapsed:6.0f} s  {one.memory // KIB:,} KiB, {one.threads} threads, {one.files} files, {one.disk // KIB:,} KiB on disk")
        producers.stop()
    except BaseException:
        producers.kill()
        raise
    board.proxy.heal()
    wait_for(lambda: not backlog(agent), 120, what="sending the rest", every=0.2)
    time.sleep(0.5)
    wait_for(lambda: not backlog(agent), 60, what="sending the rest")
    last = committed(agent)
    reaper.stop()
    found = growth(samples)
    for stream, number in last.items():
        if missing := list(reaper.numbers[stream].missing(1, number)) if number else []:
            found.append(f"{stream}: the queue never got {missing[:3]} of 1 to {number}")
    say(f"committed {last}")
    if agent.stop() != 0:
        found.append(f"the agent stopped with {agent.code}: {agent.tail()}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=500, help="readings a second of each of six producers; 0: full rate")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, Board(Path(folder)) as board:
        found = soak(
            board, seconds=options.minutes * 60, rate=options.rate, every=min(5.0, options.minutes), seed=seed,
            say=lambda line: print(line, flush=True),
        )  # fmt: skip
    for fault in found:
        print(f"WRONG (seed {seed}): {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
