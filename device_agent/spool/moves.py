"""Moves: how often the spool was found on another board, or its board with another machine id. Kept in `moves.json`, for people only.

A changed machine id begins new epochs, since two boards with clones of one card must never share numbers. Once or twice that is right; at
every start it means that the image keeps no machine id, and each start costs an epoch.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from device_agent import events
from device_agent.spool.files import Files

_NAME: Final = "moves.json"
#: Starts in a row, each on another machine, from which on it is the image's fault.
TOO_MANY: Final = 3


class Moves(NamedTuple):
    """How often the machine changed."""

    total: int = 0
    in_a_row: int = 0  # at the last so many starts, without one between

    @property
    def wrong(self) -> bool:
        """Whether it changes at every start."""
        return self.in_a_row >= TOO_MANY


def note(files: Files, root: str, *, moved: bool) -> Moves:
    """Count this start, tell the log, and return the count. A file that cannot be read or written costs the count and nothing else."""
    before = _read(files, f"{root}/{_NAME}")
    now = Moves(before.total + moved, before.in_a_row + 1 if moved else 0)
    if now != before:
        try:
            _write(files, root, now)
        except OSError as error:
            events.moves_not_noted(error)
    if moved:
        events.machine_changed(now.total, now.in_a_row, wrong=now.wrong)
    return now


def _read(files: Files, path: str) -> Moves:
    try:
        fd = files.open(path)
        try:
            found = json.loads(files.pread(fd, 4096, 0))
        finally:
            files.close(fd)
        return Moves(max(0, int(found["total"])), max(0, int(found["in_a_row"])))
    except FileNotFoundError:
        return Moves()
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        events.moves_not_noted(error)
        return Moves()


def _write(files: Files, root: str, moves: Moves) -> None:
    path = f"{root}/{_NAME}"
    fd = files.open(f"{path}.new", create=True)
    try:
        files.truncate(fd, 0)
        files.pwrite(fd, json.dumps(moves._asdict()).encode(), 0)
        files.datasync(fd)
    finally:
        files.close(fd)
    files.rename(f"{path}.new", path)
    files.sync_directory(root)
