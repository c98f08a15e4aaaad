"""Signals of a command that has something to clean up: the first one interrupts, those that follow do not disturb the cleaning up.

Ctrl-C, SIGTERM and SIGHUP (the terminal was closed) are alike: agent and programs have sessions of their own and would go on for ever.
One that is ignored when the command starts (`nohup`, or `&` in a script) stays ignored. To be used in the main thread.

An exception that is raised while a destructor or a library's `except` runs is swallowed there. So a command also asks at each of its steps.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Armed from the beginning; the first signal raises KeyboardInterrupt and disarms."""

    def __init__(self) -> None:
        self._armed = True
        self._told = False
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._interrupt)

    def arm(self) -> None:
        """Let the next signal interrupt: the one before it was not the end."""
        self._armed, self._told = True, False

    def disarm(self) -> None:
        """Let none interrupt from here on: what comes is cleaning up, and quick."""
        self._armed = self._told = False

    def check(self) -> None:
        """Interrupt now if a signal came and nobody has noticed, unless an exception is on its way already."""
        if self._told and sys.exc_info()[0] is None:
            raise KeyboardInterrupt

    def checked(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Return `say` with a check before each line."""

        def checking(line: str) -> None:
            self.check()
            say(line)

        return checking

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed, self._told = False, True
            raise KeyboardInterrupt
