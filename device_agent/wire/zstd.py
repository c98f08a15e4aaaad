"""zstd as the wire uses it: whole frames that say their decoded size, and nothing that decodes to more than it says.

Three libraries offer the same codec: `zstandard` on the device (Debian packages it), `compression.zstd` in Python 3.14 (Lambda), and
`backports.zstd` between them. Whichever is there is used; the frame headers are read here, because the libraries differ in how they
treat several frames, missing sizes and truncation. Frame format: RFC 8878.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from device_agent.wire.errors import EnvelopeError

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
#: A block never decodes to more than 128 KiB (RFC 8878, 3.1.1.2.4).
_BLOCK_MAX: Final = 128 * 1024
#: What every decoder should support (RFC 8878, 3.1.1.1.2); more would be memory for nothing, since an envelope holds less.
_WINDOW_MAX: Final = 8 * 1024 * 1024
_RLE: Final = 1
_RESERVED: Final = 3


def _codec() -> tuple[Callable[[bytes, int], bytes], Callable[[bytes, int], bytes]]:
    """Return (compress(data, level), decompress(frame, size)) of the first library that is there."""
    try:
        return _zstandard(importlib.import_module("zstandard"))
    except ImportError:
        pass
    try:
        return _standard(importlib.import_module("compression.zstd"))
    except ImportError:
        return _standard(importlib.import_module("backports.zstd"))


def _zstandard(module: Any) -> tuple[Callable[[bytes, int], bytes], Callable[[bytes, int], bytes]]:
    own = threading.local()  # contexts are not safe to share between threads, and dear to make

    def compress(data: bytes, level: int) -> bytes:
        contexts = own.__dict__.setdefault("compressors", {})
        if level not in contexts:
            contexts[level] = module.ZstdCompressor(level=level)
        return bytes(contexts[level].compress(data))

    def decompress(frame: bytes, size: int) -> bytes:
        if "decompressor" not in own.__dict__:
            own.decompressor = module.ZstdDecompressor()
        try:
            return bytes(own.decompressor.decompress(frame, max_output_size=size))
        except module.ZstdError:
            raise EnvelopeError("data is damaged: a zstd frame does not decode") from None

    return compress, decompress


def _standard(module: Any) -> tuple[Callable[[bytes, int], bytes], Callable[[bytes, int], bytes]]:
    def compress(data: bytes, level: int) -> bytes:
        return bytes(module.compress(data, level))

    def decompress(frame: bytes, size: int) -> bytes:
        decompressor = module.ZstdDecompressor()
        try:
            data = bytes(decompressor.decompress(frame, max_length=size + 1))
        except module.ZstdError:
            raise EnvelopeError("data is damaged: a zstd frame does not decode") from None
        if not decompressor.eof:
            raise EnvelopeError("data is damaged: a zstd frame decodes to another size than it says")
        return data

    return compress, decompress


_compress, _decompress = _codec()


def compress(data: bytes, *, level: int = 1) -> bytes:
    """Return `data` as one zstd frame that says its decoded size."""
    return _compress(data, level)


def decompress(data: bytes, *, limit: int) -> bytes:
    """Decode one or more whole frames into their concatenation, at most `limit` bytes.

    Raises:
        EnvelopeError: a frame is damaged, cut short, empty, says no size or a wrong one, needs a dictionary or a window of more than 8 MiB,
            or all together exceed `limit`.
    """
    parts = []
    for frame, size in _frames(data):
        limit -= size
        if limit < 0:
            raise EnvelopeError("data decodes to more than an envelope may hold")
        part = _decompress(frame, size)
        if len(part) != size:
            raise EnvelopeError("data is damaged: a zstd frame decodes to another size than it says")
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each frame with the decoded size it says."""
    start = 0
    while start < len(data):
        offset, size, checksum = _frame_header(data, start)
        last = False
        while not last:
            header = int.from_bytes(_cut(data, offset, 3), "little")
            last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
            if kind == _RESERVED or length > _BLOCK_MAX:
                raise EnvelopeError("data is damaged: a zstd block header is not valid")
            offset += 3 + (1 if kind == _RLE else length)
        offset += 4 if checksum else 0
        if offset > len(data):
            raise EnvelopeError("data is cut short within a zstd frame")
        yield data[start:offset], size
        start = offset


def _frame_header(data: bytes, start: int) -> tuple[int, int, bool]:
    """Return (offset of the first block, decoded size, has checksum) of the frame at `start`."""
    if _cut(data, start, 4) != _MAGIC:
        raise EnvelopeError("data is not a sequence of zstd frames")
    flags = _cut(data, start + 4, 1)[0]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    if flags & 0b1011 or not width:
        raise EnvelopeError("data has a zstd frame with a dictionary, a reserved flag or no decoded size")
    offset = start + 5 + (0 if single else 1)
    size = int.from_bytes(_cut(data, offset, width), "little") + (256 if width == 2 else 0)
    if not size:
        raise EnvelopeError("data has an empty zstd frame")
    if not single and _window(data[start + 5]) > _WINDOW_MAX:
        raise EnvelopeError("data has a zstd frame with a window of more than 8 MiB")
    return offset + width, size, bool(flags >> 2 & 1)


def _window(descriptor: int) -> int:
    """Return the window's size in bytes (RFC 8878, 3.1.1.1.2)."""
    base = 1 << 10 + (descriptor >> 3)
    return base + base // 8 * (descriptor & 7)


def _cut(data: bytes, start: int, length: int) -> bytes:
    part = data[start : start + length]
    if len(part) != length:
        raise EnvelopeError("data is cut short within a zstd frame")
    return part
