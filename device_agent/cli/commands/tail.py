"""Print the last readings of a stream, and with --follow those that come, as they are written to the log on disk.

JSON lines with the columns of the lake, like `spool cat`. It only reads, and asks nobody: readings are seen whether or not they can be
sent. On a good network what is delivered is soon deleted; if that happens between two looks, a line says how many readings were missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from device_agent.cli.place import Place, add_place, find
from device_agent.errors import ConfigError

if TYPE_CHECKING:
    from device_agent.spool.tools import Reading

HELP = "print the last readings of a stream, and follow it"
EXAMPLE = """
device-agent tail --config agent.toml --stream telemetry
device-agent tail --config agent.toml --stream telemetry --lines 0 --follow | jq .data
"""

#: Seconds between two looks.
_EVERY = 0.25


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_place(parser)
    parser.add_argument("--stream", default="", metavar="NAME", help="which stream (needed if there are several)")
    parser.add_argument("--lines", type=_lines, default=10, metavar="N", help="so many of the last readings first (default: 10)")
    parser.add_argument("--follow", action="store_true", help="go on with new ones until Ctrl-C")


def _lines(text: str) -> int:
    if not text.isdecimal() or int(text) > 100_000:
        raise argparse.ArgumentTypeError("must be a whole number from 0 to 100000; `device-agent spool cat` prints all")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Print, and follow."""
    from device_agent.spool.following import Follower  # noqa: PLC0415  # not for --help

    place = find(args)
    follower = Follower(place.directory, args.stream or _only_stream(place), problem=_say)
    _print(place, follower.start(args.lines))
    try:
        while args.follow:
            time.sleep(_EVERY)
            _print(place, follower.more())
            if follower.missed:
                _say(f"{follower.missed:,} readings were delivered and deleted before they could be shown")
                follower.missed = 0
    except KeyboardInterrupt:
        pass  # the usual way to leave, no failure
    return 0


def _only_stream(place: Place) -> str:
    from device_agent.spool import tools  # noqa: PLC0415  # not for --help

    known = tools.streams(place.directory)
    if len(known) != 1:
        raise ConfigError(f"tail: name the stream with --stream; there are: {', '.join(known) or 'none yet'}")
    return known[0]


def _print(place: Place, readings: Iterable[Reading]) -> None:
    from device_agent.cli import rows  # noqa: PLC0415  # not for --help

    for one in readings:
        head = {"device": place.device, "stream": one.stream, "epoch": one.epoch}
        found = rows.row(
            head, seq=one.seq, received=one.received, synced=one.synced, topic=one.topic, client=one.client, payload=one.payload
        )
        sys.stdout.write(rows.line(found) + "\n")
    sys.stdout.flush()


def _say(sentence: str) -> None:
    print(f"tail: {sentence}", file=sys.stderr)
