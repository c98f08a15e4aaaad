"""Make a CURVE key pair: DIR/NAME.key for the other side, DIR/NAME.key_secret for its owner alone (mode 0600).

One pair is for the input (`secret_key`), one for each program that may connect (its public file goes to `allow`). Existing files are
never overwritten.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "make a CURVE key pair"
EXAMPLE = """
device-agent keys ./keys agent
device-agent keys ./keys/clients plc-1
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory for the two files; made if it is not there")
    parser.add_argument("name", metavar="NAME", help="name of the key, and of the files")


def run(args: argparse.Namespace) -> int:
    """Make them."""
    from device_agent.intake import keys  # noqa: PLC0415  # brings zmq

    public, secret = keys.make_keys(args.directory, args.name)
    print(f"public key: {public}\nsecret key: {secret}")
    return 0
