"""Programs that send numbered messages to an agent, straight or through a broker, and know what was accepted.

A message is `<sender>.<number>.<attempt>` and its filling. What was not accepted is sent again as another attempt: so two readings with the
same bytes are one message that came twice, and not a program that was careful.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

#: Seconds between attempts while the other side is away.
PAUSE: Final = 0.05


class Program(ABC):
    """Several senders, each of which sends one after the other."""

    #: How many senders there are.
    senders = 1
    #: Messages that a sender has sent before it waits for the answers.
    chunk = 1

    def __init__(self, *, size: int = 100) -> None:
        """`size` is in bytes of a message."""
        self._size = size
        self._numbers = [0] * self.senders
        self._lock = threading.Lock()
        self._ended = False
        self.sent: set[str] = set()
        self.accepted: list[str] = []

    def send(self, count: int) -> None:
        """Send `count` more; return when all are accepted."""
        with ThreadPoolExecutor(self.senders) as pool:
            each = [count // self.senders + (number < count % self.senders) for number in range(self.senders)]
            for one in [pool.submit(self._series, sender, share) for sender, share in enumerate(each)]:
                one.result()

    def _series(self, sender: int, count: int) -> None:
        while count > 0 and not self._ended:
            several = min(self.chunk, count)
            self._until_taken(sender, several)
            count -= several

    def _until_taken(self, sender: int, count: int) -> None:
        """Send a chunk; what of it was not accepted once more, in its order, until all is."""
        first = self._numbers[sender] + 1
        self._numbers[sender] += count
        left, attempt, pause = list(range(first, first + count)), 0, threading.Event()
        while left and not self._ended:
            attempt += 1
            texts = [f"{sender}.{number}.{attempt}".ljust(self._size, "x") for number in left]
            with self._lock:
                self.sent |= set(texts)
            taken = self.put(sender, texts)
            with self._lock:
                self.accepted += texts[:taken]
            left = left[taken:]
            if left:
                pause.wait(PAUSE)

    @abstractmethod
    def put(self, sender: int, texts: Sequence[str]) -> int:
        """Send, and return how many of them, from the first on, were accepted; those behind are sent again."""

    def close(self) -> None:
        """Send nothing more."""
        self._ended = True


def taken(put: Callable[[str], bool], texts: Sequence[str]) -> int:
    """Send one after the other until one is not accepted."""
    for number, text in enumerate(texts):
        if not put(text):
            return number
    return len(texts)
