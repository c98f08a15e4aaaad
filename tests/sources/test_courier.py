"""The courier by itself: what it says of its room."""

from __future__ import annotations

import zmq

from device_agent.sources.courier import Courier
from device_agent.sources.port import Settled


def test_there_is_never_less_than_no_room() -> None:
    """A source may offer beyond its room what the other side cannot hold back, and then ask `while deliver.room`."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as intake:
        intake.bind("inproc://intake")
        courier = Courier(context, "inproc://intake", window=2, insists=True, monotonic=lambda: 0.0)
        rooms = []
        for number in range(4):
            rooms.append(courier.room)
            courier.offer(number, b"reading")
        assert [*rooms, courier.room] == [2, 1, 0, 0, 0]
        assert courier.under_way == 4
        courier.close()


def test_what_finds_no_room_is_given_back_when_the_source_wants_it() -> None:
    """Once, with the reason; what the intake has not answered stays under way, and there is room again."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as intake:
        intake.bind("inproc://intake")
        courier = Courier(context, "inproc://intake", window=2, insists=True, monotonic=lambda: 0.0)
        courier.offer("refused", b"reading")
        courier.offer("silent", b"reading")
        identity, number, _ = intake.recv_multipart()
        intake.send_multipart([identity, number, b'{"ok": false, "again": true, "error": "the disk is full"}'])
        courier.wait([], None)
        assert courier.settled() == []
        assert (courier.room, courier.under_way) == (0, 2)
        courier.give_back()
        courier.wait([], None)  # returns at once
        assert courier.settled() == [Settled("refused", taken=False, again=True, reason="the disk is full")]
        assert courier.settled() == []
        assert (courier.room, courier.under_way) == (1, 1)
        courier.close()


def test_what_finds_no_room_goes_before_what_was_offered_later() -> None:
    """A source that reads on while its stream is full (for pings) offers more: that waits, also behind what is refused only then."""
    now = [0.0]
    with zmq.Context() as context, context.socket(zmq.ROUTER) as intake:
        intake.bind("inproc://intake")
        courier = Courier(context, "inproc://intake", window=8, insists=True, monotonic=lambda: now[0])
        for payload in (b"1", b"2"):
            courier.offer(payload, payload)
        assert courier.settled() == []
        first, second = (intake.recv_multipart() for _ in range(2))
        for refused, later in ((first, b"3"), (second, b"4")):
            intake.send_multipart([*refused[:2], b'{"ok": false, "again": true, "error": "the disk is full"}'])
            courier.wait([], None)
            assert courier.settled() == []
            courier.offer(later, later)
        assert not intake.poll(0)
        now[0] = 60.0
        assert courier.settled() == []
        assert [intake.recv_multipart()[2] for _ in range(4)] == [b"1", b"2", b"3", b"4"]
        courier.close()
