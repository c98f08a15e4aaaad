"""Show what the cloud received, and what is missing, per device and stream.

Reads ledger and lake with the operator's credentials, and changes nothing. Exit code 0 only if the books balance: nothing is missing,
nothing is there twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from device_agent.errors import ConfigError

HELP = "show what the cloud received, and what is missing, per device and stream"
EXAMPLE = """
device-agent audit --outputs outputs.json
device-agent audit --stack device-agent-dev-ingestion --device board-7 --deep
device-agent audit --ledger TABLE --lake BUCKET --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from device_agent.operate import audit  # noqa: PLC0415  # brings the wire: not for the list of commands

    audit.configure(parser)
    parser.add_argument(
        "--outputs", type=Path, metavar="FILE", help="ledger, lake and region from the JSON of `cdk deploy --outputs-file FILE`"
    )


def run(args: argparse.Namespace) -> int:
    """Fill in what the outputs say, and ask."""
    from device_agent.operate import audit  # noqa: PLC0415  # as above

    if args.outputs:
        from device_agent.cli.outputs import read_outputs  # noqa: PLC0415  # not for --help

        found = read_outputs(args.outputs, needed={"LedgerTable", "LakeBucket"})
        args.ledger = args.ledger or found["LedgerTable"]
        args.lake = args.lake or found["LakeBucket"]
        args.region = args.region or found.get("Region")
    elif not args.stack and not (args.ledger and args.lake):
        raise ConfigError("audit: say --outputs FILE, --stack NAME, or both --ledger TABLE and --lake BUCKET")
    return audit.run(args)
