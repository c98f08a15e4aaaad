"""A quick look at the log, for `check`: what is wrong at the beginning of a segment or in the last one is seen, and little is read."""

from __future__ import annotations

import pytest

from device_agent.errors import SpoolError
from device_agent.spool.glance import HEADS, glance
from device_agent.wire.limits import KIB, MIB
from tests.spool.disk import FakeDisk, Inode
from tests.spool.world import ROOT, World


def segments(disk: FakeDisk) -> list[Inode]:
    path = next(one for one in disk.directories if "/000001-" in one)
    return [disk.directories[path].current[name] for name in sorted(disk.directories[path].current) if name.endswith(".log")]


def filled(*, max_bytes: int = 1 * MIB) -> World:
    world = World(max_bytes=max_bytes)
    for _ in range(60):
        world.commit(5, 1000)
    assert len(segments(world.disk)) > 2
    return world


def test_a_sound_log_of_any_size_is_sound_after_little_reading() -> None:
    world = filled()
    seen = glance(ROOT, files=world.disk)
    assert seen.problems == ()
    assert seen.segments == len(segments(world.disk))
    assert seen.read < seen.bytes
    assert seen.read <= 128 * KIB + HEADS * 76


@pytest.mark.parametrize("at", [0, 20, 60])
def test_a_damaged_head_is_told_with_its_file(at: int) -> None:
    world = filled()
    segments(world.disk)[1].current[at] ^= 0xFF
    (problem,) = glance(ROOT, files=world.disk).problems
    assert "000000000002-" in problem
    assert "does not begin as a segment does" in problem


def test_another_logs_segment_is_told() -> None:
    world, other = filled(), World(max_bytes=1 * MIB, seed=7)
    for _ in range(60):
        other.commit(5, 1000)
    segments(world.disk)[1].current[:] = segments(other.disk)[1].current
    (problem,) = glance(ROOT, files=world.disk).problems
    assert "is that of another segment" in problem


def test_damage_in_the_last_segment_is_told_and_a_half_written_end_is_none() -> None:
    world = filled()
    last = segments(world.disk)[-1].current
    end = len(bytes(last).rstrip(b"\0"))
    last[end : end + 10] = b"\xab\x44\x41\x4c\x01\x02\x03\x04\x05\x06"
    assert glance(ROOT, files=world.disk).problems == ()
    last[300] ^= 0xFF
    assert any("checksum" in problem for problem in glance(ROOT, files=world.disk).problems)


def test_where_there_is_no_spool_it_says_so() -> None:
    with pytest.raises(SpoolError, match="there is no spool here"):
        glance("/elsewhere", files=FakeDisk())


def test_damage_in_the_last_segment_of_an_earlier_epoch_is_told() -> None:
    """Where the machine id changes at each boot, nearly all of the log is in epochs that nobody writes to any more."""
    world, other = filled(), World(max_bytes=1 * MIB, seed=7)
    other.commit(5, 1000)
    for path in [path for path in other.disk.directories if "/000001-" in path]:
        world.disk.directories[path.replace("/000001-", "/000000-")] = other.disk.directories[path]
    assert glance(ROOT, files=world.disk).problems == ()
    segments(other.disk)[-1].current[300] ^= 0xFF
    (problem,) = glance(ROOT, files=world.disk).problems
    assert "/000000-" in problem
