"""`make torture`: a thousand kills at full rate; `python -m tests.lab.torture --kills 1000 --seed 7` does the same plan again.

Exit status 0 only if nothing acknowledged was missing, doubled or out of order in any round.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.lab.backend import OwnBackend
from tests.lab.killing import KillLoop


def main() -> int:
    """Torture in rounds; after each everything must have arrived."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--round", type=int, default=25, help="kills before everything is judged (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run")
    parser.add_argument("--rate", type=float, default=0.0, help="readings a second of each producer; 0: full rate (default)")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    began, kills, acknowledged, rows = time.monotonic(), 0, 0, 0
    with OwnBackend(seed=seed) as backend:
        loop = KillLoop(backend, folder, seed=seed, device="torture", rate=options.rate, say=lambda line: print(line, flush=True))
        with loop.agent:
            while kills < options.kills:
                result = loop.round(min(options.round, options.kills - kills))
                kills, acknowledged, rows = kills + result.kills, acknowledged + result.acknowledged, rows + result.rows
                print(
                    f"{time.monotonic() - began:6.0f} s  {kills} kills, {acknowledged:,} acknowledged, {rows:,} in the lake; "
                    f"faults of the network: {', '.join(f'{fate.value} {count}' for fate, count in backend.proxy.seen.items())}",
                    flush=True,
                )
                for fault in result.faults:
                    print(f"WRONG (seed {seed}): {fault}", flush=True)
                if result.faults:
                    print(f"everything is kept in {folder}")
                    return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
