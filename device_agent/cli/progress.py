"""Progress: one line on a terminal for work that takes longer than two seconds; nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, Self, TextIO

_SILENT: Final = 2.0  # seconds before the first word
_EVERY: Final = 0.2  # seconds


class Progress:
    """A context manager; called with (bytes done, bytes of all). The line is gone at the end."""

    def __init__(self, what: str, *, stream: TextIO | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._what, self._stream, self._monotonic = what, stream or sys.stderr, monotonic
        self._next = monotonic() + _SILENT
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Say how far it is, if it is time to."""
        from device_agent.configfile import units  # noqa: PLC0415  # not for --help

        if not self._stream.isatty() or self._monotonic() < self._next:
            return
        self._next = self._monotonic() + _EVERY
        self._shown = True
        share = 100 * done // total if total else 100
        self._stream.write(f"\r{self._what}: {share} %, {units.roughly(done)} of {units.roughly(total)}\x1b[K")
        self._stream.flush()

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False
