"""`make demo`: the whole pipeline in front of your eyes. Exit status 0 only if the books balance, 130 after Ctrl-C."""

from __future__ import annotations

import argparse
import math
import sys

from localcloud.interrupts import Interrupts


def main() -> int:
    """Parse the command line and run; 2 for wrong usage."""
    interrupts = Interrupts()
    try:
        seconds = _seconds_asked()
        # Half a second, in which Ctrl-C may come, too.
        from localcloud.demo import show  # noqa: PLC0415

        return show.run(seconds, interrupts)
    except KeyboardInterrupt:
        print("interrupted: everything is stopped")
        return 130
    finally:
        interrupts.disarm()


def _seconds_asked() -> float:
    parser = argparse.ArgumentParser(prog="python -m localcloud.demo", description=__doc__)
    parser.add_argument(
        "--seconds", type=_seconds, default=20, help="how long to publish; 0: until Ctrl-C, without outage and kill (default: 20)"
    )
    seconds: float = parser.parse_args().seconds
    return seconds


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 on")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
