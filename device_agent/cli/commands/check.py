"""Check a configuration: read it, show what was understood, and look at the disk and the key files.

With --online each queue is asked, with the credentials that the agent would use. Nothing is changed and nothing is sent. Lines begin
with `ok`, `warning` (it will run, but perhaps not as meant) or `failed`.
"""

from __future__ import annotations

import argparse
import os

from device_agent.cli.parser import add_config

HELP = "check a configuration file, the disk, and with --online the queues"
EXAMPLE = """
device-agent check --config agent.toml
device-agent check --config agent.toml --online
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config(parser)
    parser.add_argument("--online", action="store_true", help="also ask each queue, with the agent's credentials")


def run(args: argparse.Namespace) -> int:
    """Print the summary and the findings; 1 if the agent could not run like this."""
    from device_agent import configfile  # noqa: PLC0415  # not for --help
    from device_agent.cli import findings, summary  # noqa: PLC0415

    config = configfile.load(args.config, environ=os.environ)
    print(f"{args.config}: valid\n")
    print("\n".join(summary.lines(config)), end="\n\n")
    found = [*findings.local(config), *(findings.online(config) if args.online else ())]
    for finding in found:
        print(f"{finding.verdict:<7}  {finding.text}")
    return 1 if any(finding.verdict == "failed" for finding in found) else 0
