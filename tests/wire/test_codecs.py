"""Three libraries offer zstd; device and cloud may have different ones. They must agree on every frame, good or bad."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.wire import zstd
from device_agent.wire.errors import EnvelopeError

Codec = tuple[Callable[[bytes, int], bytes], Callable[[bytes, int], bytes]]


def _codec(name: str) -> Codec | None:
    try:
        module = importlib.import_module(name)
    except ImportError:
        return None
    return zstd._zstandard(module) if name == "zstandard" else zstd._standard(module)


ALL = {name: _codec(name) for name in ("zstandard", "compression.zstd", "backports.zstd")}
CODECS = {name: codec for name, codec in ALL.items() if codec is not None}


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return CODECS[request.param]


@pytest.mark.parametrize("name", ALL)
def test_this_library_was_tried(name: str) -> None:
    if name not in CODECS:
        pytest.skip(f"{name} is not installed here (compression.zstd comes with Python 3.14, backports.zstd by choice)")


@pytest.fixture
def only(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wire use this library alone."""
    monkeypatch.setattr(zstd, "_compress", codec[0])
    monkeypatch.setattr(zstd, "_decompress", codec[1])


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_535, 65_536, 70_000, 2**20, 4 * 2**20])
def test_every_library_decodes_its_own_frames_of_every_size(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert zstd.decompress(zstd.compress(data) * 2, limit=2 * size) == data * 2
    with pytest.raises(EnvelopeError):
        zstd.decompress(zstd.compress(data), limit=size - 1)


@pytest.mark.usefixtures("only")
def test_every_library_decodes_frames_of_the_others() -> None:
    data = b"columns" * 1000
    for compress, _ in CODECS.values():
        assert zstd.decompress(compress(data, 3), limit=len(data)) == data


def frame(size: int, content: bytes, *, kind: int = 0, checksum: bytes = b"", window: int | None = None) -> bytes:
    """A frame of one block, made by hand (RFC 8878)."""
    flags = 0xC0 | (0x20 if window is None else 0) | (0x04 if checksum else 0)
    head = b"\x28\xb5\x2f\xfd" + bytes([flags]) + (b"" if window is None else bytes([window])) + size.to_bytes(8, "little")
    length = size if kind == 1 else len(content)
    return head + (length << 3 | kind << 1 | 1).to_bytes(3, "little") + content + checksum


def test_the_frames_made_by_hand_are_right(codec: Codec) -> None:
    assert zstd.decompress(frame(5, b"hello"), limit=5) == b"hello"
    assert zstd.decompress(frame(5, b"x", kind=1), limit=5) == b"xxxxx"
    assert zstd.decompress(frame(5, b"hello", window=0x68), limit=5) == b"hello"
    assert codec[1](frame(5, b"hello"), 5) == b"hello"


BAD: dict[str, bytes] = {
    "says less than it holds": frame(4, b"hello"),
    "says more than it holds": frame(6, b"hello"),
    "is empty": frame(0, b""),
    "says it is empty": frame(0, b"hello"),
    "has a wrong checksum": frame(5, b"hello", checksum=b"1234"),
    "has a reserved block": frame(5, b"hello", kind=3),
    "has a compressed block of rubbish": frame(5, b"hello", kind=2),
    "wants a window of 9 MiB": frame(5, b"hello", window=0x69),
    "has a dictionary": b"\x28\xb5\x2f\xfd\xe1\x07" + (5).to_bytes(8, "little") + b"\x29\x00\x00hello",
    "has the reserved bit": b"\x28\xb5\x2f\xfd\xe8" + (5).to_bytes(8, "little") + b"\x29\x00\x00hello",
    "does not say its size": b"\x28\xb5\x2f\xfd\x00\x58\x29\x00\x00hello",
    "is skippable": b"\x50\x2a\x4d\x18\x05\x00\x00\x00hello",
    "is of another magic": b"\x28\xb5\x2f\xfc" + frame(5, b"hello")[4:],
}


@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_every_library_refuses_a_frame_that(data: bytes) -> None:
    for whole in (data, frame(5, b"hello") + data):
        with pytest.raises(EnvelopeError):
            zstd.decompress(whole, limit=100)


def test_nothing_at_all_decodes_to_nothing() -> None:
    assert zstd.decompress(b"", limit=0) == b""


@given(st.binary(min_size=1, max_size=500), st.data())
def test_libraries_agree_on_changed_frames(content: bytes, data: st.DataObject) -> None:
    changed = bytearray(zstd.compress(content))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    results = []
    for _, decompress in CODECS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(zstd, "_decompress", decompress)
            try:
                results.append(zstd.decompress(bytes(changed), limit=1000))
            except EnvelopeError:
                results.append(b"refused")
    assert len(set(results)) == 1
