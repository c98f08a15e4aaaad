"""Books as people and programs read them: all lines together, held against the rows of the lake. Pure; `audit` reads what goes in.

What became of each number of a line is decided in `device_agent.wire.books`, which the functions share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from device_agent.wire.books import COLUMNS, LineBooks, Pairs, add, count, without
from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges

#: First and last number of a part of a line.
Span = tuple[int, int]


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


def within(one: LineBooks, span: Span) -> LineBooks:
    """Return the books of the numbers in `span`, and of those that are missing right below it: they should have come before or with it."""
    first, last = span
    first = next((low for low, high in one.missing if low < first <= high + 1), first)
    kept: dict[str, Any] = {
        column: tuple((max(low, first), min(high, last)) for low, high in getattr(one, column) if low <= last and high >= first)
        for column in COLUMNS
    }
    return replace(one, **kept)


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
            again = without([(first, last)], without([(first, last)], seen))
            if len(again):
                add(self.doubled.setdefault(line, Ranges()), again)
            seen.add(first, last)

    def compare(self, received: dict[Line, Ranges]) -> LakeBooks:
        """Hold the rows against what the ledger says was received."""
        nothing = Ranges()
        lost = {line: without(ranges, self.seen.get(line, nothing)) for line, ranges in received.items()}
        unclaimed = {line: without(ranges, received.get(line, nothing)) for line, ranges in self.seen.items()}
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

_ALWAYS = ("received", "missing")


def table(books: Books) -> list[str]:
    """Return the books as aligned text, a line each, and what is wrong below; a column that is zero throughout is named, not shown."""
    doubled = None if books.lake is None else books.lake.doubled
    shown = [column for column in COLUMNS if column in _ALWAYS or any(getattr(one, column) for one in books.lines)]
    header = ("device", "stream", "epoch", "no.", *shown, "duplicate")
    rows = [
        (*one.line, str(one.ordinal), *(f"{one.count(column):,}" for column in shown), _doubled(doubled, [one.line]))
        for one in books.lines
    ]  # fmt: skip
    sums = (f"{sum(one.count(column) for one in books.lines):,}" for column in shown)
    total = ("total", "", "", "", *sums, _doubled(doubled, [one.line for one in books.lines]))
    widths = [max(map(len, cells)) for cells in zip(header, *rows, total, strict=True)]
    text = [
        "  ".join(_cell(*pair) for pair in zip(range(len(widths)), row, widths, strict=True)).rstrip() for row in (header, *rows, total)
    ]
    unshown = [column for column in COLUMNS if column not in shown]
    return [*text, *([f"none {', '.join(unshown)}"] if unshown else []), "", *_findings(books)]


def _doubled(doubled: dict[Line, Pairs] | None, lines: Iterable[Line]) -> str:
    """Return how many numbers of `lines` are in the lake more than once; `-` if nobody looked."""
    return "-" if doubled is None else f"{sum(count(doubled.get(line, ())) for line in lines):,}"


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
            {
                **one.line._asdict(), "ordinal": one.ordinal, "highest": one.highest,
                **{column: getattr(one, column) for column in COLUMNS},
                "duplicate": None if lake is None else lake.doubled.get(one.line, ()),
            }
            for one in books.lines
        ],
        "lake": None if lake is None else {
            "rows": lake.rows,
            **{name: _listed(getattr(lake, name)) for name in ("doubled", "lost", "unclaimed")},
        },
    }  # fmt: skip


def _listed(found: dict[Line, Pairs]) -> list[dict[str, Any]]:
    return [{**line._asdict(), "ranges": pairs} for line, pairs in found.items()]
