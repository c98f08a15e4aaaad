"""Redact: secrets out of whatever people get to see: errors, the log, `status`, `check`.

By position, not by text: a password may also stand elsewhere in its URL, so what stands between `://` and `@` goes, whatever it is; of
several `@` the last one counts, since a password may hold one. So does what stands before an `@` with a `:` in it, for a URL whose scheme
was forgotten, and the query of a URL, where tokens are.
"""

from __future__ import annotations

import re
from typing import Final

_URL: Final = re.compile(r"(://)\S*@")
_NO_SCHEME: Final = re.compile(r"[^\s:/@'\"(=\[,]+:[^\s/@][^\s@]*@(?:[^\s@]*@)*")
_QUERY: Final = re.compile(r"(://[^\s?'\"]*\?)[^\s'\"]+")
#: What urllib3 says of a URL that is none: it may have anything in it, spaces too.
_BROKEN: Final = re.compile(r"(Failed to parse: ).*", re.DOTALL)
#: Headers that carry secrets, in the words of Python's and urllib3's errors: `Invalid header value b'...'`.
_HEADER: Final = re.compile(r"(Invalid header value:? ).*", re.DOTALL | re.IGNORECASE)
_PEM: Final = re.compile(r"-----BEGIN [^-]*-----.*?(-----END [^-]*-----|\Z)", re.DOTALL)
_HIDDEN: Final = "***"
#: What a program that gives credentials writes to its standard error, in botocore's words.
_PROGRAM: Final = re.compile(r"(Error when retrieving credentials from custom-process: ).*", re.DOTALL)
#: A CURVE key (40 characters in Z85, RFC 32), or another one, that somebody wrote where a path belongs is not shorter.
_KEY: Final = 32
_PATHS: Final = ("/", "./", "../", "~/")


def redact(text: str) -> str:
    """Return `text` without what may be a secret in it."""
    if "://" in text and "@" in text:
        text = _URL.sub(rf"\1{_HIDDEN}@", text)
    if "@" in text:
        text = _NO_SCHEME.sub(f"{_HIDDEN}@", text)
    if "://" in text and "?" in text:
        text = _QUERY.sub(rf"\1{_HIDDEN}", text)
    if "custom-process" in text:
        text = _PROGRAM.sub(rf"\1{_HIDDEN} (run the credential_process by hand to see what it says)", text)
    if "Failed to parse: " in text:
        text = _BROKEN.sub(rf"\1{_HIDDEN}", text)
    if "-----BEGIN" in text:
        text = _PEM.sub(_HIDDEN, text)
    return _HEADER.sub(rf"\1{_HIDDEN}", text) if "header value" in text else text


def path(value: str) -> str:
    """Return a path for people, unless a key was written in its place."""
    bare = value.strip().strip("\"'")
    if "\n" in bare or "-----BEGIN" in bare or (len(bare) >= _KEY and not bare.startswith(_PATHS)):
        return f"{_HIDDEN} (that looks like a key: name the file that holds it)"
    return value
