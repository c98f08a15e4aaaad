"""Damage on the card: flipped bits, lost files, torn ends. It opens, it goes on, it tells what is missing, it never loops."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent.errors import SpoolError
from device_agent.spool import record
from device_agent.spool.record import HEADER_SIZE
from device_agent.wire import block
from device_agent.wire.limits import KIB, MIB
from tests.spool.disk import Inode
from tests.spool.world import ROOT, Twin, World


def backlog() -> World:
    """Three closed segments or more, and one that is written."""
    world = World(max_bytes=1 * MIB)
    for _ in range(40):
        world.commit(5, 1400)
    world.spool.stop()
    world.spool.close()
    return world


def logs(world: World) -> list[Inode]:
    path = next(one for one in world.disk.directories if "/000001-" in one)
    names = sorted(name for name in world.disk.directories[path].current if name.endswith(".log"))
    return [world.disk.directories[path].current[name] for name in names]


def reopen(world: World) -> set[int]:
    """Open, take everything, write the notices; return the numbers that are neither there nor noticed."""
    world.restart(cut=False)
    for _ in range(3):
        world.check()
        world.turn()
    found: set[int] = set()
    while (border := world.take()) is not None:
        found.update(world.see(border))
        if border.reason:
            assert border.reason == "damaged"
            found.update(range(border.first, border.last + 1))
    world.turn()
    while (border := world.take()) is not None:
        found.update(range(border.first, border.last + 1))
    return set(world.twins["a"].acknowledged) - found


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 3))
def test_flipped_bits_in_closed_segments_cost_only_what_they_hit(seed: int, flips: int) -> None:
    world = backlog()
    values = random.Random(seed)
    closed = logs(world)[:-1]
    assert len(closed) >= 2
    for _ in range(flips):
        content = values.choice(closed).current
        content[values.randrange(len(content))] ^= 1 << values.randrange(8)
    assert reopen(world) == set()
    noticed = world.twins["a"].noticed
    assert len(noticed) <= 5 * flips
    before = len(world.twins["a"].acknowledged)
    world.commit(1)
    assert len(world.twins["a"].acknowledged) == before + 1


def test_damage_is_noticed_once_and_kept_aside() -> None:
    world = backlog()
    content = logs(world)[0].current
    content[500] ^= 1
    assert reopen(world) == set()
    first = set(world.twins["a"].noticed)
    assert first
    assert world.spool.status()["damaged_files"] == 1
    assert world.metrics.streams["a"].damaged == len(first)
    for border in list(world.flying):
        world.deliver(border)
    world.turn()
    world.restart(orderly=True)
    world.check()
    assert world.take() is None


def test_a_lost_segment_file_is_noticed() -> None:
    for which in (0, 1):
        world = backlog()
        path = next(one for one in world.disk.directories if "/000001-" in one)
        name = sorted(one for one in world.disk.directories[path].current if one.endswith(".log"))[which]
        del world.disk.directories[path].current[name]
        assert reopen(world) == set()
        assert world.twins["a"].noticed


def test_a_last_segment_without_anything_sound_takes_nothing_from_the_one_before() -> None:
    """It did: a copy under the next number has the base of the segment that it was copied from, whose readings then were nobody's."""
    world = backlog()
    path = next(one for one in world.disk.directories if "/000001-" in one)
    files = world.disk.directories[path].current
    name = max(one for one in files if one.endswith(".log"))
    number, _, base = name.removesuffix(".log").partition("-")
    copy = Inode()
    copy.current[:] = files[name].current
    copy.durable[:] = files[name].current
    files[f"{int(number) + 1:012d}-{base}.log"] = copy
    assert reopen(world) == set()
    assert not world.twins["a"].noticed
    world.spool.stop()
    world.spool.close()
    assert reopen(world) == set()


def test_a_directory_named_like_a_segment_is_left_alone() -> None:
    """It kept the agent from starting."""
    world = backlog()
    path = next(one for one in world.disk.directories if "/000001-" in one)
    world.disk.make_directory(f"{path}/000000000099-0000000000000999999.log")
    assert reopen(world) == set()


def test_rubbish_in_place_of_any_one_segment_is_survived() -> None:
    count = len(logs(backlog()))
    for which in range(count - 1):
        world = backlog()
        content = logs(world)[which].current
        content[:] = world.random.randbytes(len(content))
        assert reopen(world) == set()


def test_every_length_of_the_last_segment_opens() -> None:
    for cut in range(0, 3000, 37):
        world = World(linger=3600.0)
        world.online(False)
        for _ in range(6):
            world.commit(2, 100)
        world.spool.close()
        (last,) = logs(world)
        used = len(bytes(last.current).rstrip(b"\0"))
        if cut > used:
            break
        del last.current[used - cut :]
        world.twins["a"].acknowledged.clear()  # the disk lied: nothing can be promised but that it opens
        world.restart(cut=False)
        world.check()
        world.commit(1)
        assert len(world.twins["a"].acknowledged) == 1
        world.check()


