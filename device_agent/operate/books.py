"""Books: for every device, stream and epoch, what became of each sequence number. Pure; `audit` reads what goes in.

Promises
1. Every number from 1 to the highest known one is in exactly one column, so the columns add up.
2. What was received counts as received, whatever else is said of it: a received reading beats a notice.

Columns, in this precedence: received (folded for good, or claimed by an object that is data), pending (claimed, its object not seen as
data: an invocation is at work on it, or failed and its message comes back), quarantined, damaged, dropped (the board said so), missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges

#: Why numbers did not come, in order of precedence; the words of a notice.
REASONS: Final = ("quarantined", "damaged", "dropped")

Pairs = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Facts:
    """What the ledger says of a line, as it was read: collected, then settled."""

    ordinal: int = 0
    received: Ranges = field(default_factory=Ranges)
    claimed: Ranges = field(default_factory=Ranges)  # by an object that was not seen as data
    noticed: dict[str, Ranges] = field(default_factory=lambda: {reason: Ranges() for reason in REASONS})


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBooks:
    """The settled books of a line; each column as inclusive ranges (first, last)."""

    line: Line
    ordinal: int
    received: Pairs = ()
    pending: Pairs = ()
    quarantined: Pairs = ()
    damaged: Pairs = ()
    dropped: Pairs = ()
    missing: Pairs = ()

    @property
    def highest(self) -> int:
        """The highest number that anything is known of; 0 if nothing is."""
        return max((last for column in COLUMNS for _, last in getattr(self, column)), default=0)

    def count(self, column: str) -> int:
        """Numbers in a column."""
        return count(getattr(self, column))


COLUMNS: Final = ("received", "pending", "quarantined", "damaged", "dropped", "missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeBooks:
    """What reading every row of the lake found wrong, by line: nothing, if landing keeps its promise."""

    rows: int
    doubled: dict[Line, Pairs]  # in the lake more than once
    lost: dict[Line, Pairs]  # received by the ledger, and not in the lake
    unclaimed: dict[Line, Pairs]  # in the lake, and not received by the ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All lines, by device, stream and ordinal; and the lake, if it was read."""

    lines: tuple[LineBooks, ...]
    lake: LakeBooks | None = None

    @property
    def balanced(self) -> bool:
        """Nothing is missing, and the lake holds what the ledger says, once."""
        lake = self.lake
        return not any(line.missing for line in self.lines) and (lake is None or not (lake.doubled or lake.lost or lake.unclaimed))


def settle(line: Line, facts: Facts) -> LineBooks:
    """Put every number into its one column."""
    taken = Ranges(facts.received)
    columns = {"received": taken, "pending": _without(facts.claimed, taken)}
    for reason in REASONS:
        _add(taken, columns["pending"])
        columns[reason] = _without(facts.noticed[reason], taken)
        _add(taken, columns[reason])
    highest = max((last for _, last in taken), default=0)
    missing = tuple(taken.missing(1, highest)) if highest else ()
    received = facts.received
    pairs = {name: tuple(ranges) for name, ranges in (columns | {"received": received}).items()}
    return LineBooks(line=line, ordinal=facts.ordinal, missing=missing, **pairs)


def count(pairs: Iterable[tuple[int, int]]) -> int:
    """Numbers in ranges that do not overlap."""
    return sum(last - first + 1 for first, last in pairs)


def _add(ranges: Ranges, others: Iterable[tuple[int, int]]) -> None:
    for first, last in others:
        ranges.add(first, last)


def _without(ranges: Iterable[tuple[int, int]], others: Ranges) -> Ranges:
    return Ranges(rest for first, last in ranges for rest in others.missing(first, last))


