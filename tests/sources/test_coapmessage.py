"""CoAP's bytes: the codec beside aiocoap's, rubbish, and bodies that come in blocks."""

from __future__ import annotations

import time
from typing import Any

import aiocoap
import pytest
from aiocoap.numbers.types import Type
from hypothesis import example, given
from hypothesis import strategies as st

from device_agent.sources.coap.blocks import Assemblies, Block, Refusal
from device_agent.sources.coap.message import Code, Kind, Malformed, Message, decode, encode, uint

OPTIONS = st.lists(st.tuples(st.integers(0, 65_000), st.binary(max_size=300)), max_size=20).map(
    lambda found: tuple(sorted(found, key=lambda one: one[0]))
)
MESSAGES = st.builds(
    Message, kind=st.sampled_from(Kind), code=st.integers(1, 255), mid=st.integers(0, 65_535), token=st.binary(max_size=8),
    options=OPTIONS, payload=st.binary(max_size=2000),
)  # fmt: skip


@given(MESSAGES)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert decode(encode(message)) == message


@given(
    st.lists(st.text(max_size=80), max_size=5), st.lists(st.text(max_size=300), max_size=3), st.binary(max_size=300), st.binary(max_size=8),
    st.sampled_from(Type),
)  # fmt: skip
def test_aiocoap_encodes_the_same_bytes(path: list[str], query: list[str], payload: bytes, token: bytes, kind: Type) -> None:
    theirs = aiocoap.Message(
        code=aiocoap.POST, payload=payload, _mid=4711, _token=token, _mtype=kind, uri_path=path, uri_query=query, block1=(3, True, 6),
        size1=70_000,
    )  # fmt: skip
    ours = decode(theirs.encode())
    assert [part.decode() for part in ours.values(11)] == path
    assert [part.decode() for part in ours.values(15)] == query
    assert (ours.kind, ours.code, ours.mid, ours.token, ours.payload) == (Kind(kind), Code.POST, 4711, token, payload)
    assert Block.of(ours.values(27)[0]) == Block(3, more=True, exponent=6)
    assert encode(ours) == theirs.encode()


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x40\x02\x00")  # shorter than a header
@example(b"\x00\x02\x00\x01")  # version 0
@example(b"\x80\x02\x00\x01")  # version 2
@example(b"\x49\x02\x00\x01123456789")  # a token of 9 bytes
@example(b"\x44\x02\x00\x01123")  # a token that is not there
@example(b"\x40\x02\x00\x01\xb5abc")  # an option that is not there
@example(b"\x40\x02\x00\x01\xe0\x01")  # half a number
@example(b"\x40\x02\x00\x01\xf0")  # a reserved number
@example(b"\x40\x02\x00\x01\x0f")  # a reserved length
@example(b"\x40\x02\x00\x01\xff")  # a payload that is not there
@example(b"\x40\x00\x00\x01x")  # an empty message with something behind
def test_rubbish_is_malformed_or_a_message(data: bytes) -> None:
    try:
        found = decode(data)
    except Malformed:
        return
    assert encode(found)[4 : 4 + len(found.token)] == found.token


@pytest.mark.parametrize(
    "data",
    ["400200", "00020001", "80020001", "4902000131323334353637383900", "44020001313233", "40020001b5616263", "40020001e001", "40020001f0",
     "400200010f", "40020001ff", "4000000178"],
)  # fmt: skip
def test_what_is_no_message_is_refused(data: str) -> None:
    with pytest.raises(Malformed):
        decode(bytes.fromhex(data))


def test_a_datagram_full_of_options_costs_little() -> None:
    began = time.process_time()
    with pytest.raises(Malformed):
        decode(b"\x40\x02\x00\x01" + b"\x00" * 65_000)
    assert time.process_time() - began < 1.0  # aiocoap's codec: 5 s and more


# Blocks


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def assemblies(clock: Clock | None = None, **limits: Any) -> Assemblies:
    return Assemblies(**({"limit": 3, "size": 100} | limits), monotonic=clock or Clock())


def block(number: int, *, more: bool = True) -> Block:
    return Block(number, more=more, exponent=0)


A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def test_blocks_become_a_body() -> None:
    bodies = assemblies()
    assert bodies.feed(1, block(0), A) is None
    assert bodies.feed(2, block(0), C) is None
    assert bodies.feed(1, block(1), B) is None
    assert bodies.feed(1, block(2, more=False), b"end") == A + B + b"end"
    assert bodies.feed(2, block(1, more=False), b"") == C
    assert len(bodies) == 0


def test_blocks_that_come_twice_or_anew_count_once() -> None:
    bodies = assemblies()
    for number, payload in ((0, A), (0, A), (1, B), (0, A), (1, B), (2, C), (1, B)):
        assert bodies.feed(1, block(number), payload) is None
    assert bodies.feed(1, block(3, more=False), b"end") == A + B + C + b"end"
    for payload in (A, B):
        assert bodies.feed(1, block(0), payload) is None  # it begins again, with something else
    assert bodies.feed(1, block(1, more=False), b"end") == B + b"end"


@pytest.mark.parametrize(
    ("given", "payload", "code"),
    [
        (block(2), A, Code.INCOMPLETE), (block(1), b"short", Code.BAD_REQUEST), (block(1), A + b"x", Code.BAD_REQUEST),
        (block(1, more=False), A + b"x", Code.BAD_REQUEST), (Block(0, more=True, exponent=3), b"x" * 128, Code.TOO_LARGE),
    ],
)  # fmt: skip
def test_blocks_that_do_not_fit_are_refused_and_forgotten(given: Block, payload: bytes, code: Code) -> None:
    bodies = assemblies()
    bodies.feed(1, block(0), A)
    with pytest.raises(Refusal) as refused:
        bodies.feed(1, given, payload)
    assert refused.value.code is code
    assert len(bodies) == 0


def test_senders_that_stop_in_the_middle_keep_others_out_for_a_moment_only() -> None:
    clock = Clock()
    bodies = assemblies(clock)
    for key in range(3):
        bodies.feed(key, block(0), A)
    with pytest.raises(Refusal) as refused:
        bodies.feed("next", block(0), A)
    assert refused.value.code is Code.UNAVAILABLE
    clock.now += 4
    bodies.feed(0, block(1), B)  # this one goes on
    clock.now += 2
    bodies.feed("next", block(0), A)
    assert len(bodies) == 3
    assert bodies.feed(0, block(2, more=False), C) == A + B + C
    with pytest.raises(Refusal) as refused:
        bodies.feed(1, block(1), B)  # it gave its place
    assert refused.value.code is Code.INCOMPLETE


def test_a_body_that_is_old_begins_again() -> None:
    clock = Clock()
    bodies = assemblies(clock)
    bodies.feed(1, block(0), A)
    clock.now += 100
    with pytest.raises(Refusal) as refused:
        bodies.feed(1, block(1), B)
    assert refused.value.code is Code.INCOMPLETE


@pytest.mark.parametrize("value", [b"\x07", uint(1 << 24)])
def test_what_is_no_block_is_refused(value: bytes) -> None:
    with pytest.raises(Refusal):
        Block.of(value)
