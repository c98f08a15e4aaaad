"""Contract of `intake.readers.Reader`: the drain in C and the Python path do the same with the same messages."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator

import pytest
import zmq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from device_agent.config import InputConfig, Pattern, RouteConfig
from device_agent.intake.frames import TURN_BYTES, TURN_READINGS, FrameReader
from device_agent.intake.native import library
from device_agent.intake.native.layout import TOPICS
from device_agent.intake.native.reader import NativeReader
from device_agent.intake.readers import Reader
from device_agent.router import Routed, Router
from device_agent.wire import block
from device_agent.wire.block import Payload, Run
from device_agent.wire.limits import MAX_FRAMES, MAX_LABEL, MAX_READING

Message = list[bytes]
_NATIVE = pytest.param("native", marks=pytest.mark.skipif(library.find().library is None, reason=str(library.find())))
_LIMITS = {"a": 300, "b": 200, "c": MAX_READING}
_ROUTES = (RouteConfig(topic="b", stream="b"), RouteConfig(topic="c/", stream="c"))


def make(path: str, pull: zmq.Socket[bytes], *, topics: bool) -> Reader:
    if path == "python":
        return FrameReader(pull, authenticated=False)
    found = library.find().library
    assert found is not None
    return NativeReader(found, pull, flags=TOPICS if topics else 0)


class World:
    """A PUSH, and the PULL that a reader of one path reads."""

    def __init__(
        self, path: str, *, topic: str = "none", routes: tuple[RouteConfig, ...] = (), limits: dict[str, int] | None = None
    ) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.pull, self.push = self.context.socket(zmq.PULL), self.context.socket(zmq.PUSH)
        for socket in (self.pull, self.push):
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.SNDHWM, 0)
            socket.setsockopt(zmq.RCVHWM, 0)
        self.pull.bind("inproc://world")
        self.push.connect("inproc://world")
        config = InputConfig(name="in", pattern=Pattern.PULL, bind=("inproc://world",), stream="a", topic=topic, route=routes)
        sizes = limits or {"a": MAX_READING}
        self.router = Router(config, max_reading=sizes.__getitem__)
        self.reader = make(path, self.pull, topics=topic == "first-frame")

    def turn(self) -> Routed:
        return self.reader.routed(self.router, 7, True)

    def drain(self) -> Iterator[Routed]:
        while (routed := self.turn()).readings:
            yield routed

    def close(self) -> None:
        self.pull.close(0)
        self.push.close(0)
        self.context.term()


@pytest.fixture(params=["python", _NATIVE])
def world(request: pytest.FixtureRequest) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def start(**options: object) -> World:
        made.append(World(request.param, **options))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for one in made:
        one.close()


def payloads(turns: list[Routed]) -> list[Payload]:
    return [payload for turn in turns for batch in turn.batches for payload in batch.run.payloads]


def test_messages_of_any_shape_come_out_whole_and_in_order(world: Callable[..., World]) -> None:
    one = world()
    sent: list[Payload] = []
    for number in range(3000):
        frames = [b"%d" % number, b"", b"x" * (number % 300)][: 1 + number % 3]
        one.push.send_multipart(frames)
        sent.append(frames[0] if len(frames) == 1 else frames)
    found = list(one.drain())
    assert payloads(found) == sent
    assert sum(turn.readings for turn in found) == len(sent)
    assert sum(turn.size for turn in found) == sum(len(one) if isinstance(one, bytes) else sum(map(len, one)) for one in sent)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_535, 65_536, MAX_READING])
def test_a_frame_around_each_length_of_messagepack_is_byte_for_byte(world: Callable[..., World], size: int) -> None:
    one = world()
    frame = bytes(number % 251 for number in range(size))
    one.push.send(frame)
    one.push.send_multipart([frame[: size // 2], frame[size // 2 :], b"end"])
    assert payloads(list(one.drain())) == [frame, [frame[: size // 2], frame[size // 2 :], b"end"]][: 2 if size < MAX_READING else 1]


@pytest.mark.parametrize("frames", [2, 15, 16, 17, 1000, MAX_FRAMES])
def test_many_frames_stay_one_reading(world: Callable[..., World], frames: int) -> None:
    one = world()
    message = [b"%d" % number for number in range(frames)]
    one.push.send_multipart(message)
    one.push.send(b"next")
    assert payloads(list(one.drain())) == [message, b"next"]


@pytest.mark.parametrize(
    "message", [[b"x" * (MAX_READING + 1)], [b"x"] * (MAX_FRAMES + 1), [b"x" * 400_000] * 2], ids=["size", "frames", "sum"]
)
def test_a_reading_that_no_log_takes_is_handed_out_as_such_and_disturbs_no_other(world: Callable[..., World], message: Message) -> None:
    one = world()
    one.push.send(b"before")
    one.push.send_multipart(message)
    one.push.send(b"after")
    found = list(one.drain())
    assert payloads(found) == [b"before", b"after"]
    (large,) = [reading for turn in found for reading in turn.oversize]
    assert large.payload == (message if len(message) > 1 else message[0])
    assert large.stream == "a"
    assert large.reason.startswith("the reading has ")


def test_of_an_endless_message_only_so_much_is_kept_as_shows_that_it_is_too_large(world: Callable[..., World]) -> None:
    one = world()
    one.push.send_multipart([b"x" * 100_000] * 100)
    one.push.send_multipart([b""] * 10_000)
    one.push.send(b"after")
    found = list(one.drain())
    large = [reading.payload for turn in found for reading in turn.oversize]
    assert [len(payload) for payload in large] == [29, 4 * MAX_FRAMES]
    assert payloads(found) == [b"after"]


def test_a_turn_ends_although_more_waits(world: Callable[..., World]) -> None:
    one = world()
    for _ in range(2 * TURN_READINGS):
        one.push.send(b"x")
    assert TURN_READINGS <= one.turn().readings < TURN_READINGS + 64


def test_a_turn_of_large_readings_is_bounded_in_bytes(world: Callable[..., World]) -> None:
    one = world()
    for _ in range(12):
        one.push.send(b"x" * MAX_READING)
    sizes = [turn.size for turn in one.drain()]
    assert sum(sizes) == 12 * MAX_READING
    assert max(sizes) <= TURN_BYTES + 4 * MAX_READING


def test_nothing_is_received_of_a_socket_that_is_closed_but_an_error_raised(world: Callable[..., World]) -> None:
    one = world()
    one.push.send(b"x")
    one.pull.close(0)
    with pytest.raises(zmq.ZMQError, match="socket"):
        one.turn()


def test_a_context_that_ends_meanwhile_raises_and_harms_nothing(world: Callable[..., World]) -> None:
    one = world()
    one.push.send(b"x")
    assert payloads([one.turn()]) == [b"x"]
    one.push.close(0)
    ended = one.pull.context
    thread = threading.Thread(target=ended.term)  # waits for the sockets, and lets every call on them fail from now on
    thread.start()
    with pytest.raises(zmq.ContextTerminated):
        list(iter(one.turn, None))
    one.pull.close(0)
    thread.join()


def test_a_reader_that_is_thrown_away_leaves_its_socket_as_it_was(world: Callable[..., World]) -> None:
    one = world()
    one.push.send(b"a")
    one.push.send(b"b")
    assert payloads([one.turn()]) == [b"a", b"b"]
    one.reader = make("python", one.pull, topics=False)
    gc.collect()
    one.push.send(b"c")
    assert payloads([one.turn()]) == [b"c"]


def test_labels_are_utf_8_of_at_most_256_bytes_and_all_else_is_data(world: Callable[..., World]) -> None:
    one = world(topic="first-frame")
    texts = [b"", b"plain", "gr\u00fc\u00df\u20ac\U0001f600".encode(), b"x" * MAX_LABEL, b"\xf4\x8f\xbf\xbf", b"\0"]
    data = [
        b"x" * (MAX_LABEL + 1),
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\xe0\x80\x80",
        b"\xf0\x80\x80\x80",
    ]
    for frame in [*texts, *data]:
        one.push.send_multipart([frame, b"payload"])
    one.push.send(b"alone")
    (turn,) = one.drain()
    (batch,) = turn.batches
    topics = batch.run.topics
    assert topics is not None
    assert not isinstance(topics, str)
    assert list(topics) == [*(text.decode() for text in texts), *[None] * len(data), None]
    assert list(batch.run.payloads) == [b"payload"] * len(texts) + [[frame, b"payload"] for frame in data] + [b"alone"]


# The twins

_frame = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"b", b"b/1", b"c/1", b"a", b"\xff", b"x" * 250, b"y" * 320, b"z" * 700]))
_messages = st.lists(st.one_of(st.lists(_frame, min_size=1, max_size=4), st.lists(_frame, min_size=14, max_size=18)), max_size=60)


def told(path: str, messages: list[Message], *, topic: str, routes: tuple[RouteConfig, ...]) -> object:
    """What becomes of messages: the bytes of each stream's block, its sizes, and what was too large."""
    one = World(path, topic=topic, routes=routes, limits=_LIMITS)
    try:
        for message in messages:
            one.push.send_multipart(message)
        turns = list(one.drain())
    finally:
        one.close()
    runs: dict[str, list[Run]] = {}
    sizes: dict[str, int] = {}
    for turn in turns:
        for batch in turn.batches:
            assert len(batch.run)
            runs.setdefault(batch.stream, []).append(batch.run)
            sizes[batch.stream] = sizes.get(batch.stream, 0) + batch.size
    large = [(one.stream, one.payload, one.reason) for turn in turns for one in turn.oversize]
    return {stream: block.encode_columns(found) for stream, found in runs.items()}, sizes, large


@pytest.mark.skipif(library.find().library is None, reason=str(library.find()))
@pytest.mark.parametrize("topic", ["none", "fixed", "first-frame"])
@pytest.mark.parametrize("routes", [(), _ROUTES], ids=["one stream", "routes"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=_messages)
@example(messages=[[b"b", b"1"], [b"a", b"2"], [b"b", b"3"], [b"c/", b"4", b"5"], [b"6"]])
@example(messages=[[b"%d" % number, b"x"] for number in range(400)])
def test_both_paths_make_the_same_of_the_same_messages_to_the_byte(
    topic: str, routes: tuple[RouteConfig, ...], messages: list[Message]
) -> None:
    assert told("native", messages, topic=topic, routes=routes) == told("python", messages, topic=topic, routes=routes)
