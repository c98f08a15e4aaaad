"""Places: where a key stands, `agent.toml:12: input.bind`, or which variable set it.

For the messages of the loader, and of whoever finds out later that a value cannot be.

Promises: never fails; a key that is not in the file is placed at the nearest table around it, and without one by the file alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from device_agent.configfile.lines import Path, line_of
from device_agent.errors import ConfigError


def key_text(path: Path) -> str:
    """Return the key as a person writes it: `input.route.topic`; the line says which element."""
    return ".".join(printable(part) for part in path if isinstance(part, str))


def printable(name: str) -> str:
    """Return a name that cannot write to the terminal anything but text."""
    return name if name.isprintable() else repr(name)


class Places:
    """The keys of one file and of the environment."""

    def __init__(self, name: str, *, lines: Mapping[Path, int], variables: Mapping[Path, str], document: Mapping[str, Any]) -> None:
        self._name, self._lines, self._variables, self._document = name, dict(lines), dict(variables), document

    def line(self, path: Path) -> int | None:
        """Return the line of a key, or of the nearest thing around it."""
        return line_of(self._lines, path)

    def variable(self, path: Path) -> str | None:
        """Return the variable that set `path` or the list around it, if one did."""
        while path:
            if path in self._variables:
                return self._variables[path]
            path = path[:-1]
        return None

    def __getitem__(self, path: Path) -> str:
        """Return `agent.toml:12: input.bind`; elements of `[[input]]` and `[[stream]]` may be given by name instead of position."""
        path = self._numbered(path)
        variable, line = self.variable(path), self.line(path)
        place = f"environment: {variable}" if variable else self._name if line is None else f"{self._name}:{line}"
        return f"{place}: {key_text(path)}" if path else place

    def say(self, error: ConfigError) -> str:
        """Return each line of the error behind the place of its key; the text alone if it speaks of no key."""
        return "\n".join(f"{self[error.key]}: {line}" for line in str(error).splitlines()) if error.key else str(error)

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Put the place before what turns out to be wrong inside."""
        try:
            yield
        except ConfigError as error:
            raise ConfigError(self.say(error)) from error

    def _numbered(self, path: Path) -> Path:
        if len(path) < 2 or isinstance(path[1], int):
            return path
        elements = self._document.get(str(path[0]))
        for position, element in enumerate(elements if isinstance(elements, list) else ()):
            if isinstance(element, dict) and element.get("name") == path[1]:
                return (path[0], position, *path[2:])
        return path
