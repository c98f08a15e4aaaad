"""Send readings to an input of the agent on this machine, through an ordinary ZeroMQ socket of the right kind.

Readings are the arguments, or the lines of standard input. `rep` and `router` inputs answer each when it is on disk: the answers go to
standard output, a line each. `pull` and `sub` inputs acknowledge nothing. Exit code 1 if a reading was refused or nobody took it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from device_agent.cli.parser import add_config
from device_agent.errors import ConfigError

if TYPE_CHECKING:
    from device_agent.config import Config, InputConfig

HELP = "send readings to an input of the running agent"
EXAMPLE = """
device-agent send --config agent.toml --input orders '{"order": 1}'
echo '{"t": 21.5}' | device-agent send --config agent.toml --input sensors
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config(parser)
    parser.add_argument("--input", required=True, metavar="NAME", help="name of the input")
    parser.add_argument("--topic", help="first frame of each reading")
    parser.add_argument("--endpoint", default="", help="where to connect (default: what the input binds)")
    parser.add_argument("--key", type=Path, metavar="FILE", help="this client's CURVE secret key, if the input is encrypted")
    parser.add_argument("--timeout", type=_seconds, default=10.0, metavar="DURATION", help="how long one reading may take (default: 10s)")
    parser.add_argument("readings", nargs="*", metavar="READING", help="readings; default: the lines of standard input")


def _seconds(text: str) -> float:
    from device_agent.config import Unit  # noqa: PLC0415  # not for --help
    from device_agent.configfile import units  # noqa: PLC0415

    try:
        seconds = units.parse(text, Unit.DURATION)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("must be above 0 and at most 1h")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Send all; print the replies."""
    from device_agent import configfile  # noqa: PLC0415  # not for --help
    from device_agent.intake import client  # noqa: PLC0415  # brings zmq

    source = _input(configfile.load(args.config, environ=os.environ), args.input)
    counter = itertools.count()
    readings = (reading for reading, _ in zip(_readings(args), counter, strict=False))
    refused = 0
    for reply in client.send(source, readings, endpoint=args.endpoint, topic=args.topic, key=args.key, timeout=args.timeout):
        print(reply.decode("utf-8", "backslashreplace"), flush=True)
        refused += _is_refusal(reply)
    if not source.pattern.acknowledges:
        print(f"handed over: {next(counter)}; a {source.pattern.value} input acknowledges nothing", file=sys.stderr)
    return 1 if refused else 0


def _readings(args: argparse.Namespace) -> Iterator[bytes]:
    if args.readings:
        yield from (os.fsencode(reading) for reading in args.readings)
    else:
        yield from (line.rstrip(b"\r\n") for line in sys.stdin.buffer)


def _input(config: Config, name: str) -> InputConfig:
    from device_agent.config import ZEROMQ  # noqa: PLC0415  # not for --help

    zeromq = [source for source in config.inlets if source.kind == ZEROMQ]
    for source in zeromq:
        if source.name == name:
            return source
    raise ConfigError(f"no ZeroMQ [[input]] has the name {name!r}; there are: {', '.join(source.name for source in zeromq) or 'none'}")


def _is_refusal(reply: bytes) -> bool:
    import json  # noqa: PLC0415  # not for --help

    try:
        answer = json.loads(reply)
    except ValueError:
        return False  # the fixed text of the user's choice
    return isinstance(answer, dict) and answer.get("ok") is False
