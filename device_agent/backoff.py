"""Back-off: capped, exponential, with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015)."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays between tries of one thing: a random part of `first` x 2^failures, at most `cap` seconds."""

    def __init__(self, *, first: float = 0.2, cap: float = 60.0, uniform: Callable[[float, float], float] = random.uniform) -> None:
        if not 0 < first <= cap:
            raise ValueError("back-off needs 0 < first <= cap, in seconds")
        self._first, self._cap, self._uniform = first, cap, uniform
        self.failures = 0

    def failed(self) -> float:
        """Count a failure and return the seconds to wait before the next try."""
        ceiling = min(self._cap, self._first * 2 ** min(self.failures, 62))
        self.failures += 1
        return self._uniform(0, ceiling)

    def succeeded(self) -> None:
        """Forget all failures."""
        self.failures = 0
