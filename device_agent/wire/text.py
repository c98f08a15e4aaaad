"""Text: which payloads may stand in a body as they are, to the letter.

Promises: what `json_text` returns is JSON that SQS takes unchanged and that every consumer can parse, in any language.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Final

from device_agent.wire.limits import MAX_DEPTH

#: What SQS does not take in a body (SendMessage reference); text with these goes as base64.
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


def json_text(payload: bytes) -> str | None:
    """Return the payload as text if it is JSON that SQS takes unchanged and that every consumer can parse, else None."""
    try:
        text = payload.decode()
        value = json.loads(text, parse_constant=refuse)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is an error for strict parsers
    except (ValueError, RecursionError):
        return None
    return None if _ILLEGAL.search(text) or _too_deep(text) else text


def _too_deep(text: str) -> bool:
    """Tell whether more than `MAX_DEPTH` arrays and objects of a JSON text are within each other."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    steps = (1 if bracket in "[{" else -1 for bracket in _STRING.sub("", text) if bracket in "[]{}")
    return max(accumulate(steps), default=0) > MAX_DEPTH


def refuse(constant: str) -> None:
    """Raise ValueError for what Python's parser takes beyond JSON: NaN, Infinity, -Infinity."""
    raise ValueError(f"{constant} is not JSON")


def is_text(text: str) -> bool:
    """Tell whether `text` can be written as UTF-8, so has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
