"""Show how the running agent is doing, anew every second, with rates. q or Ctrl-C ends it.

Asks the agent as `status` does, so it needs the rights of the agent's user, or root. While no agent answers it says so and goes on asking.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from device_agent.cli.place import add_place, find
from device_agent.errors import ConfigError

HELP = "show how the running agent is doing, anew every second"
EXAMPLE = """
device-agent top --config agent.toml
ssh -t board-7 device-agent top
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_place(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and draw until somebody says stop."""
    directory = Path(find(args).directory)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("top: needs a terminal (with ssh: `ssh -t`); elsewhere use `device-agent status`")
    try:
        with _screen():
            _draw(directory)
    except KeyboardInterrupt:
        pass  # the usual way to leave, no failure
    return 0


def _draw(directory: Path) -> None:
    before: dict[str, Any] | None = None
    while True:
        before, page = _page(directory, before)
        size = shutil.get_terminal_size()
        shown = [line[: size.columns - 1] for line in page[: size.lines - 1]]
        sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\r\n" for line in shown) + "\x1b[J")
        sys.stdout.flush()
        if _stopped(1.0):
            return


def _page(directory: Path, before: dict[str, Any] | None) -> tuple[dict[str, Any] | None, list[str]]:
    from device_agent import status  # noqa: PLC0415  # not for --help
    from device_agent.cli import statuspage  # noqa: PLC0415

    foot = ["", time.strftime("%H:%M:%S, every second; q ends")]
    try:
        document = status.ask(directory)
    except status.NotRunning as error:
        return None, [str(error), *foot]
    earlier = before if before and before.get("pid") == document.get("pid") else document
    return document, [*statuspage.lines(document, now=time.time(), before=earlier), *foot]


@contextmanager
def _screen() -> Iterator[None]:
    """Give keys as they are pressed, and a screen of its own that is gone afterwards."""
    import termios  # noqa: PLC0415  # only where there is a terminal
    import tty  # noqa: PLC0415

    descriptor = sys.stdin.fileno()
    saved = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, saved)


def _stopped(seconds: float) -> bool:
    """Wait; True when q was pressed, or the terminal has gone."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0]:
            keys = os.read(sys.stdin.fileno(), 64)
            if not keys or b"q" in keys.lower():
                return True
    return False
