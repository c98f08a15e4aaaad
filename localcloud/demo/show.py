"""What the demo shows: set-up, story, books and a question in SQL, on the terminal."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from localcloud import athena, brokers
from localcloud.cloud import LocalCloud
from localcloud.demo import story
from localcloud.demo.board import Board
from localcloud.deploy import DeployError
from localcloud.interrupts import Interrupts
from localcloud.ministack import StartError
from localcloud.processes import ProcessError

_SQL = """\
SELECT stream, topic, count(*) AS readings,
       substr(min(received), 12, 8) AS first, substr(max(received), 12, 8) AS last
FROM readings
WHERE stream IN ('telemetry', 'events')
GROUP BY stream, topic
ORDER BY stream, topic"""

_LEGEND = """\
* again: sent once more, after no answer in time or a refusal; was the
  first try on disk, the reading is in the lake twice. lost: PUSH and
  PUB are never acknowledged; what was sent while nobody listened, or
  was not yet on disk at the kill, is gone.
"""

_console = Console(highlight=False)


def run(seconds: float, interrupts: Interrupts) -> int:
    """Set up, play, show; 1 if the books do not balance or something did not start.

    Raises:
        KeyboardInterrupt: somebody wanted it to end; everything is stopped and removed.
    """
    folder = Path(tempfile.mkdtemp(prefix="device-agent-demo-"))
    keep = False
    try:
        result = _play(folder, seconds, interrupts)
        keep = not result.balanced
    except (ProcessError, StartError, DeployError) as error:
        keep = True
        _say(str(error))
        return 1
    finally:
        if keep:
            _say(f"logs and spool are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if result.balanced else 1


def _play(folder: Path, seconds: float, interrupts: Interrupts) -> story.Result:
    began, say = time.monotonic(), interrupts.checked(_say)
    with ExitStack() as stack:
        cloud = stack.enter_context(LocalCloud.start(progress=say))
        broker = stack.enter_context(brokers.named("mqtt", folder / "broker"))
        device = f"demo-{secrets.token_hex(2)}"
        board = stack.enter_context(Board(folder=folder, cloud=cloud, device=device, broker=broker))
        try:
            say(f"set up in {time.monotonic() - began:.0f} s; device {board.device}")
            result = story.play(cloud, board, seconds=seconds, say=say, waits=interrupts.arm)
            _show(result)
            _ask(cloud)
        except KeyboardInterrupt:
            _say("interrupted: stopping agent, programs and cloud")
            raise
        finally:
            interrupts.disarm()
        return result


def _say(line: str) -> None:
    _console.print(line, markup=False, soft_wrap=True)


def _table(title: str | None = None) -> Table:
    """Return a table without frame, so that it fits 80 columns."""
    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def _show(result: story.Result) -> None:
    programs = _table(title="What the programs sent")
    for column in ("program", "stream"):
        programs.add_column(column)
    for column in ("sent", "again*", "acked", "in lake", "doubled", "missing", "lost*"):
        programs.add_column(column, justify="right")
    for row in result.balances:
        numbers = (row.sent, row.again, row.acknowledged, row.received, row.doubled, row.missing, row.unacknowledged)
        programs.add_row(row.program, row.stream, *("-" if number is None else f"{number:,}" for number in numbers))
    programs.caption = _LEGEND
    _console.print(programs)
    streams = _table(title="The books")
    streams.add_column("stream")
    for column in ("on disk", "in lake", "missing", "applied to state up to"):
        streams.add_column(column, justify="right")
    for name, last in result.committed.items():
        applied = f"{result.applied:,}" if name == "events" else "-"
        streams.add_row(name, f"{last:,}", f"{last - result.missing[name]:,}", f"{result.missing[name]:,}", applied)
    _console.print(streams)
    for fault in result.faults:
        _say(f"WRONG: {fault}")
    if result.balanced:
        _say("The books balance: nothing acknowledged is missing or doubled, and FIFO order held.")


def _ask(cloud: LocalCloud) -> None:
    _say(f"\nSQL over the lake:\n\n{_SQL}\n")
    columns, rows = athena.query(cloud, _SQL)
    table = _table()
    for column in columns:
        table.add_column(column, justify="right" if column == "readings" else "left")
    for row in rows:
        table.add_row(*(value or "" for value in row))
    _console.print(table)
