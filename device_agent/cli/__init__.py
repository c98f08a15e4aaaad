"""Command line: `device-agent <command>`. One module a command in `commands/`; a new file there is a new command.

Promises: exit code 0 good, 1 failed at run time, 2 wrong usage or configuration (and nothing was changed); messages for people on standard
error, results on standard output. `--help` is quick: commands import what they need when they run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from device_agent.cli.parser import make_parser
from device_agent.errors import ConfigError, DeviceAgentError, SpoolError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        args = make_parser(words).parse_args(words)
    except SystemExit as stop:  # argparse has said what is wrong, or shown help
        return stop.code if isinstance(stop.code, int) else 2
    return _guarded(args)


def _guarded(args: argparse.Namespace) -> int:
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except (ConfigError, SpoolError) as error:
        _say(error)
        return 2
    except BrokenPipeError:  # the reader of a pipe (`| head`) has seen enough; Python would complain again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (DeviceAgentError, OSError) as error:
        _say(error)
        return 1
    except KeyboardInterrupt:
        return 1
    return code


def _say(error: Exception) -> None:
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    print(f"device-agent: {text}" if "\n" not in text else text, file=sys.stderr)
