"""Block-wise requests (RFC 7959, Block1): a body that comes in several requests, put together within bounds.

Promises
- A body has `size` bytes at most, and `limit` bodies are put together at once.
- A sender that stops in the middle keeps its place from others for `_SILENT` seconds, and its block is no use after `_LIFETIME`.
- A block that comes twice is taken once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from device_agent.sources.coap.message import Code, Option, uint

_LIFETIME: Final = 93.0  # seconds; MAX_TRANSMIT_WAIT of RFC 7252, 4.8.2
_SILENT: Final = 5.0  # seconds; a block that is lost is sent again after 2 to 3


class Refusal(Exception):  # noqa: N818  # a refused request is no error of ours
    """A request that is answered with `code` and a reason."""

    def __init__(self, code: Code, reason: str, *options: tuple[int, bytes]) -> None:
        """Refuse with these `options` in the answer."""
        super().__init__(reason)
        self.code, self.options = code, options


@dataclass(frozen=True, slots=True)
class Block:
    """Where a part belongs."""

    number: int
    more: bool
    exponent: int

    @classmethod
    def of(cls, value: bytes) -> Block:
        """Return what an option says. Raises `Refusal`."""
        found = int.from_bytes(value, "big")
        if len(value) > 3 or found & 7 == 7:
            raise Refusal(Code.BAD_REQUEST, "no such block")
        return cls(found >> 4, bool(found & 8), found & 7)

    @property
    def size(self) -> int:
        """Bytes of a block that is not the last."""
        return 1 << (self.exponent + 4)

    def option(self, number: int) -> tuple[int, bytes]:
        """Return it as an option."""
        return number, uint(self.number << 4 | self.more << 3 | self.exponent)


@dataclass(slots=True)
class _Body:
    last: float  # monotonic, when its last block came
    data: bytearray = field(default_factory=bytearray)


class Assemblies:
    """All bodies that are being put together."""

    def __init__(self, *, limit: int, size: int, monotonic: Callable[[], float]) -> None:
        """Put `limit` bodies of `size` bytes together at most."""
        self._limit, self._size, self._monotonic = limit, size, monotonic
        self._bodies: dict[Hashable, _Body] = {}  # the one that has been silent for longest is the first

    def __len__(self) -> int:
        return len(self._bodies)

    def feed(self, key: Hashable, block: Block, payload: bytes) -> bytes | None:
        """Add a block to the body of `key`. Return the body once it is complete; None: more blocks are to come.

        Raises:
            Refusal: the body is too large, a block is missing, or too many bodies are under way.
        """
        now = self._monotonic()
        body = self._bodies.pop(key, None)
        if body is None or now - body.last > _LIFETIME:
            body = self._begin(now)
        start, end = block.number * block.size, block.number * block.size + len(payload)
        if start > len(body.data):
            raise Refusal(Code.INCOMPLETE, "blocks are missing; send the first one again")
        if len(payload) > block.size or (block.more and len(payload) < block.size):
            raise Refusal(Code.BAD_REQUEST, "the payload is not as long as its block")
        if end > self._size:
            raise too_large(self._size)
        if body.data[start:end] != payload:  # else it came before, and later ones may have come, too
            body.data[start:] = payload
        if not block.more:
            return bytes(body.data[:end])
        body.last = now
        self._bodies[key] = body
        return None

    def _begin(self, now: float) -> _Body:
        if len(self._bodies) >= self._limit:
            oldest, body = next(iter(self._bodies.items()))
            if now - body.last < _SILENT:
                raise Refusal(Code.UNAVAILABLE, "too many block-wise transfers are under way", (Option.MAX_AGE, uint(1)))
            del self._bodies[oldest]
        return _Body(now)


def too_large(size: int) -> Refusal:
    """Return what to say of a body above `size` bytes."""
    return Refusal(Code.TOO_LARGE, f"at most {size} bytes are taken", (Option.SIZE1, uint(size)))
