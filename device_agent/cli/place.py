"""Place: the arguments by which commands find a spool on this machine: the agent's configuration, or its directory."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device_agent.cli.parser import DEFAULT_CONFIG

if TYPE_CHECKING:
    from device_agent.config import Config


@dataclass(frozen=True, slots=True)
class Place:
    """A spool's directory, and the configuration where one was read."""

    directory: str
    config: Config | None

    @property
    def device(self) -> str | None:
        """Device id; None if no configuration was read."""
        return self.config.device.id if self.config else None


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add `--config` and `--directory`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"configuration file (default: {DEFAULT_CONFIG})")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="spool directory (default: spool.directory of the configuration)")


def find(args: argparse.Namespace) -> Place:
    """Return where the spool is; with --directory alone no configuration is needed.

    Raises:
        ConfigError: the configuration cannot be read, or holds mistakes.
    """
    from device_agent import configfile  # noqa: PLC0415  # not for --help

    if args.directory and not args.config:
        return Place(str(args.directory), None)
    config = configfile.load(args.config or DEFAULT_CONFIG, environ=os.environ)
    return Place(str(args.directory or config.spool.directory), config)
