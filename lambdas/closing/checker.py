"""Checker: one line's gaps that stay, claims that stay undecided, and folding that is behind. Only reads.

How old is a gap? As old as the news of a later number: the numbers below the highest one that was known `patience` seconds ago should
have come by now. When a claim came is known from its time to live; what is folded is older than any patience.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from device_agent.wire import ledger as keys
from device_agent.wire.books import Facts, count, settle, without
from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges
from lambdas.closing import parts
from lambdas.closing.ports import Ledger, Listing
from lambdas.landing.batch import CLAIM_DAYS
from lambdas.landing.ports import Claim, Commit

#: A gap of a stream that has been silent for so long is no news, unless it was claimed: nothing that SQS still holds can fill it (its
#: longest retention).
SILENT_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is wrong with a line: readings missing for too long, age of the oldest undecided claim, and how far folding is behind."""

    gaps: int = 0
    pending_seconds: int = 0
    behind_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """Checks lines; safe from several threads. `now` is seconds since 1970, `patience` seconds."""

    ledger: Ledger
    listing: Listing
    now: Callable[[], float]
    patience: int

    def check(self, line: Line) -> Checked:
        """Look at a line.

        Raises:
            NotNow: ledger or lake does not answer.
        """
        look = _Look(self, line)
        look.at_claims()
        if any(look.missing()):  # seemingly: few lines get so far
            look.at_notices()
            newest = self.ledger.newest(line)
            silent = newest is None or claimed_at(newest) < self.now() - SILENT_DAYS * 86_400
            look.gaps = count(look.lost() if silent else look.missing())
        return Checked(gaps=look.gaps, pending_seconds=int(look.pending), behind_days=look.behind)


class _Look:
    """What is learned of a line while its claims and notices pass, one by one."""

    def __init__(self, checker: Checker, line: Line) -> None:
        self._checker = checker
        self._line = line
        self._now = checker.now()
        self._patient = self._now - checker.patience
        self._facts = Facts(received=parts.folded(checker.ledger.parts(line)))
        self._due = max((last for _, last in self._facts.received), default=0)  # the highest number that was known `patience` ago
        self.gaps = 0
        self.pending = 0.0
        self.behind = 0

    def at_claims(self) -> None:
        for first, last in parts.spans(self._facts.received):
            for claim in self._checker.ledger.claims(self._line, first, last):
                self._facts.claimed.add(claim.first, claim.last)
                if claimed_at(claim) <= self._patient:
                    self._due = max(self._due, claim.last)
                if self._now > claim.lease and not self._facts.received.covers(claim.first, claim.last):
                    self._at_object(claim)
        self._facts.claimed = without(self._facts.claimed, self._facts.lost)

    def _at_object(self, claim: Claim) -> None:
        stream, day, run = keys.split_lake_key(claim.key)
        if self._checker.listing.decided(stream, day, run) is Commit.DATA:
            self.behind = max(self.behind, _days(day, self._now) - 1)  # yesterday is closed tonight
        elif claimed_at(claim) < self._now - keys.LOST_DAYS * 86_400:
            self._facts.lost.add(claim.first, claim.last)
        else:
            self.pending = max(self.pending, self._now - claimed_at(claim))

    def at_notices(self) -> None:
        for told in self._checker.ledger.notices(self._line):
            self._facts.noticed[told.reason].add(told.first, told.last)
            if told.arrived <= self._patient:
                self._due = max(self._due, told.last)

    def missing(self) -> Iterator[tuple[int, int]]:
        """Yield what is missing of all that is due."""
        for first, last in settle(self._line, self._facts).missing:
            if first <= self._due:
                yield first, min(last, self._due)

    def lost(self) -> Iterator[tuple[int, int]]:
        """Yield what of that was claimed, and no message is left for."""
        explained = without(self._facts.lost, Ranges(self.missing()))
        yield from without(self._facts.lost, explained)


def claimed_at(claim: Claim) -> int:
    """Return when a claim was entered, or moved, in seconds since 1970."""
    return claim.expires - CLAIM_DAYS * 86_400


def _days(day: str, now: float) -> int:
    """Days from a UTC day to today; yesterday is 1."""
    return (datetime.fromtimestamp(now, tz=UTC).date() - date.fromisoformat(day)).days
