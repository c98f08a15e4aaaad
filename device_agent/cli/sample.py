"""Sample: the annotated config file, made from the fields of `device_agent.config`; `init` and the packaged sample are both this text.

Every key stands there with its sentence: set if a value is given, else commented out with its default.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from enum import Enum
from typing import Any, get_origin

from device_agent.config import Config, Unit
from device_agent.config.setting import doc_of, unit_of
from device_agent.configfile import units
from device_agent.configfile.build import hints, required, table_of

_WIDTH = 110
_HEADER = """\
# Configuration of device-agent. Every key: docs/reference/config.md. Test it with `device-agent check --config <this file>`.
# Sizes and durations have units: "64 KiB", "500ms". A key that is commented out shows its default.
"""


def render(values: Mapping[str, Any]) -> str:
    """Return the file for the given values: `{"device": {"id": ...}, "input": [{...}, ...], ...}`, written as they stand in the file."""
    parts = [_HEADER]
    for item in fields(Config):
        table = table_of(hints(Config)[item.name])
        assert table is not None  # the top level has tables only
        given = values.get(item.name, {})
        if get_origin(hints(Config)[item.name]) is tuple:
            parts += [_element(table, item.name, element, brief=at > 0) for at, element in enumerate(given)]
        else:
            parts.append("\n".join([*_comment(summary(table)), f"[{item.name}]", *_keys(table, item.name, given)]))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _element(table: type, name: str, values: Mapping[str, Any], *, brief: bool) -> str:
    if brief:
        return "\n".join([f"[[{name}]]", *(f"{key} = {literal(value)}" for key, value in values.items())])
    return "\n".join([*_comment(summary(table)), f"[[{name}]]", *_keys(table, name, values)])


def _keys(table: type, name: str, values: Mapping[str, Any]) -> Iterator[str]:
    inner = []
    for item in fields(table):
        if table_of(hints(table)[item.name]) is not None:
            inner.append(item)
            continue
        yield from _comment(doc_of(item))
        if item.name in values or required(item):
            yield f"{item.name} = {literal(values[item.name])}"
        else:
            yield f"# {item.name} = {default(item)}"
    for item in inner:  # tables within come after the keys: TOML demands it
        sub = table_of(hints(table)[item.name])
        assert sub is not None
        array = get_origin(hints(table)[item.name]) is tuple
        yield ""
        yield from _comment(doc_of(item))
        yield f"# [[{name}.{item.name}]]" if array else f"# [{name}.{item.name}]"
        for key in fields(sub):
            yield from _comment(doc_of(key))
            value = literal("") if required(key) else default(key)
            yield f"# {key.name} = {value}"


def summary(table: type) -> str:
    """Return the sentence of a table, without its name."""
    text = " ".join((table.__doc__ or "").split())
    sentence = text.partition(": ")[2] or text
    return sentence[:1].upper() + sentence[1:]


def default(item: Field[Any]) -> str:
    """Return a key's default as it stands in a file; for a key with a default."""
    value = item.default.value if isinstance(item.default, Enum) else item.default
    unit = unit_of(item)
    if unit is not Unit.NONE:
        return literal(units.show(value, unit)) if value else "0"
    return literal(list(value) if isinstance(value, tuple) else value)


def literal(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value, ensure_ascii=False)  # texts, whole numbers and booleans are written alike in both


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False)
