"""Builder: a parsed TOML document becomes the frozen types of `device_agent.config`, driven by their fields.

Promises: never raises, whatever the document holds. Each mistake goes to the report, and a placeholder takes its place, so that one
mistake does not hide another; rules ask the report before they trust a value.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from device_agent.config import ZEROMQ, Config, InputConfig, SourceConfig, Unit, sources
from device_agent.config.setting import bounds_of, choices_of, unit_of
from device_agent.configfile import units
from device_agent.configfile.lines import Path
from device_agent.configfile.report import Report, nearest
from device_agent.errors import ConfigError

_PLACEHOLDERS: Final[dict[Any, Any]] = {str: "", int: 1, float: 1.0, bool: False}
_KINDS: Final = {str: "text in quotes", int: "a whole number", bool: "true or false"}
#: Keys whose text may hold line ends and the like: what goes over a socket, not what names something.
_FREE_TEXT: Final = {"reply", "request", "topic", "subscribe"}


@cache
def hints(cls: type) -> dict[str, Any]:
    """Return the types of a table's keys."""
    return get_type_hints(cls)


@cache
def table_of(hint: Any) -> type | None:
    """Return the type of the table (or of the array's tables) that a key holds, None for plain values."""
    if get_origin(hint) is tuple:
        hint = get_args(hint)[0]
    options = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    return next((option for option in options if isinstance(option, type) and is_dataclass(option)), None)


def kind_of(table: type, element: object) -> type:
    """Return the type of one element of an array of tables: `[[input]]` has kinds."""
    kind = element.get("kind", ZEROMQ) if table is InputConfig and isinstance(element, dict) else ZEROMQ
    if kind == ZEROMQ:
        return table
    near = get_close_matches(str(kind), kinds(kind), 1)  # a misspelled one must not make its keys unknown, too
    if not near or near[0] == ZEROMQ:
        return table
    try:
        return sources.named(near[0])
    except ConfigError:
        return SourceConfig


def kinds(wanted: object = None) -> list[str]:
    """Return the kinds of input; those of other packages only if `wanted` is not ours."""
    ours = [ZEROMQ, *sources.BUILT_IN]
    return ours if wanted in ours else [*ours, *sources.others()]


def required(item: Field[Any]) -> bool:
    """Tell whether a key has no default."""
    return item.default is MISSING and item.default_factory is MISSING


def build(document: dict[str, Any], report: Report) -> Config:
    """Return the config, with placeholders where the report has a mistake."""
    config: Config = _table(Config, document, (), report)
    return config


def _table(cls: Any, value: object, path: Path, report: Report) -> Any:
    if not isinstance(value, dict):
        report.add(path, f"must be a table, [{path[0]}]" if len(path) == 1 else "must be a table")
        value = {}
        missing_told = True
    else:
        missing_told = False
    known = {item.name: item for item in fields(cls)}
    for name in value:
        if name not in known and cls is not SourceConfig:  # whose own keys are not known, because its kind cannot be used
            report.add((*path, name), f"unknown {'table' if isinstance(value[name], dict) else 'key'}{_home(cls, name, value)}")
    arguments = {}
    for name, item in known.items():
        where = (*path, name)
        if name in value:
            arguments[name] = _value(cls, item, value[name], where, report)
        elif required(item):
            if not missing_told:
                report.add(where, _missing(cls, name))
            arguments[name] = _placeholder(hints(cls)[name], where, report)
    return cls(**arguments)


def _missing(cls: type, name: str) -> str:
    return f"missing; add the table [{name}]" if cls is Config else "missing; it has no default"


def _home(cls: type, name: str, value: dict[str, Any]) -> str:
    """Say which name was probably meant, or to which table the key belongs."""
    names = [item.name for item in fields(cls)]
    near = nearest(name, [known for known in names if known not in value]) or nearest(name, names)
    if near:
        return near
    homes = [table for table, keys in _homes() if name in keys]
    return f"; it belongs in {' or '.join(homes)}" if homes else f"; known here: {', '.join(names)}"


@cache
def _homes() -> list[tuple[str, set[str]]]:
    homes = []
    for item in fields(Config):
        table = table_of(hints(Config)[item.name])
        if table is not None:
            array = get_origin(hints(Config)[item.name]) is tuple
            homes.append((f"[[{item.name}]]" if array else f"[{item.name}]", {key.name for key in fields(table)}))
    return homes


def _placeholder(hint: Any, path: Path, report: Report) -> Any:
    table = table_of(hint)
    if table is not None:
        return _table(table, None, path, report)  # the mistake at `path` is known already
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    return () if get_origin(hint) is tuple else _PLACEHOLDERS[hint]


def _value(cls: type, item: Field[Any], value: object, path: Path, report: Report) -> Any:
    hint = hints(cls)[item.name]
    table = table_of(hint)
    if get_origin(hint) is tuple:
        return _array(table, value, path, report)
    if table is not None:
        return _table(table, value, path, report)
    try:
        return _scalar(cls, item, hint, value)
    except ValueError as error:
        report.add(path, str(error))
        return item.default if not required(item) else _placeholder(hint, path, report)


def _array(table: type | None, value: object, path: Path, report: Report) -> tuple[Any, ...]:
    if not isinstance(value, list):
        name = path[-1]
        report.add(path, f"must be an array of tables, [[{name}]]" if table else f'must be a list of texts, {name} = ["..."]')
        return ()
    if table is not None:
        return tuple(_table(kind_of(table, element), element, (*path, position), report) for position, element in enumerate(value))
    texts = []
    for position, element in enumerate(value):
        try:
            texts.append(_text(element, str(path[-1])))
        except ValueError as error:
            report.add((*path, position), str(error))
            report.add(path, str(error))  # one line a list: the same place
    return tuple(texts)


def _scalar(cls: type, item: Field[Any], hint: Any, value: object) -> Any:
    unit = unit_of(item)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(_choice(value, [member.value for member in hint]))
    if unit is not Unit.NONE:
        number = units.parse(value, unit)
        return _bounded(item, float(number) if hint is float else int(number), unit)
    if hint is str or NoneType in get_args(hint):
        text = _text(value, item.name)
        if not text and required(item):
            raise ValueError("must not be empty")
        if item.name == "kind" and issubclass(cls, InputConfig | SourceConfig):
            return _kind(text)
        return _choice(text, list(choices_of(item))) if choices_of(item) else text
    if type(value) is not hint:
        raise ValueError(f"must be {_KINDS[hint]}")
    return _bounded(item, value, unit) if hint is int else value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be {_KINDS[str]}")  # noqa: TRY004  # of the file, not of the program
    if name not in _FREE_TEXT and any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must not hold control characters")
    return value


def _choice(value: object, choices: list[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        hint = nearest(value, choices) if isinstance(value, str) else ""
        raise ValueError(f"must be one of {', '.join(choices)}{hint}")
    return value


def _kind(text: str) -> str:
    kind = _choice(text, kinds(text))
    if kind != ZEROMQ:
        try:
            sources.named(kind)
        except ConfigError as error:
            raise ValueError(str(error)) from None
    return kind


def _bounded(item: Field[Any], value: Any, unit: Unit) -> Any:
    low, high = bounds_of(item) or (float("-inf"), float("inf"))
    if not low <= value <= high:
        raise ValueError(f"must be from {units.show(low, unit)} to {units.show(high, unit)}")
    return value
