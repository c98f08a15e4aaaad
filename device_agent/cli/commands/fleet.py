"""Show the devices that the cloud knows, and the latest values of one.

`ls` lists every device and stream with its newest epoch and sequence number, and when the cloud last heard of it (by the cloud's clock);
`--silent 1h` lists only those that have not been heard of for that long. `show` prints one device, with the newest reading of each topic of
its FIFO streams. Reads ledger and state table with the operator's credentials, and changes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from device_agent.errors import ConfigError

if TYPE_CHECKING:
    from device_agent.operate.fleet import Fleet, StreamOf, Value

HELP = "list the devices that the cloud knows, or show one with its latest values"
EXAMPLE = """
device-agent fleet ls --outputs outputs.json
device-agent fleet ls --outputs outputs.json --silent 1h
device-agent fleet show board-7 --outputs outputs.json
"""

#: Characters of a value that stand in a table; --json has all.
_WIDTH = 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from device_agent.cli.account import add_account  # noqa: PLC0415  # small, but not for the list of commands

    parser.add_argument("action", choices=["ls", "show"], metavar="{ls,show}", help="what to do")
    parser.add_argument("device", nargs="?", metavar="DEVICE", help="show: which device")
    add_account(parser)
    parser.add_argument("--stream", metavar="NAME", help="only this stream")
    parser.add_argument("--silent", metavar="DURATION", help="ls: only what has not been heard of for so long, like 1h or 5min")
    parser.add_argument("--json", action="store_true", help="as JSON, with whole values")


def run(args: argparse.Namespace) -> int:
    """Print it; 1 if there is no such device."""
    from device_agent.cli.account import opened  # noqa: PLC0415
    from device_agent.operate.fleet import Fleet  # noqa: PLC0415

    if (args.action == "show") != (args.device is not None):
        raise ConfigError("fleet: `show` takes the device to show, `ls` takes none")
    silent = _seconds(args.silent)
    with opened(args, "fleet", needed={"LedgerTable", "StateTable"}) as account:
        fleet = Fleet(account.client("dynamodb"), ledger=account["LedgerTable"], state=account["StateTable"])
        streams = fleet.devices(device=args.device, stream=args.stream)
        if args.action == "show":
            return _show(args, fleet, streams)
    now = time.time()
    streams = [one for one in streams if silent is None or one.seen is None or now - one.seen > silent]
    print(json.dumps([one.document() for one in streams], indent=1) if args.json else _streams(streams, now))
    return 0


def _show(args: argparse.Namespace, fleet: Fleet, streams: list[StreamOf]) -> int:
    if not streams:
        print(f"fleet: the ledger knows no device {args.device!r}{' with that stream' if args.stream else ''}", file=sys.stderr)
        return 1
    values = [value for value in fleet.values(args.device) if args.stream in {None, value.stream}]
    if args.json:
        document = {"streams": [one.document() for one in streams], "values": [one.document() for one in values]}
        print(json.dumps(document, indent=1))
    else:
        print(_streams(streams, time.time()))
        if values:
            print("\n" + _values(values))
    return 0


def _streams(streams: list[StreamOf], now: float) -> str:
    from device_agent.cli import table  # noqa: PLC0415

    rows = [(one.device, one.stream, one.seq, one.epoch, one.lives, _seen(one, now)) for one in streams]
    return "\n".join(table.lines(("device", "stream", "sequence", "epoch", "lives", "last seen"), rows))


def _values(values: list[Value]) -> str:
    from device_agent.cli import table  # noqa: PLC0415

    rows = [
        (one.stream, _plain(one.topic or ""), one.received + ("" if one.clock == "synced" else " (clock not set)"), one.seq, _text(one))
        for one in values
    ]
    return "\n".join(table.lines(("stream", "topic", "received", "sequence", "value"), rows))


def _text(value: Value) -> str:
    if value.kind == "data":
        text = _plain(str(value.value))
    elif value.kind == "too_large":
        text = f"{value.value:,} bytes: too large for the state table, see the lake"
    else:
        text = f"{value.kind} {value.value}"
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _plain(text: str) -> str:
    """Return a board's text so that it cannot write to the terminal anything but text."""
    return text if text.isprintable() else json.dumps(text)


def _seen(one: StreamOf, now: float) -> str:
    from device_agent.operate.fleet import moment  # noqa: PLC0415

    if one.seen is None:
        return "over 60 days ago" if one.seq else "notices only"
    seconds = max(0, int(now - one.seen))
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{moment(one.seen)}, {seconds // size} {name} ago"
    return f"{moment(one.seen)}, just now"


def _seconds(text: str | None) -> float | None:
    from device_agent.config import Unit  # noqa: PLC0415
    from device_agent.configfile import units  # noqa: PLC0415

    if text is None:
        return None
    try:
        return units.parse(text, Unit.DURATION)
    except ValueError as error:
        raise ConfigError(f"fleet: --silent: {error}") from None
