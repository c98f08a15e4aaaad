"""Seldom: what may come often is told at once, and then at most once a minute."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

#: Seconds between two log lines about the same thing: a program that makes a mistake makes it often.
SELDOM: Final = 60.0


class Seldom:
    """Decides what is told; for a bounded number of things."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._silent: dict[Hashable, float] = {}  # until when, monotonic

    def due(self, what: Hashable = None) -> bool:
        """Whether it is to be told now; a yes is taken for done."""
        now = self._monotonic()
        if now < self._silent.get(what, float("-inf")):
            return False
        self._silent[what] = now + SELDOM
        return True
