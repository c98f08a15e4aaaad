"""Environment: variables that override single keys of the file.

The rule: `DEVICE_AGENT_<TABLE>_<KEY>`, upper case, every other character than a letter or digit written as `_`. Elements of `[[input]]` and
`[[stream]]` are addressed by their name: `DEVICE_AGENT_STREAM_TELEMETRY_QUEUE` sets `queue` of the stream `telemetry`; tables within come
next: `DEVICE_AGENT_AWS_IOT_ENDPOINT`, `DEVICE_AGENT_INPUT_ORDERS_CURVE_SECRET_KEY`. Routes have no names and so no variables.
A list is written with commas, or as TOML in brackets. A variable that fits no key is a mistake, as an unknown key is.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final, get_origin

from device_agent.config import Config, Unit
from device_agent.config.setting import unit_of
from device_agent.configfile.build import hints, kind_of, table_of
from device_agent.configfile.lines import Path
from device_agent.configfile.report import nearest

PREFIX: Final = "DEVICE_AGENT_"


def variable_name(*parts: str) -> str:
    """Return the variable for a key: `variable_name("spool", "max_bytes")` is `DEVICE_AGENT_SPOOL_MAX_BYTES`."""
    return PREFIX + "_".join(re.sub(r"[^A-Za-z0-9]", "_", part).upper() for part in parts)


def apply(document: dict[str, Any], environ: Mapping[str, str]) -> tuple[dict[Path, str], list[tuple[str, str]]]:
    """Set the keys of `document` that variables name.

    Returns:
        Which variable set which key, and the mistakes: (variable, what is wrong).
    """
    set_by: dict[Path, str] = {}
    mistakes: list[tuple[str, str]] = []
    wanted = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    if not wanted:
        return set_by, mistakes
    known: dict[str, list[tuple[Path, Any]]] = {}
    for variable, path, hint in _variables(Config, document, (), ()):
        known.setdefault(variable, []).append((path, hint))
    for variable, text in sorted(wanted.items()):
        places = known.get(variable, [])
        if len(places) > 1:
            mistakes.append((variable, "fits several keys of the file; rename one of the tables"))
        elif not places:
            mistakes.append((variable, f"no key has this variable{nearest(variable, known)}"))
        else:
            path, hint = places[0]
            try:
                _set(document, path, _convert(text, hint))
                set_by[path] = variable
            except ValueError as error:
                mistakes.append((variable, str(error)))
    return set_by, mistakes


def _variables(cls: type, value: object, path: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, Path, Any]]:
    """Yield (variable, path, type) of every key that a variable could set in this document."""
    table = value if isinstance(value, dict) else {}
    for item in fields(cls):
        hint, here = hints(cls)[item.name], (*path, item.name)
        inner = table_of(hint)
        if inner is None:
            kind = str if unit_of(item) is not Unit.NONE else hint
            yield variable_name(*parts, item.name), here, kind
        elif get_origin(hint) is not tuple:
            yield from _variables(inner, table.get(item.name), here, (*parts, item.name))
        elif len(path) == 0:
            elements = table.get(item.name)
            for position, element in enumerate(elements if isinstance(elements, list) else ()):
                if isinstance(element, dict) and isinstance(element.get("name"), str):
                    yield from _variables(kind_of(inner, element), element, (*here, position), (*parts, item.name, element["name"]))


def _convert(text: str, hint: Any) -> Any:
    """Return the text as the file would hold it; what does not fit is left as text, and the builder says what is wrong with it."""
    if hint is int and re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
        return int(text)
    if hint is bool:
        return {"true": True, "false": False}.get(text, text)
    if get_origin(hint) is tuple:
        return _list(text)
    return text


def _list(text: str) -> list[Any]:
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",")] if text.strip() else []
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise ValueError('is not a list; write one,two or ["one", "two"]')  # noqa: TRY004  # a mistake of the user
    return value


def _set(document: dict[str, Any], path: Path, value: object) -> None:
    """Set a key, making the tables on the way. A table that is something else in the file stays: the builder reports it."""
    here: Any = document
    for part in path[:-1]:
        here = here[part] if isinstance(part, int) else here.setdefault(part, {})
        if not isinstance(here, dict) and not (isinstance(here, list) and path[:1] in {("input",), ("stream",)}):
            return
    if isinstance(here, dict):
        here[str(path[-1])] = value
