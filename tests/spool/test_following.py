"""Following a stream shows every reading once and in order, whatever the agent does to the files meanwhile."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent.spool.following import Follower
from device_agent.wire.limits import KIB
from tests.spool.world import ROOT, World


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "look", "deliver", "close"]), st.integers(1, 30)), max_size=60))
def test_every_reading_is_shown_once_or_counted_as_missed(steps: list[tuple[str, int]]) -> None:
    world = World(["a"], max_bytes=1024 * KIB)
    world.commit(1)
    follower = Follower(ROOT, "a", files=world.disk)
    shown = [one.seq for one in follower.start(10)]
    assert shown == [1]
    for step, number in [*steps, ("put", 1), ("look", 0)]:
        if step == "put":
            world.commit(number, 600)
        elif step == "look":
            shown += [one.seq for one in follower.more()]
        elif step == "close":
            world.later(1.0)
        else:
            for _ in range(number):
                if (border := world.take()) is not None:
                    world.deliver(border)
            world.turn()
    numbers = sorted(world.twins["a"].acknowledged)
    assert shown == sorted(set(shown))
    assert shown[-1] == numbers[-1]
    assert len(shown) + follower.missed == len(numbers)


def test_the_last_readings_come_first_however_many_segments_they_are_in() -> None:
    world = World(["a"], max_bytes=1024 * KIB)
    for _ in range(60):
        world.commit(5, 2000)
    numbers = sorted(world.twins["a"].acknowledged)
    for lines in (0, 1, 7, 200, 10_000):
        follower = Follower(ROOT, "a", files=world.disk)
        assert [one.seq for one in follower.start(lines)] == (numbers[-lines:] if lines else [])
        assert list(follower.more()) == []
        world.put(1)
        world.turn()
        numbers = sorted(world.twins["a"].acknowledged)
        assert [one.seq for one in follower.more()] == numbers[-1:]
