"""Table: rows as aligned text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def lines(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Yield the header and the rows with columns aligned; numbers to the right, the rest to the left."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(line[at]) for line in [list(header), *cells]) for at in range(len(header))]
    right = [bool(rows) and all(isinstance(row[at], int | float) for row in rows) for at in range(len(header))]
    for line in [list(header), *cells]:
        yield "  ".join(
            f"{cell:>{width}}" if to_right else f"{cell:<{width}}" for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)
