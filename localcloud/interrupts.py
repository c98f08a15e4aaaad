"""Signals of a command that has something to clean up: the first one interrupts, those that follow do not disturb the cleaning up.

Ctrl-C, SIGTERM and SIGHUP (the terminal was closed) are alike: agent and programs have sessions of their own and would go on for ever.
One that is ignored when the command starts (`nohup`, or `&` in a script) stays ignored. To be used in the main thread.
"""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Armed from the beginning; the first signal raises KeyboardInterrupt and disarms."""

    def __init__(self) -> None:
        self._armed = True
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._interrupt)

    def arm(self) -> None:
        """Let the next signal interrupt: the one before it was not the end."""
        self._armed = True

    def disarm(self) -> None:
        """Let none interrupt from here on: what comes is cleaning up, and quick."""
        self._armed = False

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt
