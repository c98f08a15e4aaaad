"""Setting: a key of the configuration: a field of a dataclass with the sentence for people and the unit."""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import Any, Final

#: Metadata keys of a field.
DOC: Final = "doc"
UNIT: Final = "unit"


class Unit(Enum):
    """How a number is written in the file."""

    NONE = "none"
    SIZE = "size"  # "64 KiB"
    DURATION = "duration"  # "5s"
    RATE = "rate"  # "200 KiB/s"


def setting(doc: str, *, unit: Unit = Unit.NONE, **kwargs: Any) -> Any:
    """Return a dataclass field with its sentence and unit; without `default` the key is required."""
    return field(metadata={DOC: doc, UNIT: unit}, **kwargs)
