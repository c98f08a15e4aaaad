"""Setting: a key of the configuration: a field of a dataclass with the sentence for people, the unit, and what it may be."""

from __future__ import annotations

from dataclasses import Field, field
from enum import Enum
from typing import Any, Final

_DOC: Final = "doc"
_UNIT: Final = "unit"
_BOUNDS: Final = "bounds"
_CHOICES: Final = "choices"
_SECRET: Final = "secret"  # noqa: S105  # no password: the name of a field's property


class Unit(Enum):
    """How a number is written in the file."""

    NONE = "none"
    SIZE = "size"  # "64 KiB"
    DURATION = "duration"  # "5s"
    RATE = "rate"  # "200 KiB/s"


def setting(
    doc: str,
    *,
    unit: Unit = Unit.NONE,
    bounds: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
    **kwargs: Any,
) -> Any:
    """Return a dataclass field; without `default` the key is required.

    Args:
        doc: the sentence for people.
        unit: how its number is written.
        bounds: smallest and largest, in bytes, seconds or pieces; None: any.
        choices: the texts that it takes; empty: any.
        secret: it is the path of a file that must be readable by the agent alone (0600).
        kwargs: as for `dataclasses.field`.
    """
    return field(metadata={_DOC: doc, _UNIT: unit, _BOUNDS: bounds, _CHOICES: choices, _SECRET: secret}, **kwargs)


def doc_of(item: Field[Any]) -> str:
    """Return the sentence for people."""
    return str(item.metadata.get(_DOC, ""))


def unit_of(item: Field[Any]) -> Unit:
    """Return how its number is written."""
    found: Unit = item.metadata.get(_UNIT, Unit.NONE)
    return found


def bounds_of(item: Field[Any]) -> tuple[float, float] | None:
    """Return the smallest and the largest; None: any."""
    found: tuple[float, float] | None = item.metadata.get(_BOUNDS)
    return found


def choices_of(item: Field[Any]) -> tuple[str, ...]:
    """Return the texts that it takes; none: any."""
    found: tuple[str, ...] = item.metadata.get(_CHOICES, ())
    return found


def is_secret(item: Field[Any]) -> bool:
    """Whether it is the path of a file for the agent alone."""
    return bool(item.metadata.get(_SECRET))
