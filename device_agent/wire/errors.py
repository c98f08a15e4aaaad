"""The one error of the wire: what is not valid is an `EnvelopeError`; anything else that escapes from `wire` is a bug."""

from __future__ import annotations


class EnvelopeError(ValueError):
    """Not a valid envelope (or part of one). The message says what is wrong and never repeats a payload."""
