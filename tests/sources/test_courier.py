"""The courier by itself: what it says of its room."""

from __future__ import annotations

import zmq

from device_agent.sources.courier import Courier


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
