"""Closer: one line's claims are looked at, their keys decided, and what is data is folded.

Each line of `close` is a transition of `docs/models/closing.py`. Safe at any crash point, when repeated, and when two are at it at once:
voids are create-only, and a part is written only over the version that was read.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from device_agent.wire import ledger as keys
from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges
from lambdas.closing import parts
from lambdas.closing.ports import Ledger, Listing
from lambdas.landing.ports import Claim, Commit, Lake, NotNow, Unknown

#: Times that a line is begun again because another close-day wrote it meanwhile. Two at once need one; more than that is a storm.
_ATTEMPTS = 4


@dataclass(slots=True)
class Closed:
    """What closing a line came to."""

    folded: int = 0  # readings
    claims: int = 0  # that were folded
    voided: int = 0  # keys
    pending: int = 0  # claims whose key is void: their messages may yet come back, or lie in a dead-letter queue
    undecided: int = 0  # claims whose key is neither, and should be


@dataclass(frozen=True, slots=True, kw_only=True)
class Closer:
    """Closes lines; safe from several threads. `now` is seconds since 1970."""

    ledger: Ledger
    lake: Lake
    listing: Listing
    now: Callable[[], float]

    def close(self, line: Line, *, through: str) -> Closed:
        """Decide and fold every claim of `line` whose key is of the UTC day `through` or earlier.

        Raises:
            NotNow, Unknown: the line is not closed; what was done is done, and repeating does the rest.
        """
        for _ in range(_ATTEMPTS):
            stored = self.ledger.parts(line)
            closed, found = self._look(line, parts.folded(stored), through)
            if all(self.ledger.write(line, part) for part in parts.grown(stored, found)):
                if closed.undecided:
                    raise NotNow("a key stays undecided")
                return closed
        raise NotNow("others keep writing the folded ranges")

    def _look(self, line: Line, known: Ranges, through: str) -> tuple[Closed, Ranges]:
        """Look at every claim that is not folded, claim by claim: a month of them is never in memory at once."""
        closed, found = Closed(), Ranges()
        for first, last in parts.spans(known):
            for claim in self.ledger.claims(line, first, last):
                stream, day, run = keys.split_lake_key(claim.key)
                if day > through or known.covers(claim.first, claim.last):
                    continue
                decided = self.listing.decided(stream, day, run)
                if decided is None and self.now() > claim.lease:
                    decided = self._void(claim, closed)
                if decided is Commit.DATA:
                    found.add(claim.first, claim.last)
                    closed.claims += 1
                    closed.folded += claim.count
                elif decided is Commit.VOID:
                    closed.pending += 1
                else:
                    closed.undecided += 1
        return closed, found

    def _void(self, claim: Claim, closed: Closed) -> Commit | None:
        """Void a key that is absent in the listing; it may have become data since, or void for another claim."""
        with suppress(Unknown):  # whether it was applied is seen by looking
            if self.lake.create(claim.key, keys.VOID, Commit.VOID):
                closed.voided += 1
                return Commit.VOID
        return self.lake.head(claim.key)
