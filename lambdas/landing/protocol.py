"""Protocol: who may put an envelope, and whether it was put. Steps 4 to 6 of landing; pure decisions over two ports.

Each line below is a transition of `docs/models/landing.py`. Safety rests on the order of these calls and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from device_agent.wire.ledger import VOID
from lambdas.landing.ports import Claim, Commit, Lake, Ledger, NotNow, Unknown

#: Looks at a foreign key before a record is given up for this time: absent -> void -> taken over needs three; a busy rival needs no more.
_LOOKS = 4


class Outcome(Enum):
    """What became of one envelope's claim."""

    MINE = "mine"  # the claim names my key: put it
    DUPLICATE = "duplicate"  # it is in a data object already
    CONFLICT = "conflict"  # the same id was claimed with other content
    FAILED = "failed"  # not this time; nothing of mine stands in the ledger
    UNKNOWN = "unknown"  # my key may stand in the ledger: the key must not be put


@dataclass(frozen=True, slots=True)
class Result:
    """Outcome and, for the log, why."""

    outcome: Outcome
    reason: str = ""


def claim(mine: Claim, *, ledger: Ledger, lake: Lake, now: Callable[[], float]) -> Result:
    """Make the envelope mine, or find out why it is not (step 4). `now` is seconds since 1970."""
    try:
        old = ledger.claim(mine)
        if old is None:
            return Result(Outcome.MINE)
        if old.digest != mine.digest:  # first of all: the twin with other content may stand in this very batch
            return Result(Outcome.CONFLICT, "the same id was received before with other content")
        if old.key == mine.key:
            return Result(Outcome.MINE)
        return _take_over(mine, old, ledger=ledger, lake=lake, now=now)
    except NotNow as error:
        return Result(Outcome.FAILED, str(error))
    except Unknown as error:
        return Result(Outcome.UNKNOWN, str(error))


def _take_over(mine: Claim, old: Claim, *, ledger: Ledger, lake: Lake, now: Callable[[], float]) -> Result:
    for _ in range(_LOOKS):
        found = lake.head(old.key)
        if found is Commit.DATA:
            return Result(Outcome.DUPLICATE)
        if found is Commit.VOID:
            moved = ledger.move(mine, old_key=old.key)
            return Result(Outcome.MINE) if moved else Result(Outcome.FAILED, "another invocation took it over first")
        if now() <= old.lease:
            return Result(Outcome.FAILED, "another invocation is at work on it")
        with suppress(Unknown):  # whether it was applied is seen by looking again
            lake.create(old.key, VOID, Commit.VOID)
    return Result(Outcome.FAILED, "a key stays undecided")


def put(key: str, body: bytes, *, lake: Lake) -> Result:
    """Put my key with exactly what is mine (step 6): MINE if it now is my data, else FAILED. Only after no claim was UNKNOWN (step 5)."""
    reason = "the key was voided by another invocation"
    try:
        if lake.create(key, body, Commit.DATA):
            return Result(Outcome.MINE)
    except (NotNow, Unknown) as error:
        reason = str(error)
    try:
        found = lake.head(key)
    except (NotNow, Unknown) as error:
        return Result(Outcome.FAILED, str(error))
    return Result(Outcome.MINE) if found is Commit.DATA else Result(Outcome.FAILED, reason)
