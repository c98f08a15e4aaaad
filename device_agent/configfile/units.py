"""Units: sizes, durations and rates as people write them, and back again.

Promises: `parse(show(x))` is x; a number without a unit is refused with the right form in the message, except 0.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from device_agent.config import Unit

_SIZES: Final = {
    "B": 1,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
#: In microseconds, so that every duration that can be written is a whole number.
_DURATIONS: Final = {"us": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_NUMBER: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", re.ASCII)
_EXAMPLES: Final = {
    Unit.SIZE: '"64 KiB", "10 MiB"',
    Unit.DURATION: '"500ms", "5s", "2min"',
    Unit.RATE: '"200 KiB/s"',
}


def parse(value: object, unit: Unit) -> float:
    """Return bytes (whole), seconds or bytes a second (whole).

    Raises:
        ValueError: not a number with such a unit; the text shows the right form.
    """
    if value == 0 and type(value) is int:
        return 0
    if not isinstance(value, str):
        raise ValueError(_form(unit, value))  # noqa: TRY004  # a mistake of the file, not of the program
    text = value.strip()
    if unit is Unit.RATE:
        text, slash, second = text.partition("/")
        if slash and second.strip() != "s":
            raise ValueError(_form(unit, value))
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise ValueError(_form(unit, value))
    number = Decimal(match[1])
    if not number:
        return 0
    factor = (_DURATIONS if unit is Unit.DURATION else _SIZES).get(match[2])
    if factor is None or (unit is Unit.RATE and not slash):
        raise ValueError(_form(unit, value))
    scaled = number * factor
    if scaled != int(scaled):
        raise ValueError(f"{value!r} is not a whole number of {'microseconds' if unit is Unit.DURATION else 'bytes'}")
    return int(scaled) / 10**6 if unit is Unit.DURATION else int(scaled)


def _form(unit: Unit, value: object) -> str:
    hint = ""
    if type(value) is int and value > 0:
        hint = f'; {value} bytes are "{show(value, Unit.SIZE)}"' if unit is Unit.SIZE else f"; {value} has no unit"
    return f"must be a {unit.value} with its unit, such as {_EXAMPLES[unit]}{hint}"


def show(value: float, unit: Unit) -> str:
    """Return the shortest exact text that `parse` reads as `value`; plain numbers for `Unit.NONE`."""
    if unit is Unit.NONE:
        return str(value)
    if unit is Unit.DURATION:
        return _show_duration(value)
    for name in ("PiB", "TiB", "GiB", "MiB", "KiB"):
        scale = _SIZES[name]
        if value >= scale and value * 2 % scale == 0 and value / scale < 10_000:
            number = value / scale
            return f"{number:g} {name}{'/s' if unit is Unit.RATE else ''}"
    return f"{int(value)} B{'/s' if unit is Unit.RATE else ''}"


def _show_duration(value: float) -> str:
    micros = round(value * 10**6)
    for name in ("h", "min", "s", "ms"):
        if micros and micros % _DURATIONS[name] == 0:
            return f"{micros // _DURATIONS[name]}{name}"
    return f"{micros}us" if micros else "0s"


def roughly(size: float) -> str:
    """Return a size for people, rounded to about three digits: `1.5 GiB`."""
    for name in ("PiB", "TiB", "GiB", "MiB", "KiB"):
        if size >= _SIZES[name]:
            return f"{size / _SIZES[name]:.3g} {name}" if size < 1000 * _SIZES[name] else f"{size / _SIZES[name]:.0f} {name}"
    return f"{int(size)} B"
