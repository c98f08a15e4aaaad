"""What is not a valid envelope raises EnvelopeError and nothing else, quickly and within bounds of memory, whatever it is."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from device_agent.wire import block, envelope, zstd
from device_agent.wire.block import Run
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.limits import MAX_DECODED, MAX_MESSAGE, MAX_READING, MAX_READINGS, MAX_TIME, MIB
from tests.wire import golden, strategies
from tests.wire.strategies import NAMES

RUN = Run(1_700_000_000_000_000, True, [b"abc", b"d", [b"e", b"f"]], ["t", None, "u"], "client")
BLOCK = block.encode([RUN])
BODY = envelope.encode_blocks(**NAMES, first=7, count=3, time=RUN.received, data=BLOCK)
READING = envelope.encode_reading(**NAMES, seq=7, received=1, synced=True, payload=[b"a", b"b"], topic="t", client="c")
NOTICE = envelope.encode_notice(envelope.Notice(**NAMES, first=1, last=2, time=3, reason="dropped", detail="x"))
VALID = [BODY, READING, NOTICE]
#: Peak of what decoding one body may take: well above the largest valid one (about 60 MiB), well below a small function's memory.
MEMORY = 192 * MIB


def only_envelope_errors(decode: Callable[[Any], object], data: object) -> None:
    with contextlib.suppress(EnvelopeError):
        decode(data)


def packed(columns: object) -> bytes:
    return zstandard.compress(msgpack.packb(columns))


@given(st.text() | st.from_regex(r'\{"specversion":"1\.0".*\}', fullmatch=True))
def test_random_text_is_refused(text: str) -> None:
    only_envelope_errors(envelope.decode, text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.sampled_from(VALID), st.data())
def test_any_attribute_of_any_kind_and_value_is_read_or_refused(body: str, data: st.DataObject) -> None:
    event = json.loads(body)
    for name in data.draw(
        st.lists(st.sampled_from([*sorted(event), "data", "data_base64", "framesizes", "clock", "topic"]), min_size=1, max_size=3)
    ):
        if data.draw(st.booleans()):
            event[name] = data.draw(
                json_values | st.sampled_from(["1.0", "0", "1", "-1", "9" * 19, "9" * 30, True, 3.0, "\ud800", "a" * 300])
            )
        else:
            event.pop(name, None)
    only_envelope_errors(envelope.decode, json.dumps(event))


@given(st.sampled_from(VALID), st.data())
def test_cut_and_changed_bodies_are_refused_or_read(body: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body)))
    only_envelope_errors(envelope.decode, body[:at])
    only_envelope_errors(envelope.decode, body[:at] + data.draw(st.text(max_size=3)) + body[at + data.draw(st.integers(0, 3)) :])


@given(st.binary())
def test_random_bytes_are_no_blocks(data: bytes) -> None:
    only_envelope_errors(block.decode, data)


@given(st.data())
def test_changed_blocks_are_refused_or_read(data: st.DataObject) -> None:
    mutable = bytearray(BLOCK)
    for _ in range(data.draw(st.integers(1, 4))):
        mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
    only_envelope_errors(block.decode, bytes(mutable[: data.draw(st.integers(0, len(mutable)))]))


@given(st.binary(max_size=200) | st.builds(bytes.__add__, st.just(block.encode_columns([RUN])[:20]), st.binary(max_size=100)))
def test_whatever_a_frame_holds_is_refused_or_read(data: bytes) -> None:
    only_envelope_errors(block.decode, zstandard.compress(data))


columns = st.fixed_dictionaries(
    {name: json_values | st.binary() | st.lists(st.integers(-(2**63), 2**64 - 1)) | st.lists(st.binary()) for name in "tsTCp"}
)


@given(columns)
def test_columns_of_any_shape_are_refused_or_read(held: dict[str, object]) -> None:
    with contextlib.suppress(UnicodeEncodeError, OverflowError):  # what MessagePack itself cannot hold
        only_envelope_errors(block.decode, packed(held))


@given(st.integers(0, len(BLOCK) - 1))
def test_a_cut_block_is_refused(at: int) -> None:
    with pytest.raises(EnvelopeError):
        block.decode(BLOCK[:at])


@given(st.binary(min_size=1, max_size=20))
@example(b"\x00")
@example(b"\x50\x2a\x4d\x18\x00\x00\x00\x00")  # a skippable frame
def test_rubbish_behind_a_block_is_refused(tail: bytes) -> None:
    with pytest.raises(EnvelopeError):
        block.decode(BLOCK + tail)


# One thing wrong at a time


def good() -> dict[str, Any]:
    return {"t": [5, 2], "s": [1, 2], "T": [["a", None], b"\x00\x01"], "C": [[None], 0], "p": [b"x", [b"y", b"z"]]}


WRONG: dict[str, dict[str, Any]] = {
    "no readings": {"p": [], "t": [], "s": []},
    "a reading that is text": {"p": [b"x", "y"]},
    "a reading that is a number": {"p": [b"x", 1]},
    "one frame as an array": {"p": [b"x", [b"y"]]},
    "an array within frames": {"p": [b"x", [[b"y"], b"z"]]},
    "too many frames": {"p": [b"x", [b""] * 1025]},
    "a reading too large": {"p": [b"x", b"y" * (MAX_READING + 1)]},
    "frames too large together": {"p": [b"x", [b"y" * MAX_READING, b"z"]]},
    "times for fewer readings": {"t": [5, 1]},
    "times for more readings": {"t": [5, 3]},
    "a run of no reading": {"t": [5, 2, 1, 0]},
    "a run of a negative number of readings": {"t": [5, 3, 1, -1]},
    "an odd number of numbers": {"t": [5, 2, 1]},
    "a time before 1970": {"t": [-1, 2]},
    "a delta to before 1970": {"t": [5, 1, -6, 1]},
    "a time after 9999": {"t": [MAX_TIME, 1, 1, 1]},
    "a time that is true": {"t": [True, 2]},
    "a time that is a float": {"t": [5.0, 2]},
    "a clock state of 2": {"s": [2, 2]},
    "a clock state of true": {"s": [True, 2]},
    "a topic that is a number": {"T": [[1, None], b"\x00\x01"]},
    "a topic too long": {"T": [["a" * 257, None], b"\x00\x01"]},
    "a topic too long in UTF-8": {"T": [["\u00e4" * 129, None], b"\x00\x01"]},
    "no topics": {"T": [[], 0]},
    "more topics than readings": {"T": [["a", "b", "c"], b"\x00\x01"]},
    "an index outside": {"T": [["a", None], b"\x00\x02"]},
    "a common index outside": {"C": [[None], 1]},
    "a negative index": {"C": [[None], -1]},
    "an index that is true": {"C": [[None, "a"], True]},
    "too few indexes": {"T": [["a", None], b"\x00"]},
    "too many indexes": {"T": [["a", None], b"\x00\x01\x00"]},
    "indexes as an array": {"T": [["a", None], [0, 1]]},
    "a further column": {"x": 1},
}


def test_the_pattern_of_the_wrong_ones_is_right() -> None:
    assert len(block.decode(packed(good()))) == 2


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_block_with_this_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EnvelopeError):
        block.decode(packed(good() | wrong))


@pytest.mark.parametrize("column", "tsTCp")
def test_a_block_without_a_column_is_refused(column: str) -> None:
    held = good()
    del held[column]
    with pytest.raises(EnvelopeError):
        block.decode(packed(held))


@pytest.mark.parametrize("body", VALID, ids=["readings", "reading", "notice"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("specversion", "0.3"), ("specversion", 1.0), ("id", "x"), ("source", "/devices/other/streams/telemetry"), ("type", "other"),
        ("type", ["x"]),
        ("device", "other"), ("device", "a b"), ("device", None), ("stream", "Upper"), ("epoch", "00112233AABBCCDD"), ("firstseq", 7),
        ("firstseq", "07"), ("firstseq", "0"), ("firstseq", "\u0661"), ("firstseq", str(2**63)),
        ("count", 99), ("count", True), ("count", "1"), ("count", 1.0),
        ("agent", 1), ("agent", "\ud800"), ("agent", "a" * 257),
    ],
)  # fmt: skip
def test_a_body_with_this_attribute_is_refused(body: str, name: str, value: object) -> None:
    with pytest.raises(EnvelopeError):
        envelope.decode(json.dumps(json.loads(body) | {name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clock", "maybe"), ("clock", []), ("clock", None), ("topic", 1), ("topic", None), ("topic", "\ud800"), ("topic", "a" * 257),
        ("client", {}),
        ("framesizes", "1"), ("framesizes", "1,2"), ("framesizes", "2"), ("framesizes", "1,,1"), ("framesizes", "-1,3"),
        ("framesizes", [1, 1]),
        ("framesizes", ""),
        ("framesizes", "0," * 1024 + "2"), ("data_base64", "YWI"), ("data_base64", "YW I="), ("data_base64", 1), ("data_base64", "\u00e4"),
        ("data", 1),
        ("time", "yesterday"), ("time", 5),
    ],
)  # fmt: skip
def test_a_single_reading_with_this_attribute_is_refused(name: str, value: object) -> None:
    with pytest.raises(EnvelopeError):
        envelope.decode(json.dumps(json.loads(READING) | {name: value}))


@pytest.mark.parametrize(
    "data",
    [
        None, [], {}, {"last": 2, "reason": "dropped"}, {"last": "2", "reason": "lost"}, {"last": "0", "reason": "dropped"},
        {"last": "2", "reason": "dropped", "detail": "x" * 1001}, {"last": "2", "reason": "dropped", "detail": "\udfff"},
        {"last": "2", "reason": ["dropped"]},
    ],
)  # fmt: skip
def test_a_notice_with_this_data_is_refused(data: object) -> None:
    with pytest.raises(EnvelopeError):
        envelope.decode(json.dumps(json.loads(NOTICE) | {"data": data}))


def test_a_json_payload_from_another_writer_is_read_by_its_meaning() -> None:
    event = json.loads(envelope.encode_reading(**NAMES, seq=1, received=1, synced=True, payload=b"{}"))
    decoded = envelope.decode(
        json.dumps({"data": {"a": [1, 2.5]}} | {name: value for name, value in event.items() if name != "data"}, indent=1)
    )
    assert isinstance(decoded, envelope.Envelope)
    assert decoded.readings.payloads == [b'{"a":[1,2.5]}']


def test_a_number_that_json_cannot_say_again_is_refused() -> None:
    event = json.loads(envelope.encode_reading(**NAMES, seq=1, received=1, synced=True, payload=b"{}"))
    with pytest.raises(EnvelopeError):
        envelope.decode(json.dumps({"data": 0} | event).replace('"data": {}', '"data": [1e400], "z": 1'))


def test_messages_never_repeat_a_payload() -> None:
    secret = "sesame-4711"
    for body in (
        f"{secret}",
        json.dumps({"specversion": secret}),
        json.dumps(json.loads(READING) | {"data_base64": secret, "topic": secret}),
    ):
        with pytest.raises(EnvelopeError) as caught:
            envelope.decode(body)
        assert secret not in str(caught.value)
        assert caught.value.__cause__ is None


# Bombs


def frame_that_says(size: int, content: bytes) -> bytes:
    """A frame of one raw block whose header says another size; single segment, 8 bytes of size."""
    return b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + (len(content) << 3 | 1).to_bytes(3, "little") + content


def rle(size: int, blocks: int) -> bytes:
    """A frame of 4 bytes a block that decodes to 128 KiB a block."""
    middle = (128 * 1024 << 3 | 1 << 1).to_bytes(3, "little") + b"\x90"
    last = (128 * 1024 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\x90"
    return b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + middle * (blocks - 1) + last


def array(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big")


def in_p(content: bytes) -> bytes:
    return zstandard.compress(b"\x81\xa1p" + content)


BOMBS: dict[str, bytes] = {
    "more than is allowed": zstandard.compress(b"\x00" * (MAX_DECODED + 1)),
    "a gigabyte": rle(2**30, 8192),
    "a gigabyte that says it is small": rle(1000, 8192),
    "small that says it is huge": frame_that_says(2**63, b"x"),
    "small that says it is large": frame_that_says(MAX_DECODED, b"x"),
    "many frames, too large together": zstandard.compress(b"\x00" * MAX_DECODED) * 100,
    "a hundred thousand empty frames": zstandard.compress(b"") * 50_000,
    "a window of 3 GiB": b"\x28\xb5\x2f\xfd\xc0\xaf" + (10).to_bytes(8, "little") + (10 << 3 | 1).to_bytes(3, "little") + b"0123456789",
    "nested arrays": in_p(b"\x91" * 4_000_000),
    "nested maps": in_p(b"\x81\xa1a" * 1_000_000),
    "millions of empty arrays": in_p(array(31) + (array(131_072) + b"\x90" * 131_072) * 31),
    "millions of empty maps": in_p(array(31) + (array(131_072) + b"\x80" * 131_072) * 31),
    "millions of numbers": in_p(array(31) + (array(131_072) + b"\xe0" * 131_072) * 31),
    "millions of timestamps": in_p(array(5) + (array(131_072) + b"\xd6\xff\x00\x00\x00\x01" * 131_072) * 5),
    "an array of four billion": in_p(array(2**32 - 1)),
    "a binary of four billion": in_p(b"\xc6\xff\xff\xff\xff"),
    "extensions": in_p(array(100_000) + b"\xd4\x05\x00" * 100_000),
    "one reading too many": packed({"t": [1, 65_537], "s": [1, 65_537], "T": [[None], 0], "C": [[None], 0], "p": [b""] * 65_537}),
    "too many readings in two blocks": packed({"t": [1, 40_000], "s": [1, 40_000], "T": [[None], 0], "C": [[None], 0], "p": [b""] * 40_000})
    * 2,
    "a run of 2^63 readings": packed({"t": [1, 2**63], "s": [1, 2**63], "T": [[None], 0], "C": [[None], 0], "p": [b""]}),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_within_bounds_of_memory(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(EnvelopeError):
            block.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def test_nested_arrays_that_say_they_are_large_take_no_memory() -> None:
    """In a process of its own, by its resident pages: old versions of msgpack reserve what an array says, but never touch it."""
    bomb = in_p(array(131_072) * 800_000)
    code = """
