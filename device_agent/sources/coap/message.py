"""CoAP messages as bytes (RFC 7252, section 3). No input or output here; bytes that are no message raise `Malformed` and nothing else.

aiocoap has such a codec, too. It copies the rest of a datagram at each option, so one datagram of 64 KiB with 30,000 options takes
seconds; here the number of options is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_VERSION: Final = 1
_HEADER: Final = 4  # bytes
_MAX_TOKEN: Final = 8  # bytes
_PAYLOAD: Final = 0xFF  # the byte before a payload
#: Options of a message at most; a topic needs one for each of its parts.
_MAX_OPTIONS: Final = 128


class Malformed(Exception):  # noqa: N818  # what it is, not what went wrong here
    """Bytes that are no CoAP message."""


class Kind(IntEnum):
    """What the other side does about a message."""

    CON = 0  # acknowledges it
    NON = 1  # does not
    ACK = 2
    RST = 3  # has nothing to do with it


class Code(IntEnum):
    """Requests and responses that we use, `class << 5 | detail` (RFC 7252, 12.1; RFC 7959, 6)."""

    EMPTY = 0
    GET = 1
    POST = 2
    CHANGED = 2 << 5 | 4
    CONTENT = 2 << 5 | 5
    CONTINUE = 2 << 5 | 31
    BAD_REQUEST = 4 << 5
    UNAUTHORIZED = 4 << 5 | 1
    BAD_OPTION = 4 << 5 | 2
    NOT_FOUND = 4 << 5 | 4
    NOT_ALLOWED = 4 << 5 | 5
    INCOMPLETE = 4 << 5 | 8
    TOO_LARGE = 4 << 5 | 13
    UNAVAILABLE = 5 << 5 | 3
    NO_PROXY = 5 << 5 | 5


class Option(IntEnum):
    """Numbers of options that we use. An odd number is critical: who does not know it must refuse the request."""

    URI_HOST = 3
    URI_PORT = 7
    URI_PATH = 11
    CONTENT_FORMAT = 12
    MAX_AGE = 14
    URI_QUERY = 15
    ACCEPT = 17
    BLOCK2 = 23
    BLOCK1 = 27
    PROXY_URI = 35
    PROXY_SCHEME = 39
    SIZE1 = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message."""

    kind: Kind
    code: int
    mid: int  # message id
    token: bytes = b""
    options: tuple[tuple[int, bytes], ...] = ()  # ordered by their numbers
    payload: bytes = b""

    @property
    def is_request(self) -> bool:
        """Whether the code is of a method."""
        return 0 < self.code < 32

    def values(self, number: int) -> list[bytes]:
        """Return the values of an option, in their order."""
        return [value for found, value in self.options if found == number]


def decode(data: bytes) -> Message:
    """Return the message of a datagram. Raises `Malformed`."""
    if len(data) < _HEADER or data[0] >> 6 != _VERSION:
        raise Malformed
    start = _HEADER + (data[0] & 0x0F)
    if start > min(len(data), _HEADER + _MAX_TOKEN) or (data[1] == Code.EMPTY and len(data) > _HEADER):
        raise Malformed
    options, at = _options(data, start)
    if at == len(data) - 1:
        raise Malformed  # a payload is announced, and there is none
    return Message(
        kind=_KINDS[data[0] >> 4 & 3], code=data[1], mid=data[2] << 8 | data[3], token=data[_HEADER:start], options=tuple(options),
        payload=data[at + 1 :],
    )  # fmt: skip


_KINDS: Final = tuple(Kind)


def _options(data: bytes, at: int) -> tuple[list[tuple[int, bytes]], int]:
    """Return the options from `at` on, and where they end."""
    found: list[tuple[int, bytes]] = []
    number = 0
    while at < len(data) and data[at] != _PAYLOAD:
        first = data[at]
        delta, at = _extended(data, first >> 4, at + 1)
        length, at = _extended(data, first & 0x0F, at)
        number += delta
        if at + length > len(data) or len(found) == _MAX_OPTIONS:
            raise Malformed
        found.append((number, data[at : at + length]))
        at += length
    return found, at


def _extended(data: bytes, nibble: int, at: int) -> tuple[int, int]:
    """Return the number that a nibble, and for large ones the bytes at `at`, stand for, and where they end."""
    if nibble < 13:
        return nibble, at
    width = nibble - 12
    if nibble == 15 or at + width > len(data):
        raise Malformed
    return int.from_bytes(data[at : at + width], "big") + (13 if width == 1 else 269), at + width


def encode(message: Message) -> bytes:
    """Return the datagram of a message."""
    parts = [
        bytes((_VERSION << 6 | message.kind << 4 | len(message.token), message.code, message.mid >> 8, message.mid & 0xFF)),
        message.token,
    ]
    last = 0
    for number, value in message.options:
        delta, more_delta = _nibble(number - last)
        length, more_length = _nibble(len(value))
        parts += [bytes((delta << 4 | length,)), more_delta, more_length, value]
        last = number
    if message.payload:
        parts += [bytes((_PAYLOAD,)), message.payload]
    return b"".join(parts)


def _nibble(number: int) -> tuple[int, bytes]:
    if number < 13:
        return number, b""
    return (13, (number - 13).to_bytes(1, "big")) if number < 269 else (14, (number - 269).to_bytes(2, "big"))


def uint(number: int) -> bytes:
    """Return a number as the value of an option."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