def test_the_log_is_cut_at_every_byte_of_its_tail_and_every_commit_before_it_is_there() -> None:
    world = World(linger=3600.0)
    world.online(False)
    ends = []
    for _ in range(5):
        world.commit(2, 60)
        ends.append(world.spool._streams["a"].present.appender._end)
    (last,) = logs(world)
    whole, size = bytes(last.current), len(last.current)
    acknowledged = dict(world.twins["a"].acknowledged)
    for cut in range(ends[1], ends[-1] + 1):
        world.spool.close()
        (last,) = logs(world)
        last.current[:] = whole[:cut] + bytes(size - cut)
        complete = 2 * sum(end <= cut for end in ends)
        world.twins["a"] = Twin(acknowledged={seq: payload for seq, payload in acknowledged.items() if seq <= complete})
        world.restart(cut=False)
        world.check()
        assert world.spool.status()["streams"]["a"]["next"] == complete + 1


def test_a_torn_end_is_cut_and_a_copy_is_kept() -> None:
    world = World()
    world.commit(3, 1000)
    used = world.spool._streams["a"].present.appender._end
    world.spool.close()
    (last,) = logs(world)
    last.current[used : used + 40] = b"\xabDAL" + bytes(range(36))
    world.restart(cut=False)
    assert world.metrics.streams["a"].torn_bytes == 40
    assert world.spool.status()["damaged_files"] == 1
    world.check()
    world.restart(orderly=True)
    assert world.metrics.streams["a"].torn_bytes == 0


def test_a_damaged_journal_only_causes_re_sends() -> None:
    world = World()
    for _ in range(6):
        world.commit(1)
        border = world.take()
        assert border is not None
        world.deliver(border)
    world.spool.stop()
    world.spool.close()
    path = next(one for one in world.disk.directories if "/000001-" in one)
    content = world.disk.directories[path].current["delivered.journal"].current
    head = HEADER_SIZE + 8  # without it a new epoch begins: see below
    for at in range(head, len(content)):
        content[at] ^= 0x55
        world.restart(cut=False)
        world.check()
        world.spool.close()
        content = world.disk.directories[path].current["delivered.journal"].current
        if at >= len(content) - 1:
            break


def test_files_of_other_people_are_left_alone() -> None:
    world = World(max_bytes=512 * KIB)
    world.commit(1)
    world.spool.stop()
    world.spool.close()
    path = next(one for one in world.disk.directories if "/000001-" in one)
    world.disk.directories[path].current["notes.txt"] = Inode(current=bytearray(b"mine"))
    world.disk.make_directory(f"{ROOT}/streams/a/backup")
    world.restart(cut=False)
    world.check()
    assert world.disk.directories[path].current["notes.txt"].current == b"mine"


def _empty(world: World, files: dict[str, Inode], name: str) -> None:
    del files[name].current[:]


def _rubbish(world: World, files: dict[str, Inode], name: str) -> None:
    files[name].current[:] = world.random.randbytes(len(files[name].current))


def _gone(world: World, files: dict[str, Inode], name: str) -> None:
    del files[name]


