"""Clock offset: what time it really is, for signatures and credentials, on a board whose own clock is wrong.

Promises: as long as the wall clock is right to a minute it is used as it is. When it is not, the time comes from the last answer's `Date`
and runs on with the monotonic clock, so that a step of the wall clock (NTP at last) does no harm either. Before the package's build date
the wall clock is certainly wrong: then (and only then) TLS must not check the dates of certificates, see `http`.

SQS refuses signatures that are off by 5 to 15 minutes, and boto3 does not correct skew; boards without a real-time clock start in 1970.
Safe from every thread: the anchor is one tuple, replaced whole.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from device_agent import events
from device_agent.clock import Clock

#: When this version was made, microseconds since 1970 UTC: no clock that is right shows less. Moved up with each release.
BUILT: Final = 1_795_392_000_000_000  # 2026-11-23T00:00:00Z
#: A wall clock that is nearer than this to the server's is right enough to sign with; seconds.
_RIGHT: Final = 60.0
#: `Date` has whole seconds and an answer takes a while: differences below this do not move the anchor; seconds.
_NOISE: Final = 5.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ClockOffset:
    """Time as the servers see it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchor: tuple[float, float] | None = None  # (server's seconds since 1970, monotonic seconds at that moment)

    @property
    def blind(self) -> bool:
        """Whether the wall clock is certainly wrong, so that the dates of certificates mean nothing."""
        return self._clock.now() < BUILT

    def seconds(self) -> float:
        """Seconds since 1970 UTC, corrected."""
        anchor = self._anchor
        if anchor is None:
            return self._clock.now() / 1e6
        return anchor[0] + self._clock.monotonic() - anchor[1]

    def now(self) -> datetime:
        """The same as an aware time in UTC."""
        return _EPOCH + timedelta(seconds=self.seconds())

    def learn(self, date: str | None) -> None:
        """Take the `Date` of an answer into account; what is no date, or older than this program, is ignored."""
        server = _parse(date)
        if server is None:
            return
        wall = self._clock.now() / 1e6
        if abs(server - wall) <= _RIGHT:
            if self._anchor is not None:
                self._anchor = None
                events.clock_right()
        elif self._anchor is None or abs(server - self.seconds()) > _NOISE:
            self._anchor = (server, self._clock.monotonic())
            events.clock_wrong(offset=server - wall)


def _parse(date: str | None) -> float | None:
    if not date:
        return None
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return seconds if seconds * 1e6 >= BUILT else None