import resource, sys
from device_agent.wire import block
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    block.decode(sys.stdin.buffer.read())
except block.EnvelopeError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], input=bomb, capture_output=True, check=True, cwd=Path(__file__).parents[2])
    assert int(done.stdout) * 1024 < MEMORY


def test_the_most_frames_that_are_allowed_stay_within_the_same_bound() -> None:
    full = [Run(1, True, [[b"ab"] * 1000] * 1000)]
    data = block.encode(full)
    tracemalloc.start()
    try:
        assert len(block.decode(data)) == 1000
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


LONG = ["[" * MAX_MESSAGE, '{"a":' * 200_000, "1" * MAX_MESSAGE, "[" + "[]," * 300_000 + "[]]", "x" * (MAX_MESSAGE + 1)]


@pytest.mark.parametrize("text", LONG, ids=["arrays", "objects", "digits", "many", "too long"])
def test_a_body_that_is_a_bomb_is_refused(text: str) -> None:
    with pytest.raises(EnvelopeError):
        envelope.decode(text)


def test_more_readings_than_are_said_are_refused() -> None:
    data = base64.b64encode(block.encode([Run(1, True, [b""] * MAX_READINGS)])).decode()
    event = json.loads(BODY) | {"data_base64": data}
    with pytest.raises(EnvelopeError, match="count"):
        envelope.decode(json.dumps(event))