class LakeCount:
    """Counts rows: which numbers of which line are in the lake, and which of them more than once."""

    def __init__(self) -> None:
        self.rows = 0
        self.seen: dict[Line, Ranges] = {}
        self.doubled: dict[Line, Ranges] = {}

    def add(self, line: Line, seqs: Iterable[int]) -> None:
        """Count rows of one line, in any order."""
        seen = self.seen.setdefault(line, Ranges())
        for first, last in _runs(seqs):
            self.rows += last - first + 1
            again = _without([(first, last)], _without([(first, last)], seen))
            if len(again):
                _add(self.doubled.setdefault(line, Ranges()), again)
            seen.add(first, last)

    def compare(self, received: dict[Line, Ranges]) -> LakeBooks:
        """Hold the rows against what the ledger says was received."""
        nothing = Ranges()
        lost = {line: _without(ranges, self.seen.get(line, nothing)) for line, ranges in received.items()}
        unclaimed = {line: _without(ranges, received.get(line, nothing)) for line, ranges in self.seen.items()}
        return LakeBooks(rows=self.rows, doubled=_pairs(self.doubled), lost=_pairs(lost), unclaimed=_pairs(unclaimed))


def _pairs(found: dict[Line, Ranges]) -> dict[Line, Pairs]:
    return {line: tuple(ranges) for line, ranges in sorted(found.items()) if len(ranges)}


def _runs(seqs: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = 0
    for seq in seqs:
        if seq == last + 1 and first:
            last = seq
            continue
        if first:
            yield first, last
        first = last = seq
    if first:
        yield first, last


# For people and for programs


def table(books: Books) -> list[str]:
    """Return the books as aligned text, a line each, and what is wrong below."""
    header = ("device", "stream", "epoch", "no.", *COLUMNS)
    rows = [
        (*one.line, str(one.ordinal), *(f"{one.count(column):,}" for column in COLUMNS))
        for one in books.lines
    ]  # fmt: skip
    total = ("total", "", "", "", *(f"{sum(one.count(column) for one in books.lines):,}" for column in COLUMNS))
    widths = [max(map(len, cells)) for cells in zip(header, *rows, total, strict=True)]
    text = [
        "  ".join(_cell(*pair) for pair in zip(range(len(widths)), row, widths, strict=True)).rstrip() for row in (header, *rows, total)
    ]
    return [*text, "", *_findings(books)]


def _cell(at: int, cell: str, width: int) -> str:
    return f"{cell:<{width}}" if at < 3 else f"{cell:>{width}}"


def _findings(books: Books) -> Iterator[str]:
    for one in books.lines:
        for column in ("pending", "missing"):
            if pairs := getattr(one, column):
                yield f"{column}: {_name(one.line)}: {_ranges(pairs)}"
    if books.lake is not None:
        for what, found in _wrong(books.lake):
            for line, pairs in found.items():
                yield f"{what}: {_name(line)}: {_ranges(pairs)}"
        yield f"the lake holds {books.lake.rows:,} rows"
    yield "the books balance" if books.balanced else "THE BOOKS DO NOT BALANCE"


def _wrong(lake: LakeBooks) -> Iterator[tuple[str, dict[Line, Pairs]]]:
    yield "more than once in the lake", lake.doubled
    yield "received, but not in the lake", lake.lost
    yield "in the lake, but not in the ledger", lake.unclaimed


def _name(line: Line) -> str:
    return f"{line.device} {line.stream} {line.epoch}"


def _ranges(pairs: Pairs, *, most: int = 10) -> str:
    shown = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in pairs[:most])
    return shown if len(pairs) <= most else f"{shown} and {len(pairs) - most} more ranges"


def document(books: Books) -> dict[str, Any]:
    """Return the books as what `json.dumps` takes; ranges as [first, last]."""
    lake = books.lake
    return {
        "balanced": books.balanced,
        "lines": [
            {**one.line._asdict(), "ordinal": one.ordinal, "highest": one.highest, **{column: getattr(one, column) for column in COLUMNS}}
            for one in books.lines
        ],
        "lake": None if lake is None else {
            "rows": lake.rows,
            **{name: _listed(getattr(lake, name)) for name in ("doubled", "lost", "unclaimed")},
        },
    }  # fmt: skip


def _listed(found: dict[Line, Pairs]) -> list[dict[str, Any]]:
    return [{**line._asdict(), "ranges": pairs} for line, pairs in found.items()]
