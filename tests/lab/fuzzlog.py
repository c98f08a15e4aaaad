"""A spool whose last segment is any bytes: for the fuzzer."""

from __future__ import annotations

from functools import cache

from device_agent.wire import block
from device_agent.wire.block import Run
from device_agent.wire.limits import MIB
from tests.spool.disk import FakeDisk, Inode
from tests.spool.world import HandClock, World


def _segment(disk: FakeDisk) -> Inode:
    """The last segment file of the only epoch."""
    path = next(one for one in disk.directories if "/000001-" in one)
    name = max(name for name in disk.directories[path].current if name.endswith(".log"))
    return disk.directories[path].current[name]


def _world() -> World:
    world = World(max_bytes=1 * MIB)
    for count in (1, 3, 20):
        world.commit(count, 200)
    world.later(10.0)
    world.commit(2, 50)
    world.spool.stop()
    world.spool.close()
    return world


@cache
def segment() -> bytes:
    """A sound one: several envelopes, borders, a header."""
    return bytes(_segment(_world().disk).current).rstrip(b"\0")


@cache
def a_block() -> bytes:
    """A sound data block."""
    return block.encode([Run(HandClock().now(), True, [b"a", [b"b", b""], b"\xff" * 100], ["t", None, "u"], None)])


def open_with(data: bytes) -> None:
    """Put `data` where the last segment is; open, read everything, commit a reading; nothing raises and nothing loops."""
    world = _world()
    inode = _segment(world.disk)
    inode.current[:] = data
    inode.durable[:] = data
    inode.changes.clear()
    world.twins["a"].acknowledged.clear()  # what the bytes say is not what was acknowledged
    world.restart(cut=False)
    taken = 0
    while (border := world.spool.take("a")) is not None:
        taken += 1
        assert taken < 10_000, "it hands out envelopes without end"
        if not border.reason:
            world.spool.read(border)
        world.spool.delivered(border, border.first, border.last)
        world.turn()
    before = world.spool.status()["streams"]["a"]["next"]
    world.twins["a"].shown.clear()
    world.commit(1, 10)
    assert world.spool.status()["streams"]["a"]["next"] == before + 1
    world.spool.stop()
    world.spool.close()
