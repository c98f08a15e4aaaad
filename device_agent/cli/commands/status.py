"""Show how the running agent is doing: inputs, streams, what waits on disk, and what keeps it from being sent.

Asks the agent through a socket in its spool directory, so it needs the rights of the agent's user, or root. Exit code 1 if no agent
runs there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from device_agent.cli.place import add_place, find

HELP = "show how the running agent is doing"
EXAMPLE = """
device-agent status --config agent.toml
device-agent status --config agent.toml --json | jq .metrics
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_place(parser)
    parser.add_argument("--json", action="store_true", help="the whole document as JSON")


def run(args: argparse.Namespace) -> int:
    """Ask and print."""
    import json  # noqa: PLC0415  # not for --help

    from device_agent import status  # noqa: PLC0415
    from device_agent.cli import statuspage  # noqa: PLC0415

    document = status.ask(Path(find(args).directory))
    if args.json:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(statuspage.lines(document, now=time.time())))
    return 0
