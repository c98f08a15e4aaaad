"""Frames of STOMP out of bytes: whole, byte by byte, with rubbish, and too large."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.sources.stomp.frames import MAX_HEAD, BrokenError, Frame, Frames, encode

STREAM = (
    b"\n\r\nCONNECTED\r\nversion:1.2\r\n\r\n\0\n"
    b"MESSAGE\ndestination:/queue/a\\cb\\n\\\\\\r\nack:1\nack:2\ncontent-length:5\n\n\0\xff\0\n\0\0\n\n"
    b"MESSAGE\nack:2\n\nno length\0"
    b"MESSAGE\nack:3\ncontent-length:0\n\n\0"
    b"RECEIPT\nreceipt-id:x\n\n\0\n\n\n"
)
EXPECTED = [
    Frame("CONNECTED", {"version": "1.2"}, b"", 0),
    Frame("MESSAGE", {"destination": "/queue/a:b\n\\\r", "ack": "1", "content-length": "5"}, b"\0\xff\0\n\0", 5),
    Frame("MESSAGE", {"ack": "2"}, b"no length", 9),
    Frame("MESSAGE", {"ack": "3", "content-length": "0"}, b"", 0),
    Frame("RECEIPT", {"receipt-id": "x"}, b"", 0),
]


def frames_of(stream: bytes, sizes: list[int], *, largest: int = 1000) -> list[Frame]:
    """Feed the stream in pieces of these sizes, the last one for the rest."""
    frames, found = Frames(largest=largest), []
    for size in [*sizes, len(stream)]:
        frames.feed(stream[:size])
        stream = stream[size:]
        while (frame := frames.next()) is not None:
            found.append(frame)
    return found


def test_frames_come_out_whole_and_byte_by_byte() -> None:
    assert frames_of(STREAM, []) == EXPECTED
    assert frames_of(STREAM, [1] * len(STREAM)) == EXPECTED


@given(st.lists(st.integers(min_value=1, max_value=60)))
def test_frames_come_out_however_the_bytes_are_cut(sizes: list[int]) -> None:
    assert frames_of(STREAM, sizes) == EXPECTED


@pytest.mark.parametrize("sizes", [[], [1] * 300, [100] * 3])
@pytest.mark.parametrize("head", [b"MESSAGE\nack:1\ncontent-length:100\n\n", b"MESSAGE\nack:1\n\n"])
def test_a_body_that_is_too_large_is_read_to_its_end_and_not_kept(head: bytes, sizes: list[int]) -> None:
    first, second = frames_of(head + b"x" * 100 + b"\0MESSAGE\nack:2\n\ny\0", sizes, largest=99)
    assert (first.body, first.size, first.headers["ack"]) == (b"", 100, "1")
    assert (second.body, second.size) == (b"y", 1)


def test_of_a_body_that_is_too_large_nothing_is_held_meanwhile() -> None:
    frames = Frames(largest=1000)
    frames.feed(b"MESSAGE\nack:1\ncontent-length:100000000\n\n")
    for _ in range(1000):
        frames.feed(b"x" * 100_000)
        assert frames.next() is None
        assert len(frames._buffer) <= 100_041
    frames.feed(b"\0")
    assert frames.next() == Frame("MESSAGE", {"ack": "1", "content-length": "100000000"}, b"", 100_000_000)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "does not speak STOMP: it says 'HTTP/1.1 400 Bad Request"),
        (b"\x15\x03\x01\0\x02", "does not speak STOMP"),
        (b"SEND\n\n\0", "does not speak STOMP: it says 'SEND'"),
        (b"MESSAGES\n\n\0", "does not speak STOMP: it says 'MESSAGES'"),
        (b"MESSAGE\ncontent-length:x\n\n", "content-length 'x'"),
        (b"MESSAGE\ncontent-length:-1\n\n", "content-length '-1'"),
        (b"MESSAGE\ncontent-length:" + b"9" * 5000 + b"\n\n", "content-length '9"),
        (b"MESSAGE\ncontent-length:1\n\nab\0", "does not end where its content-length says"),
        (b"MESSAGE\ncontent-length:2000\n\n" + b"a" * 2001 + b"\0", "does not end where its content-length says"),
        (b"MESSAGE\nh:" + b"a" * MAX_HEAD, "more than 256 KiB of headers"),
    ],
)
def test_what_is_no_stomp_is_an_error(data: bytes, said: str) -> None:
    with pytest.raises(BrokenError, match=said.replace("(", r"\(")):
        frames_of(data, [])


def test_a_head_that_has_only_begun_is_none() -> None:
    for size in range(len(b"MESSAGE\nack:1\n")):
        assert frames_of(b"MESSAGE\nack:1\n"[:size], []) == []


def test_headers_are_escaped_as_the_version_says_and_not_in_connect() -> None:
    assert encode("ACK", {"id": "a:b\\c\nd\re"}, version="1.2") == b"ACK\nid:a\\cb\\\\c\\nd\\re\n\n\0"
    assert encode("ACK", {"id": "a:b\\c\nd"}, version="1.1") == b"ACK\nid:a\\cb\\\\c\\nd\n\n\0"
    assert encode("CONNECT", {"passcode": "a:b\\c"}) == b"CONNECT\npasscode:a:b\\c\n\n\0"
