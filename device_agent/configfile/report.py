"""Report: collects every mistake, each with its place, so that all are shown at once.

Promises: one line a mistake; one mistake a key, the first; a key that a variable set is reported under the variable's name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from device_agent.configfile.lines import Path
from device_agent.configfile.places import Places, printable
from device_agent.errors import ConfigError

#: What people write who think of the other end of the socket.
_OTHER_WORDS = {"push": "pull", "pub": "sub", "xpub": "sub", "req": "rep", "dealer": "router"}


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

    def __init__(self, places: Places) -> None:
        self._places = places
        self._problems: dict[Path, tuple[int, str]] = {}

    def add(self, path: Path, message: str) -> None:
        """Note a mistake at `path`, unless there is one already."""
        if path not in self._problems:
            self._problems[path] = (self._places.line(path) or 0, f"{self._places[path]}: {message}")

    def environment(self, variable: str, message: str) -> None:
        """Note a mistake in the name of a variable."""
        self._problems.setdefault(("environment", variable), (2**31, f"environment: {printable(variable)}: {message}"))

    def place(self, path: Path) -> str:
        """Say where another key stands: `line 12`, or its variable."""
        return self._places.variable(path) or f"line {self._places.line(path)}"

    def ok(self, *paths: Path) -> bool:
        """Tell whether none of the keys has a mistake; a rule looks only at such keys."""
        return not any(path in self._problems for path in paths)

    def finish(self) -> None:
        """Raise `ConfigError` with all lines in the order of the file, if there are any."""
        if self._problems:
            raise ConfigError("\n".join(text for _, text in sorted(self._problems.values(), key=lambda problem: problem[0])))
