"""Report: collects every mistake, each with its place, so that all are shown at once.

Promises: one line a mistake; one mistake a key, the first; a key that a variable set is reported under the variable's name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from device_agent.configfile.lines import Path, line_of
from device_agent.errors import ConfigError

#: What people write who think of the other end of the socket.
_OTHER_WORDS = {"push": "pull", "pub": "sub", "xpub": "sub", "req": "rep", "dealer": "router"}


def key_text(path: Path) -> str:
    """Return the key as a person writes it: `input.route.topic`; the line says which element."""
    return ".".join(_printable(part) for part in path if isinstance(part, str))


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)


def nearest(word: str, names: Iterable[str]) -> str:
    """Return `; did you mean <name>?` for the most similar name, or an empty text."""
    folded = {_fold(name): name for name in names}
    wanted = _OTHER_WORDS.get(_fold(word), _fold(word))
    for name, original in folded.items():
        if len(wanted) > 1 and wanted == "".join(part[:1] for part in name.split("_")):
            return f"; did you mean {original}?"
    close = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[close[0]]}?" if close else ""


def _fold(word: str) -> str:
    return word.lower().replace("-", "_")


class Report:
    """The mistakes of one file."""

    def __init__(self, name: str, *, lines: Mapping[Path, int], variables: Mapping[Path, str]) -> None:
        self._name, self._lines, self._variables = name, dict(lines), dict(variables)
        self._problems: dict[Path, tuple[int, str]] = {}

    def add(self, path: Path, message: str) -> None:
        """Note a mistake at `path`, unless there is one already."""
        if path in self._problems:
            return
        line = line_of(self._lines, path)
        variable = self.variable(path)
        if variable:
            place = f"environment: {variable}: {key_text(path)}"
        elif line is not None:
            place = f"{self._name}:{line}: {key_text(path)}"
        else:
            place = f"{self._name}: {key_text(path)}"
        self._problems[path] = (line or 0, f"{place}: {message}")

    def environment(self, variable: str, message: str) -> None:
        """Note a mistake in the name of a variable."""
        self._problems.setdefault(("environment", variable), (2**31, f"environment: {_printable(variable)}: {message}"))

    def variable(self, path: Path) -> str | None:
        """Return the variable that set `path` or the list around it, if one did."""
        while path:
            if path in self._variables:
                return self._variables[path]
            path = path[:-1]
        return None

    def place(self, path: Path) -> str:
        """Say where another key stands: `line 12`, or its variable."""
        return self.variable(path) or f"line {line_of(self._lines, path)}"

    def ok(self, *paths: Path) -> bool:
        """Tell whether none of the keys has a mistake; a rule looks only at such keys."""
        return not any(path in self._problems for path in paths)

    def finish(self) -> None:
        """Raise `ConfigError` with all lines in the order of the file, if there are any."""
        if self._problems:
            raise ConfigError("\n".join(text for _, text in sorted(self._problems.values(), key=lambda problem: problem[0])))
