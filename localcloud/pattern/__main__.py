"""A pattern of examples/patterns, from the programs to the lake: `make pattern NAME=survey`, or without a name the list of them."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from localcloud.brokers import MissingError
from localcloud.cloud import LocalCloud
from localcloud.demo import books
from localcloud.deploy import DeployError
from localcloud.ministack import StartError
from localcloud.pattern import scene
from localcloud.pattern.play import play
from localcloud.processes import ProcessError

_console = Console(highlight=False)


def main() -> int:
    """Play and show; 1 if it did not come to its end, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m localcloud.pattern", description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="which; nothing: list them")
    name = parser.parse_args().name
    if not name:
        _list()
        return 0
    if name not in scene.names():
        parser.error(f"there is no pattern {name!r}; there are: {', '.join(scene.names())}")
    try:
        return _play(scene.Scene.read(name))
    except (MissingError, ProcessError, StartError, DeployError) as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted: everything is stopped")
        return 130


def _play(one: scene.Scene) -> int:
    _say(f"{one.title}: {one.patterns}\n\n{one.picture}\n")
    with tempfile.TemporaryDirectory(prefix="device-agent-pattern-") as folder, LocalCloud.start(progress=_say) as cloud:
        rows = play(one, cloud, Path(folder), device=f"{one.name}-{secrets.token_hex(2)}", say=_say)
    _show(rows)
    return 0


def _show(rows: list[books.Row]) -> None:
    table = Table(title="What reached the lake", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column, justify in (("stream", "left"), ("seq", "right"), ("topic", "left"), ("data", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(row.stream, str(row.seq), row.topic, row.data)
    _console.print(table)


def _list() -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("name", "what", "Enterprise Integration Patterns"):
        table.add_column(column)
    for name in scene.names():
        one = scene.Scene.read(name)
        table.add_row(name, one.title, one.patterns)
    _console.print(table)
    _say("make pattern NAME=<name> plays one")


def _say(line: str) -> None:
    _console.print(line, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
