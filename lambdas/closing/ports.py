"""Ports: what closing and checking ask of the ledger and of the lake, beside what landing does. Contract suite: tests/lambdas.

Refusals are landing's: `NotNow` promises that nothing was changed, `Unknown` promises nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges
from lambdas.landing.ports import Claim, Commit


@dataclass(frozen=True, slots=True)
class Part:
    """One item of a line's folded ranges. `version` counts its writes; 0 was never written (or by hand, without one)."""

    number: int
    ranges: Ranges
    version: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream of one device in the registry. `mark` is its place in the order of entries: `<shard>|<device>|<stream>`."""

    mark: str
    lines: tuple[Line, ...]  # in the order of their ordinals


class Bookmark(NamedTuple):
    """How far a bucket was closed: every entry of `day` up to the mark `after`. Compares as it progresses."""

    day: str
    after: str


class Told(NamedTuple):
    """A notice: `first` to `last` will not come. `arrived` in seconds since 1970."""

    first: int
    last: int
    reason: str
    arrived: float


class Ledger(Protocol):
    """The table, as closing sees it. Safe from every thread. Every method may raise `NotNow`, `write` and `set_bookmark` also `Unknown`.

    Answers may be a little old: nothing that is concluded from them ever becomes untrue (an unfolded claim is read again the next time).
    """

    def entries(self, shard: int, *, after: str = "") -> Iterator[Entry]:
        """Yield the entries of one partition of the registry behind the mark `after`, in order."""

    def parts(self, line: Line) -> list[Part]:
        """Return the line's folded ranges by their numbers."""

    def claims(self, line: Line, first: int, last: int) -> Iterator[Claim]:
        """Yield the claims whose first number is within `first` to `last`, in order."""

    def newest(self, line: Line) -> Claim | None:
        """Return the claim with the highest first number."""

    def notices(self, line: Line) -> Iterator[Told]:
        """Yield the line's notices."""

    def write(self, line: Line, part: Part) -> bool:
        """Store the part over its predecessor, version - 1. False, and nothing changed, if another version stands."""

    def bookmark(self, bucket: int, buckets: int) -> Bookmark:
        """Return the bucket's bookmark; before the first one: ("", "")."""

    def set_bookmark(self, bucket: int, buckets: int, bookmark: Bookmark) -> None:
        """Move the bucket's bookmark forward; never back: then nothing is changed."""


class Listing(Protocol):
    """What the keys of a stream's day were decided to be, by listing. May be older than the call: *data* and *void* are for ever."""

    def decided(self, stream: str, day: str, run: str) -> Commit | None:
        """Tell what a key is, None if it was absent when its day was listed. Raises `NotNow`."""
