"""Line finder: which line of a TOML file a key stands on. The standard parser does not say.

Promises: for text that `tomllib` has accepted, the line of every table header and of every `key = value` statement. What stands inside a
value (the elements of an array, the keys of an inline table) is found at the statement that holds it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Final

#: Keys and positions from the root: ("input", 0, "bind").
Path = tuple[str | int, ...]

_TOKEN: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # strings over several lines may end with up to two quotes of their own
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}=\n]"
    r"|[^\[\]{}=\n\"'#]+",
    re.DOTALL,
)
_KEY: Final = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+')


def find_lines(text: str) -> dict[Path, int]:
    """Return the line (from 1) of each table and key of a valid TOML file."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}  # elements of each array of tables so far
    table: Path = ()
    for line, tokens in _statements(text):
        if tokens[0] == "[":
            names = _names("".join(tokens))
            array = tokens[1:2] == ["["]
            table = _resolve((), names[:-1] if array else names, counts)
            if array:
                table += (names[-1],)
                position = counts[table] = counts.get(table, -1) + 1
                lines.setdefault(table, line)
                table += (position,)
            _note(lines, table, 0, line)
        else:
            names = _names("".join(tokens[: tokens.index("=")]))
            _note(lines, table + names, len(table), line)
    return lines


def _note(lines: dict[Path, int], path: Path, known: int, line: int) -> None:
    for length in range(known + 1, len(path) + 1):
        lines.setdefault(path[:length], line)


def _resolve(start: Path, names: tuple[str, ...], counts: dict[Path, int]) -> Path:
    """Return the path of a table: an array of tables on the way means its newest element."""
    path = start
    for name in names:
        path += (name,)
        if path in counts:
            path += (counts[path],)
    return path


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, tokens) of each header or `key = value`, without comments and blanks."""
    line, begin, depth = 1, 1, 0
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if piece == "\n" and depth == 0:
            if tokens:
                yield begin, tokens
            tokens = []
        elif not piece.isspace() and not piece.startswith("#"):
            if not tokens:
                begin = line
            tokens.append(piece if piece[0] in "\"'" else piece.strip())
            depth += (piece in {"[", "{"}) - (piece in {"]", "}"})
        line += piece.count("\n")
    if tokens:
        yield begin, tokens


def _names(text: str) -> tuple[str, ...]:
    return tuple(tomllib.loads(f"k = {name}")["k"] if name[0] in "\"'" else name for name in _KEY.findall(text))


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """Return the line of `path`, or of the nearest thing around it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)