def _cut(world: World, files: dict[str, Inode], name: str) -> None:
    used = len(bytes(files[name].current).rstrip(b"\0"))
    del files[name].current[used // 2 :]


def _rubbish_in_the_journal_too(world: World, files: dict[str, Inode], name: str) -> None:
    for one in (name, "delivered.journal"):
        _rubbish(world, files, one)


def _cut_between_records(_world: World, files: dict[str, Inode], name: str) -> None:
    data = bytes(files[name].current)
    starts = [at for at in range(len(data)) if record.header_at(data, at)]
    del files[name].current[starts[len(starts) // 2] :]


@pytest.mark.parametrize("damage", [_empty, _rubbish, _rubbish_in_the_journal_too, _gone, _cut, _cut_between_records])
def test_numbers_that_the_cloud_has_are_not_used_again_when_the_end_of_the_log_is_lost(
    damage: Callable[[World, dict[str, Inode], str], None],
) -> None:
    """They were: what was acknowledged next got numbers that the journal called delivered, and was never sent."""
    world = World()
    for _ in range(6):
        world.commit(2, 100)
        world.later(10.0)
        while (border := world.take()) is not None:
            world.deliver(border)
    world.restart(orderly=True, cut=False)
    epoch, following = (world.spool.status()["streams"]["a"][key] for key in ("epoch", "next"))
    world.spool.stop()
    world.spool.close()
    files = next(one for path, one in world.disk.directories.items() if "/000001-" in path).current
    damage(world, files, max(name for name in files if name.endswith(".log")))
    delivered = range(1, following)
    world.twins["a"] = Twin()  # of the next epoch
    world.restart(cut=False)
    assert world.spool.status()["streams"]["a"]["epoch"] != epoch
    world.commit(2)
    taken = {(border.epoch == epoch, seq) for border in iter(world.take, None) for seq in range(border.first, border.last + 1)}
    assert {(False, 1), (False, 2)} <= taken, "what was acknowledged is sent"
    assert not {(True, seq) for seq in delivered} & taken, "the cloud has these"
    world.restart(orderly=True, cut=False)
    assert world.spool.status()["streams"]["a"]["next"] == 3


def _journal_gone(files: dict[str, Inode]) -> None:
    del files["delivered.journal"]


def _journal_empty(files: dict[str, Inode]) -> None:
    del files["delivered.journal"].current[:]


def _journal_zeroed(files: dict[str, Inode]) -> None:
    files["delivered.journal"].current[:] = bytes(len(files["delivered.journal"].current))


def _journal_of_another_log(files: dict[str, Inode]) -> None:
    head = record.Record(kind=record.Kind.JOURNAL, first=0, count=0, time=1, body=bytes(8)).encode(0)
    files["delivered.journal"].current[:] = head


@pytest.mark.parametrize("damage", [_journal_gone, _journal_empty, _journal_zeroed, _journal_of_another_log])
def test_numbers_are_not_used_again_when_the_end_of_the_log_and_the_journal_are_lost_together(
    damage: Callable[[dict[str, Inode]], None],
) -> None:
    """They were: a log that was cut between two records looks sound, and nothing knew of the numbers behind the cut any more."""
    world = World()
    before = set()
    for _ in range(6):
        world.commit(2, 100)
        world.later(10.0)
        for border in iter(world.take, None):
            world.deliver(border)
            before.add((border.epoch, border.first, border.last))
    world.spool.stop()
    world.spool.close()
    files = next(one for path, one in world.disk.directories.items() if "/000001-" in path).current
    _cut_between_records(world, files, max(name for name in files if name.endswith(".log")))
    damage(files)
    world.twins["a"] = Twin()  # the epoch that follows: its numbers begin again
    world.restart(cut=False)
    again = {(border.epoch, border.first, border.last) for border in iter(lambda: world.spool.take("a"), None)}
    assert again
    assert again < before, "sent again under the ids that it had"
    world.commit(2)
    (fresh,) = iter(world.take, None)
    assert fresh.epoch not in {epoch for epoch, _, _ in before}
    assert (fresh.first, fresh.last) == (1, 2)


@pytest.mark.parametrize("name", [".log", ".journal"])
@pytest.mark.parametrize("page", [0, 1])
def test_a_page_that_the_card_does_not_give_back_does_not_keep_the_agent_from_starting(name: str, page: int) -> None:
    """It did: a bad sector in the last segment or in the journal was an error at every start."""
    world = World(linger=3600.0)
    world.online(False)
    world.commit(3, 100)
    world.commit(3, 4000)
    world.spool.close()

    def fail(operation: str, path: str) -> OSError | None:
        return OSError(errno.EIO, "Input/output error", path) if operation == "pread" and path.endswith(name) else None

    pread = world.disk.pread

    def bad_sector(fd: int, size: int, offset: int) -> bytes:
        world.disk.fail = fail if offset <= page * 4096 < offset + size else lambda _op, _path: None
        try:
            return pread(fd, size, offset)
        finally:
            world.disk.fail = lambda _op, _path: None

    world.disk.pread = bad_sector  # type: ignore[method-assign]
    acknowledged, world.twins["a"] = world.twins["a"].acknowledged, Twin()
    world.restart(cut=False)
    world.commit(1)
    assert world.twins["a"].acknowledged, "it takes readings"
    if name == ".journal":
        world.twins["a"].acknowledged |= acknowledged
        world.check()


@pytest.mark.parametrize("closed", [True, False])
def test_a_segment_of_another_log_is_not_taken_for_ones_own(closed: bool) -> None:
    """It was: records know the number of their segment, not their epoch, and its readings were sent under this log's numbers."""
    world, other = backlog(), World(max_bytes=1 * MIB, seed=77)
    for _ in range(40):
        other.commit(5, 1400)
    other.spool.stop()
    other.spool.close()
    at = 0 if closed else -1
    logs(world)[at].current[:] = logs(other)[at].current
    if closed:
        assert reopen(world) == set()  # `see` holds every payload against what was acknowledged
        assert world.twins["a"].noticed
        return
    epoch = next(path for path in world.disk.directories if "/000001-" in path).rpartition("-")[2]
    world.restart(cut=False)
    assert world.spool.status()["streams"]["a"]["epoch"] != epoch
    while (border := world.spool.take("a")) is not None:
        for one in world.spool.read(border):
            for seq, payload in enumerate(block.decode(one.data).payloads, start=one.first):
                assert world.twins["a"].acknowledged[seq] == payload


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_whichever_call_fails_while_opening_it_opens_now_or_the_next_time_with_everything(number: int) -> None:
    refused = 0
    for at in range(40):
        world = backlog()
        calls = 0

        def fail(operation: str, path: str, at: int = at) -> OSError | None:
            nonlocal calls
            calls += 1
            return OSError(number, "fails", path) if calls == at + 1 else None

        world.disk.fail = fail
        try:
            world.restart(cut=False)
        except SpoolError:
            refused += 1
            world.disk.fail = lambda _operation, _path: None
            world.restart(cut=False)
        world.disk.fail = lambda _operation, _path: None
        world.check()
        if calls <= at:
            break
    assert 0 < refused < calls
