"""Explanation: what `device-agent explain` prints of a key or a table, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from device_agent.cli import sample
from device_agent.cli.keytable import Key, Table, keys, tables
from device_agent.configfile.report import nearest
from device_agent.errors import ConfigError

_WIDTH = 80


def lines(asked: str) -> Iterator[str]:
    """Yield the page line by line.

    Args:
        asked: a key, a key with its table, a table, or "" for an overview. Brackets around a table are allowed.

    Raises:
        ConfigError: there is no such key or table.
    """
    asked = asked.strip().strip("[]").strip()
    if not asked:
        yield from _overview()
        return
    found = [table for table in tables() if ".".join(table.path) == asked]
    named = [key for table in tables() for key in keys(table) if asked in {key.name, key.item.name}]
    if not found and not named:
        known = {".".join(table.path) for table in tables()} | {key.name for table in tables() for key in keys(table)}
        short = {name.rpartition(".")[2] for name in known}
        near = nearest(asked, sorted(known if "." in asked else short))
        raise ConfigError(f"{asked!r} is no key and no table of the configuration{near or '; `device-agent explain` lists all'}")
    pages = [*map(_table, found), *map(_key, named)]
    for number, page in enumerate(pages):
        if number:
            yield ""
        yield from page


def _overview() -> Iterator[str]:
    for table in tables():
        names = ", ".join(key.item.name for key in keys(table))
        yield from textwrap.wrap(f"{table.header:<18} {names}", _WIDTH, subsequent_indent=" " * 19, break_on_hyphens=False)


def _table(table: Table) -> Iterator[str]:
    yield table.header
    yield from _wrapped(sample.summary(table.type))
    yield ""
    for key in keys(table):
        text = f"{key.item.name:<18} {key.says}"
        yield from textwrap.wrap(text, _WIDTH - 2, initial_indent="  ", subsequent_indent=" " * 21, break_on_hyphens=False)


def _key(key: Key) -> Iterator[str]:
    yield f"{key.name}, in {key.table.header}"
    yield from _wrapped(key.says)
    yield ""
    yield f"  value     {key.kind or ', '.join(key.choices)}"
    yield f"  default   {key.default or 'none: it must be set'}"
    if key.variable:
        yield f"  variable  {key.variable}"
    yield f"  example   {key.item.name} = {key.example}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH - 2, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
