"""At the cap with `when_full = "drop-oldest"`: which segment gives way.

Promises: whole segments only, never one of which an envelope is in flight, never the one that is written; the numbers that go, and the
notices that stood among them, are owed notices before anything is deleted. The last segment of a former log gives way once a small one for
these notices follows it.
"""

from __future__ import annotations

from device_agent.spool import segment as segments
from device_agent.spool.budget import PAGE
from device_agent.spool.files import Files
from device_agent.spool.index import Free
from device_agent.spool.log import Log
from device_agent.spool.segment import Segment
from device_agent.spool.state import Owed

_Reasons = dict[tuple[int, int], tuple[str, str]]


def sacrifice(log: Log, files: Files) -> bool:
    """Give up the oldest segment with envelopes that nobody has; False if there is none that would make room. Raises OSError."""
    with log.lock:
        victims = [one for one in log.state.segments[:-1] if not one.dead and not one.flying]
    for segment in victims:
        if segment.free is None or segment.entries is None:
            log.load(segment)
        with log.lock:
            notices = [entry for entry in segment.entries or () if entry.notice]
        reasons = {(entry.first, entry.last): segments.reason(files, segment.path, entry.position) for entry in notices}
        with log.lock:
            if _give_up(log, segment, reasons):
                return True
    return False


def ends_in_readings(log: Log, following: int) -> bool:
    """Whether the last segment of a log holds readings that nobody has, and is not small; `following`: the number after its last."""
    with log.lock:
        last = log.state.segments[-1]
        undelivered = following > last.base and any(log.state.settled.missing(last.base, following - 1))
        return undelivered and not last.flying and last.allocated > 2 * PAGE


def _give_up(log: Log, segment: Segment, reasons: _Reasons) -> bool:
    """Settle what is left in a segment and owe the notices. Under the log's lock."""
    state, following = log.state, log.state.following(segment)
    if segment.dead or segment.flying or following is None or following.base == segment.base:
        return False
    missing = list(state.settled.missing(segment.base, following.base - 1))
    if not missing:
        return False  # only notices: they would take as much room elsewhere
    for first, last in missing:
        state.settled.add(first, last)
        state.owed.append(Owed(first, last, "dropped", "the oldest gave way: the spool was full"))
    for (first, last), (reason, detail) in reasons.items():
        if (first, last) not in state.told:
            state.owed.append(Owed(first, last, reason, detail, again=True))
    segment.free, segment.untold, segment.dead = Free(), 0, True
    return True
