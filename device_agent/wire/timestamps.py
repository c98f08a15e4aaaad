"""Times of envelopes: microseconds since 1970 UTC in memory, RFC 3339 text on the wire. Nothing but `EnvelopeError` is raised."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from device_agent.wire.errors import EnvelopeError
from device_agent.wire.limits import MAX_TIME

_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def rfc3339(time: int) -> str:
    """Microseconds since 1970 UTC as RFC 3339 text with six decimals, `2026-01-31T12:00:00.000000Z`."""
    return (_EPOCH_START + timedelta(microseconds=time)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def microseconds(text: str) -> int:
    """Inverse of `rfc3339`; any RFC 3339 offset, at most six decimals.

    Raises:
        EnvelopeError: not a time, or outside the years 1970 to 9999.
    """
    if not _TIME.fullmatch(text):  # fromisoformat takes more than RFC 3339, and every Python more than the last
        raise EnvelopeError("time is not an RFC 3339 time with an offset")
    try:
        moment = datetime.fromisoformat(text)
        time = (moment - _EPOCH_START) // timedelta(microseconds=1)
    except (ValueError, TypeError, OverflowError):
        raise EnvelopeError("time is not an RFC 3339 time with an offset") from None
    if not 0 <= time <= MAX_TIME:
        raise EnvelopeError("time is outside the years 1970 to 9999")
    return time