def test_numbers_beyond_the_last_sequence_number_are_refused() -> None:
    with pytest.raises(EnvelopeError):
        envelope.decode(BODY.replace('"firstseq":"7"', f'"firstseq":"{2**63 - 1}"').replace("aabbccdd-7", f"aabbccdd-{2**63 - 1}"))


@given(st.binary(max_size=300), st.integers(0, 400))
def test_a_frame_decodes_to_what_it_says_or_is_refused(data: bytes, limit: int) -> None:
    frame = zstd.compress(data)
    if 0 < len(data) <= limit:
        assert zstd.decompress(frame, limit=limit) == data
    else:
        with contextlib.suppress(EnvelopeError):
            assert zstd.decompress(frame, limit=limit) == data
            raise AssertionError("too much, or nothing, was decoded")


@given(st.sampled_from(sorted(golden.FOLDER.glob("*.json"))), st.data())
def test_a_changed_golden_body_is_refused_or_read(path: Any, data: st.DataObject) -> None:
    body = json.loads(path.read_text(encoding="ascii"))["body"]
    at = data.draw(st.integers(0, len(body) - 1))
    only_envelope_errors(envelope.decode, body[:at] + data.draw(st.characters(codec="ascii")) + body[at + 1 :])


@given(strategies.blocks)
def test_decoding_never_changes_what_it_reads(blocks: list[list[Run]]) -> None:
    data = b"".join(map(block.encode, blocks))
    assert block.decode(data) == block.decode(data)
