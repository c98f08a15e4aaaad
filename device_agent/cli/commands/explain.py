"""Explain a key of the configuration: what it means, its values, its default, and an example.

KEY is a key (`linger`), a key with its table (`stream.linger`), or a table (`stream`). Without one, all tables and their keys are listed.
"""

from __future__ import annotations

import argparse

HELP = "explain a key of the configuration"
EXAMPLE = """
device-agent explain linger
device-agent explain input.curve
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("key", nargs="?", default="", metavar="KEY", help="key or table, such as stream.linger")


def run(args: argparse.Namespace) -> int:
    """Print what is known of it."""
    from device_agent.cli import explanation  # noqa: PLC0415  # the parser needs none of it

    print("\n".join(explanation.lines(args.key)))
    return 0
