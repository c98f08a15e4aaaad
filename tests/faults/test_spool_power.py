"""Power cuts: at every operation of a short life, with every kind of loss; and the proof that these tests would notice a missing fsync."""

from __future__ import annotations

import contextlib
import random

import pytest

from device_agent.config import WhenFull
from device_agent.wire.limits import KIB
from tests.spool.disk import FakeDisk, PowerCut
from tests.spool.world import World


def life(world: World) -> None:
    """Readings, deliveries, roll-over, a quarantine: some hundred operations."""
    for at in range(14):
        world.put(4, 1400)
        world.put(3, 50, replies=False)
        world.later(1.5)
        border = world.take(fresh=at % 3 == 0)
        if border is not None and at % 5 == 4:
            world.quarantine(border)
        elif border is not None and at % 2:
            world.deliver(border)
    world.turn()


def operations() -> int:
    world = World(max_bytes=512 * KIB)
    world.disk.count = 0
    life(world)
    return world.disk.count


@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
def test_power_fails_at_any_operation_and_everything_acknowledged_is_there(keep: float) -> None:
    for at in range(0, operations(), 2):
        world = World(max_bytes=512 * KIB, seed=at)
        world.disk.count, world.disk.cut_at = 0, at
        with pytest.raises(PowerCut):
            life(world)
        world.restart(keep=keep)
        world.check()
        world.commit(2)
        world.restart(keep=keep)
        world.check()


def again_and_again(disk: FakeDisk) -> None:
    values = random.Random(5)
    world = World(max_bytes=512 * KIB, disk=disk)
    life(world)
    for _ in range(60):
        world.put(3, 500)
        world.disk.cut_at = world.disk.count + values.randrange(12)
        with contextlib.suppress(PowerCut):
            world.later(2.0)
        world.disk.power_cut(values)
        world.disk.cut_at = values.randrange(10)
        try:
            world.restart(cut=False)
            world.disk.cut_at = None
        except PowerCut:
            world.restart()
        world.check()
        for border in list(world.flying):
            world.deliver(border)
        while (border := world.take()) is not None:
            world.deliver(border)


def test_power_fails_again_and_again_while_opening() -> None:
    again_and_again(FakeDisk())


def at_the_cap(when_full: WhenFull, *, honest: bool = True) -> None:
    for at in range(0, 90, 4):
        world = World(max_bytes=420 * KIB, when_full=when_full, seed=at, disk=FakeDisk(honest=honest))
        for _ in range(40):
            world.commit(5, 1400)
        world.disk.cut_at = world.disk.count + at
        try:
            for _ in range(10):
                world.commit(5, 1400)
                border = world.take()
                if border is not None:
                    world.deliver(border)
            world.disk.cut_at = None
        except PowerCut:
            pass
        world.restart()
        world.check()
        assert world.disk.peak <= 420 * KIB


@pytest.mark.parametrize("when_full", WhenFull)
def test_power_fails_at_the_cap(when_full: WhenFull) -> None:
    at_the_cap(when_full)


class Nameless(FakeDisk):
    """The deliberate break of another kind: the names in a directory are never synced."""

    def sync_directory(self, path: str) -> None:
        self._step("sync_directory", path)


def test_without_fdatasync_these_tests_fail() -> None:
    world = World(max_bytes=512 * KIB, disk=FakeDisk(honest=False))
    life(world)
    world.restart(keep=0.0)
    with pytest.raises(AssertionError, match="gone"):
        world.check()


def test_without_fdatasync_the_test_of_opening_fails() -> None:
    with pytest.raises(AssertionError, match=r"gone|used twice|used again|an envelope changed"):
        again_and_again(FakeDisk(honest=False))


@pytest.mark.parametrize("when_full", WhenFull)
def test_without_fdatasync_the_test_at_the_cap_fails(when_full: WhenFull) -> None:
    with pytest.raises(AssertionError, match=r"gone|used twice|used again|an envelope changed"):
        at_the_cap(when_full, honest=False)


def test_without_the_sync_of_a_directory_these_tests_fail() -> None:
    world = World(max_bytes=512 * KIB, disk=Nameless())
    life(world)
    world.restart(keep=0.0)
    with pytest.raises(AssertionError, match="gone"):
        world.check()
