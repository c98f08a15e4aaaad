"""Frames of STOMP 1.1 and 1.2: out of the bytes of a connection, and into them.

Promises
- A body is what the sender sent, byte for byte: by its `content-length`, or else up to the first NUL.
- Memory is bounded: a head that is too long is an error, and a body above `largest` is read to its end but not kept.
- What is not STOMP is an error at its first line, not a wait for a NUL that never comes.

How: this class finds where a frame ends; stomp.py parses the head, and writes frames.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

# stomp.py asks the name server for this board's names when it is imported, and that takes many seconds while there is no network.
os.environ.setdefault("STOMP_SKIP_HOSTNAME_SCAN", "1")
from stomp import utils

#: Bytes of command and headers at most, far above what brokers allow a sender.
MAX_HEAD: Final = 256 * 1024
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_COMMANDS: Final = frozenset({"CONNECTED", "MESSAGE", "RECEIPT", "ERROR"})
_DIGITS: Final = 15  # of a content-length; a longer one is nonsense
_ESCAPES: Final = {"1.1": str.maketrans({"\\": "\\\\", "\n": "\\n", ":": "\\c"})}
_ESCAPES["1.2"] = _ESCAPES["1.1"] | {ord("\r"): "\\r"}


class BrokenError(Exception):
    """The other side does not keep to the protocol; the text goes on after its name."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a broker sends."""

    command: str
    headers: dict[str, str]
    body: bytes
    size: int  # of its body; `body` is empty if that is more than the largest that is kept


def encode(command: str, headers: dict[str, str], *, version: str = "") -> bytes:
    """Return the bytes of a frame without a body. `version` says how headers are escaped; empty: not at all, as in CONNECT."""
    if version:
        table = _ESCAPES[version]
        headers = {key: value.translate(table) for key, value in headers.items()}
    packed: bytes = utils.pack(utils.convert_frame(utils.Frame(command, headers)))
    return packed


class Frames:
    """The frames within the bytes that were fed."""

    def __init__(self, *, largest: int) -> None:
        """Begin at the first byte of a connection; `largest` is in bytes of a body."""
        self._largest = largest
        self._buffer = bytearray()
        self._at = 0  # where what was not taken yet begins
        self._head: Frame | None = None  # of a frame whose body is not complete
        self._length: int | None = None  # its content-length
        self._dropped = 0  # bytes of its body that were not kept

    def feed(self, data: bytes) -> None:
        """Add what came. Call `next` until it returns None before the next call."""
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data

    def next(self) -> Frame | None:
        """Return the next frame that is complete. Raises `BrokenError`."""
        if self._head is None:
            self._head = self._take_head()
        if self._head is None:
            return None
        body = self._up_to_nul() if self._length is None else self._measured(self._length)
        if body is None:
            return None
        head, size = self._head, self._dropped or len(body)
        self._head, self._dropped = None, 0
        return Frame(head.command, head.headers, body, size)

    def _take_head(self) -> Frame | None:
        buffer = self._buffer
        while self._at < len(buffer) and buffer[self._at] in b"\r\n":  # a heart-beat, or the end of the line after a frame
            self._at += 1
        found = _HEAD_END.search(buffer, self._at)
        if found is None:
            self._look_at_command()
            return None
        head = utils.parse_frame(bytes(buffer[self._at : found.end()]))
        if head.cmd not in _COMMANDS:
            raise BrokenError(f"does not speak STOMP: it says {head.cmd[:40]!r}")
        self._length = _length(head.headers.get("content-length"))
        self._at = found.end()
        return Frame(head.cmd, head.headers, b"", 0)

    def _look_at_command(self) -> None:
        """Raise unless this may become a head."""
        begun = bytes(self._buffer[self._at : self._at + 40])
        command = begun.split(b"\n")[0].decode("ascii", "replace")
        if not any(known.startswith(command.rstrip("\r")) for known in _COMMANDS):
            raise BrokenError(f"does not speak STOMP: it says {command!r}")
        if len(self._buffer) - self._at > MAX_HEAD:
            raise BrokenError(f"sends a frame with more than {MAX_HEAD >> 10} KiB of headers")

    def _measured(self, length: int) -> bytes | None:
        """Return the body of a known length."""
        buffer = self._buffer
        if length > self._largest:
            step = min(len(buffer) - self._at, length - self._dropped)
            self._at += step
            self._dropped += step
            end = self._at if self._dropped == length else len(buffer)
        else:
            end = self._at + length
        if end >= len(buffer):
            return None
        if buffer[end]:
            raise BrokenError("sends a frame that does not end where its content-length says")
        body = bytes(buffer[self._at : end])
        self._at = end + 1
        return body

    def _up_to_nul(self) -> bytes | None:
        """Return the body of a frame that does not say its length."""
        end = self._buffer.find(0, self._at)
        stop = len(self._buffer) if end < 0 else end
        if self._dropped or stop - self._at > self._largest:
            self._dropped += stop - self._at
            self._at = stop
        if end < 0:
            return None
        body = bytes(self._buffer[self._at : end])
        self._at = end + 1
        return body


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise BrokenError(f"sends a frame with the content-length {text[:40]!r}")
    return int(text)
