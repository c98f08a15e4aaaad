"""Run the agent in the foreground, as a service manager expects it.

SIGTERM or Ctrl-C stops it in order: it reads what ZeroMQ still holds, commits that, and sends for a bounded time. A second signal exits
at once and loses nothing that was acknowledged. SIGHUP reads the configuration again; one with mistakes is refused and the old one stays.
"""

from __future__ import annotations

import argparse

from device_agent.cli.parser import add_config

HELP = "run the agent in the foreground"
EXAMPLE = "device-agent run --config agent.toml"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run until a signal."""
    from device_agent import daemon  # noqa: PLC0415  # brings zmq and boto3: not for --help

    return daemon.run(args.config)
