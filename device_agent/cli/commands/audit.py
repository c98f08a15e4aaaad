"""Show what the cloud received, and what is missing, per device, stream and epoch, of all time or of one.

Reads ledger and lake with the operator's credentials, and changes nothing. Exit code 0 only if the books balance: nothing is missing,
nothing is there twice. Columns: received; pending (an invocation is at work on it, or its message comes back); quarantined, damaged and
dropped (the board said so); missing; and with --deep duplicate, rows that are in the lake more than once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from device_agent.errors import ConfigError

if TYPE_CHECKING:
    from device_agent.operate.audit import Choice

HELP = "show what the cloud received, and what is missing, per device and stream"
EXAMPLE = """
device-agent audit --outputs outputs.json
device-agent audit --outputs outputs.json --since 24h
device-agent audit --stack device-agent-dev-ingestion --device board-7 --deep
device-agent audit --ledger TABLE --lake BUCKET --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from device_agent.cli.account import add_account  # noqa: PLC0415  # small, but not for the list of commands

    add_account(parser)
    parser.add_argument("--ledger", metavar="TABLE", help="ledger table (with --lake, instead of --outputs or --stack)")
    parser.add_argument("--lake", metavar="BUCKET", help="bucket of the lake")
    parser.add_argument("--device", metavar="ID", help="only this device")
    parser.add_argument("--stream", metavar="NAME", help="only this stream")
    parser.add_argument("--epoch", metavar="EPOCH", help="only this epoch")
    parser.add_argument(
        "--since", metavar="TIME", help="only what came since then: 24h, 2026-01-31, or 2026-01-31T12:00 (UTC); 60 days at most"
    )
    parser.add_argument("--until", metavar="TIME", help="only what came before")
    parser.add_argument("--deep", action="store_true", help="read every row of the lake and find what is there twice or not at all")
    parser.add_argument("--json", action="store_true", help="the books as JSON, with all ranges")


def run(args: argparse.Namespace) -> int:
    """Print the books; 0 if they balance, 1 if something is missing or doubled, or what was asked for is not there."""
    from device_agent.cli.account import opened  # noqa: PLC0415
    from device_agent.operate import books  # noqa: PLC0415
    from device_agent.operate.audit import Clients, audit  # noqa: PLC0415

    choice = _choice(args, now=time.time())
    named = {"LedgerTable": args.ledger, "LakeBucket": args.lake} if args.ledger and args.lake else {}
    if bool(args.ledger) != bool(args.lake) or not (named or args.outputs or args.stack):
        raise ConfigError("audit: say --outputs FILE, --stack NAME, or both --ledger TABLE and --lake BUCKET")
    with opened(args, "audit", needed={"LedgerTable", "LakeBucket"}, named=named) as account:
        clients = Clients(account.client("dynamodb"), account.client("s3"))
        found = audit(clients, ledger=account["LedgerTable"], lake=account["LakeBucket"], choice=choice, deep=args.deep)
    if not found.lines and (args.device or args.stream or args.epoch) and not choice.timed:
        print("audit: the ledger knows no such device, stream or epoch", file=sys.stderr)
        return 1
    print(json.dumps(books.document(found), indent=1) if args.json else "\n".join(books.table(found)))
    return 0 if found.balanced else 1


def _choice(args: argparse.Namespace, *, now: float) -> Choice:
    from device_agent.operate.audit import Choice  # noqa: PLC0415
    from device_agent.operate.fleet import CLAIM_SECONDS  # noqa: PLC0415

    since, until = (_moment(name, getattr(args, name), now) for name in ("since", "until"))
    if since is None and until is not None:
        raise ConfigError("audit: --until goes with --since")
    if since is not None and since < now - CLAIM_SECONDS:
        raise ConfigError("audit: --since: when something came is known for 60 days; leave the time out, and the books are whole")
    if since is not None and args.deep:
        raise ConfigError("audit: --deep counts the lake's rows whole: it goes with --device, --stream and --epoch, not with a time")
    return Choice(device=args.device, stream=args.stream, epoch=args.epoch, since=since, until=until)


def _moment(name: str, text: str | None, now: float) -> float | None:
    """Return seconds since 1970 of a duration before now, or of a date or time, UTC unless it says otherwise."""
    from device_agent.config import Unit  # noqa: PLC0415
    from device_agent.configfile import units  # noqa: PLC0415

    if text is None:
        return None
    try:
        return now - units.parse(text, Unit.DURATION)
    except ValueError:
        pass  # then it is a date
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"audit: --{name}: {text!r} is neither like 24h nor like 2026-01-31 or 2026-01-31T12:00") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
