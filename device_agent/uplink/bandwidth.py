"""Token bucket: the cap on the bandwidth, for all streams together.

Promises: over any stretch of time at most `rate` bytes a second, plus one request. How: a request is sent when the bucket is not in debt,
and may put it into debt; so a message larger than a second's worth still goes, and the next one waits.
"""

from __future__ import annotations

from typing import Final

#: HTTP headers, the signature and TLS of one request and its answer; measured 1.6 kB with boto3 over HTTPS.
OVERHEAD: Final = 1600


class Bandwidth:
    """Bytes a second; a `rate` of 0 caps nothing. Not safe between threads: the scheduler's lock guards it."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._tokens = 0.0
        self._at = float("-inf")

    def delay(self, now: float) -> float:
        """Return the seconds until something may be sent; 0 if now."""
        if not self._rate:
            return 0.0
        self._fill(now)
        return max(0.0, -self._tokens / self._rate)

    def share(self, most: int) -> int:
        """Return how large a request should be at most: a second's worth, so that streams take turns."""
        return min(most, self._rate) if self._rate else most

    def spend(self, size: int, now: float) -> None:
        """Take the bytes of a request that is about to be sent."""
        if self._rate:
            self._fill(now)
            self._tokens -= size + OVERHEAD

    def _fill(self, now: float) -> None:
        # nothing is saved up: after a silence the first request goes at once, the second waits for the first
        self._tokens = min(0.0, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
