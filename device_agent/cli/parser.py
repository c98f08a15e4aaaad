"""Parser: the argument parser of all commands, made from the modules in `commands/`."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, cast

from device_agent import __version__
from device_agent.cli import commands

DEFAULT_CONFIG: Final = Path("/etc/device-agent/agent.toml")
_DESCRIPTION: Final = "Takes ZeroMQ traffic on this board, keeps it on disk through power cuts and outages, and ships it to AWS SQS."
_EPILOG: Final = """\
exit codes: 0 good, 1 failed at run time, 2 wrong usage or configuration

example:
  device-agent init --output agent.toml
  device-agent check --config agent.toml
  device-agent run --config agent.toml
"""


class Formatter(argparse.HelpFormatter):
    """Fills paragraphs to the terminal's width, and leaves blocks with indented lines (examples) as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        wrap = textwrap.TextWrapper(width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        return "\n\n".join(block if "\n " in block else wrap.fill(block) for block in text.strip("\n").split("\n\n"))


class Command(Protocol):
    """What a module in `commands/` has; its name is the command's name."""

    __doc__: str | None
    HELP: str  # one line, for the list of commands
    EXAMPLE: str  # lines that work as written

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; return the exit code."""


def all_commands() -> Iterator[tuple[str, Command]]:
    """Yield (name, module) of each command, by name."""
    for module in pkgutil.iter_modules(commands.__path__):
        yield module.name, cast("Command", importlib.import_module(f"{commands.__name__}.{module.name}"))


def make_parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of `device-agent`; with `argv`, only the command that it names gets its arguments, which is quicker."""
    chosen = None if argv is None else next((word for word in argv if not word.startswith("-")), "")
    parser = argparse.ArgumentParser(
        prog="device-agent",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"device-agent {__version__}")
    choices = parser.add_subparsers(title="commands", metavar="<command>", required=True)
    for name, command in all_commands():
        sub = choices.add_parser(
            name,
            help=command.HELP,
            description=(command.__doc__ or "").strip(),
            epilog=f"example:\n{_indented(command.EXAMPLE)}\n",
            formatter_class=Formatter,
            allow_abbrev=False,
        )
        if chosen in {None, name}:
            command.configure(sub)
        sub.set_defaults(run=command.run)
    return parser


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, for commands that need the agent's configuration."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"configuration file (default: {DEFAULT_CONFIG})"
    )
