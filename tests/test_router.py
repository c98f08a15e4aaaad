"""The router against a slow twin that treats each reading by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device_agent.config import InputConfig, Pattern, RouteConfig
from device_agent.router import Oversize, Received, Router, size_of
from device_agent.wire.block import Payload, decode, encode
from device_agent.wire.limits import MAX_FRAMES, MAX_LABEL, MIB
from device_agent.wire.packed import Packed

STREAMS = ("a", "b", "c")
FRAMES = st.one_of(
    st.binary(max_size=6), st.sampled_from([b"", b"t", b"t/1", b"t/12", b"u", b"\xff", b"\0", "ä".encode(), b"x" * (MAX_LABEL + 1)])
)
PAYLOADS: st.SearchStrategy[Payload] = st.one_of(FRAMES, st.lists(FRAMES, max_size=5).filter(lambda frames: len(frames) != 1))
ROUTES = st.lists(
    st.tuples(st.sampled_from(["", "t", "t/1", "u", "ä"]), st.sampled_from(STREAMS)), max_size=3, unique_by=lambda route: route[0]
)


def router(
    topic: str = "none", routes: list[tuple[str, str]] | None = None, *, max_reading: int = 1000, limits: dict[str, int] | None = None
) -> Router:
    route = tuple(RouteConfig(topic=prefix, stream=stream) for prefix, stream in routes or [])
    config = InputConfig(name="in", pattern=Pattern.PULL, stream="a", topic=topic, route=route, max_reading=max_reading)
    return Router(config, max_reading=lambda stream: (limits or {}).get(stream, 700_000))


def received(payloads: list[Payload], *, clients: list[str | None] | None = None, tokens: bool = True) -> Received:
    return Received(
        time=7,
        synced=True,
        payloads=payloads,
        size=sum(map(size_of, payloads)),
        plain=all(isinstance(payload, bytes) for payload in payloads),
        clients=clients,
        tokens=list(range(len(payloads))) if tokens else None,
    )


def twin(topic: str, routes: list[tuple[str, str]], payload: Payload) -> tuple[str | None, str, Payload]:
    """What one reading becomes: topic, stream, payload."""
    found = None if topic in {"none", "first-frame"} else topic
    if topic == "first-frame" and isinstance(payload, list) and len(payload) >= 2 and len(payload[0]) <= MAX_LABEL:
        try:
            found = payload[0].decode()
        except UnicodeDecodeError:
            pass
        else:
            payload = payload[1] if len(payload) == 2 else payload[1:]
    matching = [] if found is None else [(len(prefix), stream) for prefix, stream in routes if found.startswith(prefix)]
    return found, max(matching)[1] if matching else "a", payload


@given(st.lists(PAYLOADS, max_size=12), st.sampled_from(["none", "first-frame", "t/1", "fixed"]), ROUTES, st.integers(0, 12), st.booleans())
def test_every_reading_goes_where_the_slow_twin_says_and_order_is_kept(
    payloads: list[Payload], topic: str, routes: list[tuple[str, str]], limit: int, authenticated: bool
) -> None:
    clients: list[str | None] | None = [f"key{index}" for index in range(len(payloads))] if authenticated else None
    made = router(topic, routes, max_reading=max(1, limit))
    batches, oversize = made.route(received(payloads, clients=clients))
    expected: dict[str, list[tuple[str | None, str | None, Payload, object]]] = {}
    refused: list[tuple[str, Payload, object]] = []
    for index, whole in enumerate(payloads):
        found, stream, payload = twin(topic, routes, whole)
        if size_of(payload) > max(1, limit):
            refused.append((stream, payload, index))
        else:
            expected.setdefault(stream, []).append((found, clients and clients[index], payload, index))
    assert {batch.stream for batch in batches} == set(expected)
    assert len(batches) == len(expected)
    assert set(expected) <= set(made.streams)
    for batch in batches:
        rows = expected[batch.stream]
        readings = decode(encode([batch.run]))
        assert readings.topics == [row[0] for row in rows]
        assert readings.clients == [row[1] for row in rows]
        assert readings.payloads == [row[2] for row in rows]
        assert batch.tokens == [row[3] for row in rows]
        assert batch.size == sum(size_of(row[2]) for row in rows)
    assert [(one.stream, one.payload, one.token) for one in oversize] == refused


def test_readings_of_an_input_without_topics_are_not_even_copied() -> None:
    payloads: list[Payload] = [b"a", b"b"]
    (batch,), oversize = router().route(received(payloads))
    assert batch.run.payloads is payloads
    assert not oversize


def test_many_small_readings_are_packed_at_once_and_large_or_many_framed_ones_are_not() -> None:
    small, large, framed = [b"%d" % index for index in range(20)], [bytes(2000)] * 20, [[b"a", b"b"]] * 20
    for payloads, early in ((small, True), (large, False), (framed, False)):
        (batch,), _ = router(max_reading=MIB).route(received(list(payloads)))
        assert isinstance(batch.run.payloads, Packed) is early
        assert list(batch.run.payloads) == payloads
        assert batch.size == sum(map(size_of, payloads))


def test_nothing_received_makes_no_batch() -> None:
    assert router().route(received([])) == ([], [])


def test_a_reading_with_too_many_frames_is_reported_back() -> None:
    batches, (one,) = router().route(received([[b""] * (MAX_FRAMES + 1), [b""] * MAX_FRAMES]))
    assert isinstance(one, Oversize)
    assert one.reason == f"the reading has more than {MAX_FRAMES:,} frames; at most so many are taken"
    assert [len(batch.run) for batch in batches] == [1]


def test_the_smaller_of_the_two_limits_counts() -> None:
    _, (one,) = router(max_reading=1000, limits={"a": 3}).route(received([b"1234", b"123"]))
    assert one.payload == b"1234"
    assert one.reason == "the reading has 4 bytes; this input takes at most 3 (the share of stream a in `spool.max_bytes`)"


def test_each_stream_has_its_own_limit() -> None:
    batches, oversize = router("first-frame", [("b", "b")], limits={"a": 3, "b": 5}).route(received([[b"b", b"12345"], [b"a", b"12345"]]))
    assert [batch.stream for batch in batches] == ["b"]
    assert [one.stream for one in oversize] == ["a"]


def test_a_flood_of_different_topics_does_not_grow_the_cache_without_bound() -> None:
    made = router("first-frame", [("7", "b")])
    for number in range(5000):
        made.route(received([[b"%d" % number, b""]]))
    assert len(made._known) <= 1024
    (batch,), _ = made.route(received([[b"77", b""]]))
    assert batch.stream == "b"


def test_an_input_with_a_fixed_topic_feeds_the_stream_of_its_longest_route() -> None:
    assert router("t/12", [("t", "b"), ("t/1", "c"), ("u", "a")]).streams == ("c",)
    assert router("first-frame", [("t", "b")]).streams == ("a", "b")
    assert router("none", [("t", "b")]).streams == ("a",)
