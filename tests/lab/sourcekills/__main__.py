"""`make torture-sources`: kills of the agent and of the broker for each kind of input, then 100,000 messages through each broker.

Exit status 0 only if nothing that was accepted was missing or out of order, and nothing doubled but what was not acknowledged.
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.lab import traced
from tests.lab.sourcekills import judge, kills
from tests.lab.sourcekills.flood import flood
from tests.lab.sourcekills.kinds import KINDS, Kind, world

#: Less than a burst, so that messages wait in the broker.
_WINDOW = 16


def _round(kind: Kind, folder: Path, number: int, randoms: random.Random, share: float, seen: Counter[str]) -> tuple[str, list[str]]:
    """Kill so often in one world; return what is to be said, and what is wrong."""
    with world(kind, folder, window=_WINDOW) as made:
        for _ in range(number):
            if made.broker is not None and randoms.random() < share:
                step = randoms.choice(kills.BROKER_STEPS)
                kills.kill_broker(made, step)
                seen[f"broker {step}"] += 1
            else:
                point = randoms.choice(kind.points)
                kills.kill_agent(made, point)
                seen[f"{point[0]} {point[1]}"] += 1
        wrong = kills.verdict(made, number, flagged=kind.flagged and not share)
        again = judge.doubled(made.log.look(), attempts=made.broker is None)
        return f"{len(made.program.accepted):,} accepted, {again} again of at most {made.may_double(number)}", wrong


def _torture(kind: Kind, folder: Path, options: argparse.Namespace, randoms: random.Random) -> list[str]:
    """All rounds of a kind."""
    began, done, seen, wrong = time.monotonic(), 0, Counter[str](), list[str]()
    while done < options.kills and not wrong:
        number = min(options.round, options.kills - done)
        said, wrong = _round(kind, folder / f"{kind.name}-{done}", number, randoms, options.broker_share, seen)
        done += number
        print(f"  {kind.name}: {done} kills, {said}", flush=True)
    counts = ", ".join(f"{name} x{count}" for name, count in sorted(seen.items()))
    print(f"{kind.name}: {done} kills in {time.monotonic() - began:.0f} s, {'WRONG' if wrong else 'all good'}: {counts}", flush=True)
    return wrong


def _flood(kind: Kind, folder: Path, options: argparse.Namespace) -> list[str]:
    began = time.monotonic()
    found = flood(kind, folder / f"{kind.name}-flood", options.messages, size=options.size)
    print(f"{kind.name}: {options.messages:,} messages of {options.size} bytes in {time.monotonic() - began:.0f} s: {found}", flush=True)
    return found.faults


def main() -> int:
    """Torture each kind."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.sourcekills", description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS), help="default: %(default)s")
    parser.add_argument("--kills", type=int, default=100, help="of each kind (default: %(default)s)")
    parser.add_argument("--round", type=int, default=20, help="kills before all is judged (default: %(default)s)")
    parser.add_argument("--broker-share", type=float, default=0.3, help="kills that are the broker's (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=100_000, help="through each broker, for the memory; 0: none (default: %(default)s)")
    parser.add_argument("--size", type=int, default=4096, help="bytes of those (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run")
    options = parser.parse_args()
    if reason := traced.missing():
        print(reason)
        return 2
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    print(f"seed {seed}", flush=True)
    folder, wrong = Path(tempfile.mkdtemp(prefix="torture-sources-")), list[str]()
    for name in options.kinds.split(","):
        wrong += _torture(KINDS[name], folder, options, random.Random(seed))
        if KINDS[name].broker is not None and options.messages:
            wrong += _flood(KINDS[name], folder, options)
    for fault in wrong:
        print(f"WRONG (seed {seed}): {fault}", flush=True)
    if wrong:
        print(f"everything is kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
