"""Look into the log on disk, check it, take readings out, mend its end.

`ls` shows what is there, `verify` reads every byte and decodes every reading: exit code 1 if something is damaged, with what, where and
what to do. `cat` prints readings as JSON lines with the columns of the lake, delivered ones that are still on disk included; `export`
writes the same to a file. All four only read and may run beside the agent. `repair` cuts off what a crash left half-written, as the next
start of the agent would, and refuses while an agent runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agent.cli.place import Place, add_place, find
from device_agent.errors import ConfigError

if TYPE_CHECKING:
    from device_agent.cli.progress import Progress
    from device_agent.spool.tools import Listed

HELP = "look into the log on disk: list, verify, print, export, repair"
EXAMPLE = """
device-agent spool ls --config agent.toml
device-agent spool verify --config agent.toml
device-agent spool cat --config agent.toml --stream telemetry --first 100 --last 120
device-agent spool export --config agent.toml --output readings.ndjson
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "action", choices=["ls", "verify", "cat", "export", "repair"], metavar="{ls,verify,cat,export,repair}", help="what to do"
    )
    add_place(parser)
    parser.add_argument("--stream", default="", metavar="NAME", help="ls, verify, cat, export: only this stream")
    parser.add_argument("--epoch", default="", metavar="EPOCH", help="cat, export: only this epoch")
    parser.add_argument("--first", type=_number, metavar="N", help="cat, export: from this sequence number on")
    parser.add_argument("--last", type=_number, metavar="N", help="cat, export: up to this sequence number")
    parser.add_argument("--segments", action="store_true", help="ls: a line for each file instead of each log")
    parser.add_argument("--json", action="store_true", help="ls, verify, repair: as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="export: where to (required)")
    parser.add_argument("--force", action="store_true", help="export: overwrite the file if it exists")


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("sequence numbers are whole numbers from 1")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Do it; 1 if `verify` finds damage, or `cat` and `export` something that cannot be read."""
    from device_agent.cli.progress import Progress  # noqa: PLC0415  # not for --help

    if (args.action == "export") != (args.output is not None):
        raise ConfigError("spool: `export` needs --output FILE, and only `export` takes it; `cat` prints")
    if (args.first or args.last) and not args.stream:
        raise ConfigError("spool: --first and --last number the readings of one stream; name it with --stream")
    place = find(args)
    actions = {"ls": _ls, "verify": _verify, "cat": _cat, "export": _export, "repair": _repair}
    with Progress(f"spool {args.action}") as progress:
        return actions[args.action](args, place, progress)


def _ls(args: argparse.Namespace, place: Place, progress: Progress) -> int:
    from device_agent.cli import spoolpage  # noqa: PLC0415  # not for --help
    from device_agent.spool import aside, tools  # noqa: PLC0415

    with progress:
        listed = tools.ls(place.directory, stream=args.stream, progress=progress)
    if args.json:
        _print_json(listed)
    else:
        print("\n".join(spoolpage.lines(listed, segments=args.segments)))
        aside_too = len(aside.kept(place.directory))
        if aside_too:
            print(f"\n{aside_too:,} in quarantine: `device-agent quarantine ls`")
    return 0


def _verify(args: argparse.Namespace, place: Place, progress: Progress) -> int:
    from device_agent.cli import spoolpage  # noqa: PLC0415  # not for --help
    from device_agent.spool import tools  # noqa: PLC0415

    with progress:
        listed = tools.verify(place.directory, stream=args.stream, progress=progress)
    if args.json:
        _print_json(listed)
    else:
        print("\n".join(spoolpage.findings(listed)))
    return 1 if any(one.problems for one in listed) else 0


def _print_json(listed: list[Listed]) -> None:
    from dataclasses import asdict  # noqa: PLC0415  # not for --help

    print(json.dumps([asdict(one) for one in listed], indent=1))


def _cat(args: argparse.Namespace, place: Place, progress: Progress) -> int:
    problems: list[str] = []
    for line in _lines(args, place, None if sys.stdout.isatty() else progress, problems):
        sys.stdout.write(line)
    return _told(problems)


def _lines(args: argparse.Namespace, place: Place, progress: Progress | None, problems: list[str]) -> Iterator[str]:
    """Yield the chosen readings, a line each."""
    from device_agent.cli import rows  # noqa: PLC0415  # not for --help
    from device_agent.spool import tools  # noqa: PLC0415
    from device_agent.spool.scan import UNKNOWN  # noqa: PLC0415

    readings = tools.cat(
        place.directory, args.stream, epoch=args.epoch, first=args.first or 1, last=args.last or UNKNOWN,
        problem=problems.append, progress=progress,
    )  # fmt: skip
    for one in readings:
        head: dict[str, Any] = {"device": place.device, "stream": one.stream, "epoch": one.epoch}
        found = rows.row(
            head, seq=one.seq, received=one.received, synced=one.synced, topic=one.topic, client=one.client, payload=one.payload
        )
        yield rows.line(found) + "\n"


def _told(problems: list[str]) -> int:
    for problem in problems:
        print(f"cannot be read: {problem}", file=sys.stderr)
    if problems:
        print("all other readings are there; `device-agent spool verify` says what to do", file=sys.stderr)
    return 1 if problems else 0


def _export(args: argparse.Namespace, place: Place, progress: Progress) -> int:
    """Write a file beside the wanted one first: what has the wanted name is whole."""
    path: Path = args.output
    if path.exists() and not args.force:
        raise ConfigError(f"{path}: exists already; choose another --output, or overwrite it with --force")
    part = path.with_name(f"{path.name}.part")
    problems: list[str] = []
    count = 0
    try:
        with part.open("w", encoding="ascii") as file, progress:
            for line in _lines(args, place, progress, problems):
                file.write(line)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    from device_agent.cli import spoolpage  # noqa: PLC0415  # not for --help

    print(f"{path}: {spoolpage.counted(count, 'reading')} written", file=sys.stderr)
    return _told(problems)


def _repair(args: argparse.Namespace, place: Place, progress: Progress) -> int:  # noqa: ARG001  # one shape for all actions
    from device_agent.spool import tools  # noqa: PLC0415  # not for --help

    done = tools.repair(place.directory)
    if args.json:
        print(json.dumps(done, indent=1))
    else:
        print("\n".join(done) if done else "nothing to repair: no log ends in a half-written record")
    return 0
