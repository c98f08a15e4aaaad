"""The inner loop: messages of any shape come out as they went in, however chunks and turns cut them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_agent.intake import rcvmore
from device_agent.intake.frames import TURN_BYTES, TURN_READINGS, FrameReader
from device_agent.wire.block import Payload
from device_agent.wire.limits import MAX_READING

Pair = tuple[zmq.Socket[bytes], zmq.Socket[bytes]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A PUSH and the PULL that it sends to."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull, context.socket(zmq.PUSH) as push:
        for socket in (pull, push):
            socket.setsockopt(zmq.LINGER, 0)
        pull.setsockopt(zmq.RCVHWM, 0)
        push.setsockopt(zmq.SNDHWM, 0)
        push.setsockopt(zmq.SNDTIMEO, 1000)
        pull.bind("inproc://frames")
        push.connect("inproc://frames")
        yield push, pull


@pytest.fixture(params=["libzmq's function", "pyzmq's option"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the reader learns whether more frames follow."""
    if request.param == "pyzmq's option":
        monkeypatch.setattr(rcvmore, "_getsockopt", lambda: None)
    else:
        assert rcvmore._getsockopt() is not None
    return str(request.param)


def drain(reader: FrameReader) -> list[Payload]:
    payloads: list[Payload] = []
    while len(received := reader.turn(0, synced=True)):
        assert received.plain == all(isinstance(payload, bytes) for payload in received.payloads)
        assert received.size == sum(len(one) if isinstance(one, bytes) else sum(map(len, one)) for one in received.payloads)
        payloads += received.payloads
    return payloads


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.one_of(st.just(1), st.integers(1, 4), st.integers(1, 200)), max_size=200))
def test_messages_come_out_as_they_went_in(pair: Pair, way: str, messages: list[int]) -> None:
    push, pull = pair
    reader = FrameReader(pull, authenticated=False)
    sent: list[Payload] = []
    for number, length in enumerate(messages):
        frames = [b"%d.%d" % (number, index) for index in range(length)]
        push.send_multipart(frames)
        sent.append(frames if length > 1 else frames[0])
    assert drain(reader) == sent


def test_a_turn_ends_although_more_waits(pair: Pair) -> None:
    push, pull = pair
    for _ in range(2 * TURN_READINGS):
        push.send(b"x")
    received = FrameReader(pull, authenticated=False).turn(0, synced=True)
    assert TURN_READINGS <= len(received) < TURN_READINGS + 64


def test_a_turn_of_large_messages_is_bounded_in_bytes(pair: Pair) -> None:
    push, pull = pair
    for _ in range(40):
        push.send(b"x" * MAX_READING)
    reader = FrameReader(pull, authenticated=False)
    sizes = [reader.turn(0, synced=True).size for _ in range(5)]
    assert max(sizes) <= TURN_BYTES + 4 * MAX_READING


def test_large_messages_after_many_small_ones_overshoot_once_only(pair: Pair) -> None:
    push, pull = pair
    reader = FrameReader(pull, authenticated=False)
    for _ in range(1000):
        push.send(b"x")
    drain(reader)
    for _ in range(200):
        push.send(b"x" * 100_000)
    sizes = [reader.turn(0, synced=True).size for _ in range(4)]
    assert sizes[0] <= TURN_BYTES + 64 * 100_000
    assert max(sizes[1:]) <= TURN_BYTES + 32 * 100_000
