"""Redact: secrets out of whatever people get to see: errors, the log, `status`, `check`.

By position, not by text: a password may also stand elsewhere in its URL, so what stands between `://` and `@` goes, whatever it is; of
several `@` the last one counts, since a password may hold one.
"""

from __future__ import annotations

import re
from typing import Final

_URL: Final = re.compile(r"(://)\S*@")
#: What urllib3 says of a URL that is none: it may have anything in it, spaces too.
_BROKEN: Final = re.compile(r"(Failed to parse: ).*", re.DOTALL)
#: Headers that carry secrets, in the words of Python's and urllib3's errors: `Invalid header value b'...'`.
_HEADER: Final = re.compile(r"(Invalid header value:? ).*", re.DOTALL | re.IGNORECASE)
_PEM: Final = re.compile(r"-----BEGIN [^-]*-----.*?(-----END [^-]*-----|\Z)", re.DOTALL)
_HIDDEN: Final = "***"
#: A CURVE key in Z85 (RFC 32), which somebody may write where a path belongs.
_Z85: Final = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}", re.ASCII)


def redact(text: str) -> str:
    """Return `text` without what may be a secret in it."""
    if "://" in text and "@" in text:
        text = _URL.sub(rf"\1{_HIDDEN}@", text)
    if "Failed to parse: " in text:
        text = _BROKEN.sub(rf"\1{_HIDDEN}", text)
    if "-----BEGIN" in text:
        text = _PEM.sub(_HIDDEN, text)
    return _HEADER.sub(rf"\1{_HIDDEN}", text) if "header value" in text else text


def path(value: str) -> str:
    """Return a path for people, unless a key was written in its place."""
    if "\n" in value or "-----BEGIN" in value or (_Z85.fullmatch(value) and not value.startswith("/")):
        return f"{_HIDDEN} (that looks like a key: name the file that holds it)"
    return value
