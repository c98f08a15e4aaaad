"""Filling envelopes: nothing over the room, nothing out of order, little left empty."""

from __future__ import annotations

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent.ports import Batch
from device_agent.spool.chunk import Feed, Filler, Item
from device_agent.wire import block
from device_agent.wire.block import Payload, Run
from device_agent.wire.limits import MAX_DECODED, MAX_READINGS
from device_agent.wire.packed import Packed


def item(payloads: list[Payload], *, done: int = 0, time: int = 1, early: bool = False) -> Item:
    size = sum(len(one) if isinstance(one, bytes) else sum(map(len, one)) for one in payloads)
    labels: list[str | None] = [f"t{number % 3}" for number in range(len(payloads))]
    plain = [one for one in payloads if isinstance(one, bytes)]
    column = Packed.of(plain) if early and len(plain) == len(payloads) else payloads
    return Item(Batch("a", Run(time, True, column, labels, None), size), 0.0, done, 1 if done else 0)


def drain(feed: Feed, filler: Filler, *, room: int, readings: int = MAX_READINGS, decoded: int = MAX_DECODED) -> list[block.Readings]:
    found = []
    while feed.more:
        packed = filler.block(feed, room=room, readings=readings, decoded=decoded, largest=1 << 20)
        assert packed is not None
        assert len(packed.data) <= room or packed.count == 1
        assert packed.count <= readings
        assert packed.decoded <= decoded or packed.count == 1
        one = block.decode(packed.data)
        assert len(one) == packed.count
        found.append(one)
    return found


frames = st.binary(max_size=200)
payload = st.one_of(
    frames, st.lists(frames, max_size=4).filter(lambda one: len(one) != 1), st.integers(0, 3000).map(random.Random(7).randbytes)
)


@settings(max_examples=150, deadline=None)
@given(
    batches=st.lists(st.lists(payload, max_size=30) | st.lists(frames, max_size=200), max_size=6),
    room=st.integers(40, 5000),
    readings=st.integers(1, 50),
    data=st.data(),
)
def test_all_readings_come_out_once_in_order_and_within_the_room(
    batches: list[list[Payload]], room: int, readings: int, data: st.DataObject
) -> None:
    items = [
        item(payloads, done=data.draw(st.integers(0, len(payloads))), time=number, early=data.draw(st.booleans()))
        for number, payloads in enumerate(batches)
    ]
    expected = [one for made in items for one in made.batch.run.payloads[made.done :]]
    found = drain(Feed(items, 1), Filler(), room=room, readings=readings)
    assert [one for part in found for one in part.payloads] == expected
    topics = [one for made in items for one in made.batch.run.topics[made.done :]]  # type: ignore[index]
    assert [one for part in found for one in part.topics] == topics


def test_a_decoded_envelope_never_exceeds_its_bound() -> None:
    found = drain(Feed([item([bytes(1000)] * 9000)], 1), Filler(), room=1 << 20, decoded=1 << 20)
    assert sum(map(len, found)) == 9000
    assert len(found) >= 9


def test_nothing_fits_no_room() -> None:
    feed = Feed([item([b"a"])], 1)
    for room, readings, decoded in [(0, 9, 999), (-100, 9, 999), (999, 0, 999), (999, 9, 0)]:
        assert Filler().block(feed, room=room, readings=readings, decoded=decoded) is None
    assert feed.more


def test_a_single_reading_may_exceed_the_envelope_up_to_the_segment() -> None:
    large = random.Random(1).randbytes(5000)
    feed = Feed([item([large, b"small"])], 1)
    packed = Filler().block(feed, room=1000, readings=10, decoded=MAX_DECODED, largest=6000)
    assert packed is not None
    assert packed.count == 1
    assert Filler().block(Feed([item([large])], 1), room=1000, readings=10, decoded=MAX_DECODED, largest=4000) is None


def test_after_a_rewind_the_same_readings_come_again() -> None:
    items = [item([bytes([number]) for number in range(100)])]
    feed = Feed(items, 1)
    first = feed.peek(readings=60, raw=1e9)
    feed.advance(60)
    feed.rewind()
    assert feed.peek(readings=60, raw=1e9).runs[0].payloads == first.runs[0].payloads
    feed.advance(60)
    assert feed.mark() == (60, 60)
    feed.advance(10)
    feed.rewind()
    assert feed.peek(readings=1, raw=1e9).runs[0].payloads == [bytes([60])]
    assert (items[0].done, items[0].first, items[0].left) == (60, 1, 40)


def test_the_mark_numbers_each_batch() -> None:
    items = [item([b"a", b"b"]), item([]), item([b"c"]), item([b"d", b"e"])]
    feed = Feed(items, 41)
    feed.advance(4)
    feed.mark()
    assert [(one.first, one.done) for one in items] == [(41, 2), (43, 0), (43, 1), (44, 1)]
    feed.advance(1)
    feed.mark()
    assert [(one.first, one.left) for one in items] == [(41, 0), (43, 0), (43, 0), (44, 0)]
    assert not feed.more


def test_blocks_of_sensor_readings_fill_95_parts_in_100_of_their_room() -> None:
    values = random.Random(3)
    readings: list[Payload] = [
        json.dumps({"sensor": f"temp-{number % 8}", "t": 1_700_000_000 + number, "v": round(20 + values.gauss(0, 1), 3)}).encode()
        for number in range(60_000)
    ]
    feed, filler, room = Feed([item(readings)], 1), Filler(), 48_000
    sizes = []
    while feed.more:
        left = room
        while feed.more and left > room / 20:
            packed = filler.block(feed, room=left, readings=MAX_READINGS, decoded=MAX_DECODED)
            if packed is None:
                break
            left -= len(packed.data)
        sizes.append(room - left)
    assert len(sizes) > 5
    assert min(sizes[:-1]) >= 0.95 * room
