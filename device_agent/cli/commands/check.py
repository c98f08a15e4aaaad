"""Check a configuration: read it, show what was understood, and look at the disk and the key files.

With --online each queue is asked, with the credentials that the agent would use, and the other side of each input that is not ZeroMQ is
tried. Nothing is changed, no message is taken, and only `poll` inputs send something: their question, once. A running agent is not
disturbed. Lines begin with `ok`, `warning` (it will run, but perhaps not as meant), `failed` (something has to be changed) or `away` (a
queue or an input's other side does not answer now: the network, or the service). Exit code 2 if something failed, 1 if something was only
away.
"""

from __future__ import annotations

import argparse
import os

from device_agent.cli.parser import add_config

HELP = "check a configuration file, the disk, and with --online the queues and inputs"
EXAMPLE = """
device-agent check --config agent.toml
device-agent check --config agent.toml --online
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config(parser)
    parser.add_argument(
        "--online", action="store_true", help="also ask each queue, with the agent's credentials, and try each input that is not ZeroMQ"
    )


def run(args: argparse.Namespace) -> int:
    """Print the summary and the findings; 2 if the agent could not run like this, 1 if somebody does not answer."""
    from device_agent import configfile  # noqa: PLC0415  # not for --help
    from device_agent.cli import findings, summary  # noqa: PLC0415

    loaded = configfile.read(args.config, environ=os.environ)
    with loaded.places.placed():
        understood = list(summary.lines(loaded.config))
    print(f"{args.config}: valid\n")
    print("\n".join(understood), end="\n\n")
    found = [*findings.local(loaded), *(findings.online(loaded) if args.online else ())]
    for finding in found:
        print(f"{finding.verdict:<7}  {finding.text}")
    verdicts = {finding.verdict for finding in found}
    return 2 if "failed" in verdicts else 1 if "away" in verdicts else 0
