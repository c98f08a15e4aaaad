"""Ports: what landing asks of the ledger and of the lake. The contract suite (tests/lambdas) runs on the fakes and on AWS's stand-ins.

Two ways to fail: `NotNow`, which promises that nothing was changed, and `Unknown`, which promises nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from device_agent.wire import ledger, names
from device_agent.wire.envelope import Notice
from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges


class NotNow(Exception):  # noqa: N818  # a verdict, named as one
    """Refused, and certainly not applied. `str()` is a short reason for the log, without any content."""


class Unknown(Exception):  # noqa: N818  # a verdict, named as one
    """Perhaps applied, perhaps not, perhaps later: a timeout, a lost answer, a server error. `str()` as for `NotNow`."""


class Commit(Enum):
    """What a key was decided to be, once and for ever."""

    DATA = "data"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The envelope `first` to `last` of a line belongs to the object `key`.

    `lease` and `expires` are seconds since 1970: until `lease` its invocation may still be at work; at `expires` DynamoDB may forget it.
    """

    line: Line
    first: int
    last: int
    digest: str
    key: str
    lease: int
    expires: int

    def __post_init__(self) -> None:
        """Check what protects the books from a wrong caller."""
        names.check_range(self.first, self.last)
        ledger.split_lake_key(self.key)

    @property
    def count(self) -> int:
        """Readings in the envelope."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a line beside its claims: the epoch's ordinal, if it has one yet, and what was folded."""

    ordinal: int | None
    folded: Ranges


class Ledger(Protocol):
    """The table of claims. Safe from every thread. Every method may raise `NotNow` or `Unknown`; repeating any of them is harmless."""

    def known(self, line: Line) -> Known:
        """Read ordinal and folded ranges. May be a little old: a folded claim stays for a month beside its range."""

    def register(self, line: Line) -> int:
        """Return the ordinal of the line's epoch: 1 for the first that this stream of this device ever had, the next one if it is new."""

    def claim(self, claim: Claim) -> Claim | None:
        """Enter the claim if there is none for its envelope: None. Else change nothing and return the one that stands."""

    def move(self, claim: Claim, *, old_key: str) -> bool:
        """Replace the claim that names `old_key`. False, and nothing changed, if it names neither that nor `claim.key` already."""

    def notice(self, notice: Notice, *, arrived: int) -> bool:
        """Enter a notice (`arrived`: microseconds). False if another one, with another digest, stands for the same numbers."""


class Lake(Protocol):
    """The bucket. Safe from every thread."""

    def head(self, key: str) -> Commit | None:
        """Tell what `key` was decided to be; None while it is absent. Strongly consistent. Raises `NotNow` if that cannot be found out."""

    def create(self, key: str, body: bytes, commit: Commit) -> bool:
        """Create `key` if it is absent: True. False if it exists, as whatever. Raises `NotNow` or `Unknown`."""
