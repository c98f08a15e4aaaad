"""Write a commented agent.toml for this board.

Proposes host name and four random characters as the device id, since every fresh Raspberry Pi is called `raspberrypi`. Queue URLs and
region come from the options, or from the outputs of the deployed stack. On a terminal it asks for what is missing; elsewhere it fills in
examples and says so. An existing file is never overwritten without --force.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from device_agent.configfile import hosts
from device_agent.errors import ConfigError

HELP = "write a commented agent.toml for this board"
EXAMPLE = """
cdk deploy --all --outputs-file outputs.json
device-agent init --outputs outputs.json --output agent.toml
device-agent check --config agent.toml
"""

_SPOOL: Final = "/var/lib/device-agent"
#: No 0, 1, l or o: ids are read aloud and typed from labels.
_LETTERS: Final = "23456789abcdefghijkmnpqrstuvwxyz"
_ACCOUNT: Final = "123456789012"  # the account of AWS's own examples


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--device", metavar="ID", help="device id, unique in the fleet (default: host name and 4 random characters)")
    parser.add_argument("--region", help="AWS region (default: of the queues, else AWS_REGION)")
    parser.add_argument("--telemetry-queue", metavar="URL", help="URL of the standard queue for telemetry")
    parser.add_argument("--events-queue", metavar="URL", help="URL of the FIFO queue for events")
    parser.add_argument(
        "--outputs", type=Path, metavar="FILE", help="queue URLs and region from the JSON of `cdk deploy --outputs-file FILE`"
    )
    parser.add_argument("--endpoint-url", metavar="URL", help="another SQS endpoint, for the local cloud or a VPC endpoint")
    parser.add_argument("--spool", default=_SPOOL, metavar="DIR", help=f"where the log on disk lives (default: {_SPOOL})")
    parser.add_argument(
        "--output", type=Path, default=Path("agent.toml"), metavar="FILE", help="file to write, - for standard output (default: agent.toml)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")


def run(args: argparse.Namespace) -> int:
    """Collect the values, render, check, write."""
    from device_agent import configfile  # noqa: PLC0415  # not for --help
    from device_agent.cli import sample  # noqa: PLC0415
    from device_agent.cli.outputs import read_outputs  # noqa: PLC0415

    to_stdout = str(args.output) == "-"
    if not to_stdout and args.output.exists() and not args.force:
        raise ConfigError(f"{args.output}: exists already; choose another --output, or overwrite it with --force")
    found = read_outputs(args.outputs, needed={"TelemetryQueueUrl", "EventsQueueUrl"}) if args.outputs else {}
    values, examples = _values(args, found, ask=sys.stdin.isatty() and not to_stdout)
    text = sample.render(values)
    configfile.loads(text, "the options", environ={})
    if to_stdout:
        print(text, end="")
    else:
        _write(args.output, text, force=args.force)
        print(f"{args.output}: written for device {values['device']['id']}; test it with `device-agent check --config {args.output}`")
    if examples:
        print("the queue URLs in it are examples: change them, or pass --outputs or --telemetry-queue and --events-queue", file=sys.stderr)
    return 0


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write the file; without `force` also a file that appeared meanwhile is kept."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: exists already; choose another --output, or overwrite it with --force") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def _values(args: argparse.Namespace, found: dict[str, str], *, ask: bool) -> tuple[dict[str, Any], bool]:
    """Return the values of the file, and whether a queue URL in it is an example that nobody chose."""
    device = args.device or _ask("device id, unique in the fleet", propose_device(platform.node()), ask=ask)
    telemetry = args.telemetry_queue or found.get("TelemetryQueueUrl", "")
    events = args.events_queue or found.get("EventsQueueUrl", "")
    region = args.region or found.get("Region") or region_of(telemetry) or region_of(events) or os.environ.get("AWS_REGION", "")
    if not region:
        region = _ask("AWS region", os.environ.get("AWS_DEFAULT_REGION", "us-east-1"), ask=ask)
    proposed = tuple(f"https://sqs.{region}.amazonaws.com/{_ACCOUNT}/{name}" for name in ("telemetry", "events.fifo"))
    given = (telemetry, events)
    telemetry = telemetry or _ask("URL of the standard queue for telemetry", proposed[0], ask=ask)
    events = events or _ask("URL of the FIFO queue for events", proposed[1], ask=ask)
    examples = any(queue in proposed and not before for queue, before in zip((telemetry, events), given, strict=True))
    aws = {"region": region} | ({"endpoint_url": args.endpoint_url} if args.endpoint_url else {})
    return board(device=device, aws=aws, spool=args.spool, telemetry=telemetry, events=events), examples


def board(*, device: str, aws: dict[str, str], spool: str, telemetry: str, events: str) -> dict[str, Any]:
    """Return the values of a file with an input of each usual kind; `sample.render` writes it."""
    return {
        "device": {"id": device},
        "aws": aws,
        "spool": {"directory": spool},
        "input": [
            {"name": "sensors", "pattern": "pull", "stream": "telemetry", "bind": ["tcp://127.0.0.1:5555"], "topic": "first-frame"},
            {"name": "topics", "pattern": "sub", "stream": "telemetry", "bind": ["tcp://127.0.0.1:5556"], "topic": "first-frame"},
            {"name": "orders", "pattern": "rep", "stream": "events", "bind": ["tcp://127.0.0.1:5557"]},
            {"name": "pipeline", "pattern": "router", "stream": "events", "bind": ["tcp://127.0.0.1:5558"], "message_id": "first-frame"},
        ],
        "stream": [
            {"name": "telemetry", "queue": telemetry},
            {"name": "events", "queue": events, "linger": "0s"},
        ],
    }


def propose_device(host: str) -> str:
    """Return the host name, as far as a device id may hold it, with 4 random characters."""
    import secrets  # noqa: PLC0415  # brings OpenSSL: not for --help

    name = re.sub(r"[^A-Za-z0-9_-]+", "-", host.partition(".")[0]).strip("-_")[:60] or "board"
    return f"{name}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"


def region_of(queue: str) -> str:
    """Return the region in a queue's URL, empty where it has none (the local cloud's)."""
    try:
        return hosts.region_of(urlsplit(queue).hostname or "")
    except ValueError:
        return ""  # no URL: reading what is written says so


def _ask(question: str, proposal: str, *, ask: bool) -> str:
    if not ask:
        return proposal
    try:
        return input(f"{question} [{proposal}]: ").strip() or proposal
    except EOFError:
        return proposal
