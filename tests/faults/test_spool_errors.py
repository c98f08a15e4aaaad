"""A disk that fails, fills up or refuses: nothing acknowledged is lost, nothing is acknowledged too early, everything resumes by itself."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable

import pytest

from device_agent.config import WhenFull
from device_agent.errors import NotNow
from device_agent.ports import Verdict
from device_agent.wire.limits import KIB, MIB
from tests.spool.disk import FakeDisk
from tests.spool.world import World


def error(number: int) -> OSError:
    return OSError(number, {errno.EIO: "Input/output error", errno.ENOSPC: "No space left on device", errno.EROFS: "Read-only"}[number])


def failing(operation: str, nth: int, *, times: int = 1, number: int = errno.EIO) -> Callable[[str, str], OSError | None]:
    seen = 0

    def fail(name: str, _path: str) -> OSError | None:
        nonlocal seen
        if name != operation:
            return None
        seen += 1
        return error(number) if nth <= seen < nth + times else None

    return fail


def life(world: World) -> None:
    for _ in range(12):
        world.commit(5, 1400)
        with contextlib.suppress(NotNow):  # what `open` failing means to the uplink
            border = world.take()
            if border is not None and border.first % 2:
                world.deliver(border)
        world.later(20.0)


@pytest.mark.parametrize("times", [1, 2, 7])
@pytest.mark.parametrize("operation", ["datasync", "pwrite", "truncate", "allocate", "sync_directory", "open", "unlink", "rename"])
def test_each_call_fails_in_turn_and_nothing_acknowledged_is_lost(operation: str, times: int) -> None:
    for nth in range(1, 30, 2):
        world = World(max_bytes=1 * MIB, seed=nth)
        world.disk.fail = failing(operation, nth, times=times)
        life(world)
        world.disk.fail = lambda _op, _path: None
        world.later(60.0)
        world.later(60.0)
        world.check()
        assert world.spool.verdict("a") is Verdict.OPEN
        world.restart(keep=0.0)
        world.check()


def test_after_a_failed_fdatasync_the_readings_are_on_disk_in_another_segment_before_the_answer() -> None:
    world = World()
    world.later(0)
    world.disk.fail = failing("datasync", 1)
    world.commit(3)
    assert len(world.twins["a"].acknowledged) == 3
    world.restart(keep=0.0)
    world.check()
    assert world.take() is not None


def test_a_failed_fdatasync_that_is_believed_would_lose_readings() -> None:
    """The model behind the rule: after the error the next fdatasync succeeds, and the bytes are gone all the same."""
    disk = FakeDisk()
    disk.make_directory("/x")
    fd = disk.open("/x/f", create=True)
    disk.sync_directory("/x")
    disk.pwrite(fd, b"data", 0)
    disk.fail = failing("datasync", 1)
    with pytest.raises(OSError, match="Input/output"):
        disk.datasync(fd)
    disk.datasync(fd)
    assert disk.pread(fd, 4, 0) == b"data"
    disk.power_cut(World().random)
    assert disk.pread(disk.open("/x/f"), 4, 0) == b""


def test_while_the_disk_fails_clients_are_refused_with_the_reason_and_others_wait() -> None:
    world = World()
    world.later(0)
    world.disk.fail = failing("datasync", 1, times=10**6)
    world.put(2)
    kept = world.put(3, replies=False)
    world.turn()
    assert world.twins["a"].refused == 1
    assert world.spool.verdict("a") is Verdict.FULL
    assert "Input/output error" in world.spool.why("a")
    world.disk.fail = lambda _op, _path: None
    world.later(60.0)
    world.later(60.0)
    assert world.spool.verdict("a") is Verdict.OPEN
    border = world.take()
    assert border is not None
    assert (border.first, border.last) == (1, 3)
    assert list(world.see(border).values()) == kept.run.payloads


@pytest.mark.parametrize("when_full", WhenFull)
def test_a_full_file_system_loses_nothing_and_resumes(when_full: WhenFull) -> None:
    world = World(max_bytes=64 * MIB, when_full=when_full, disk=FakeDisk(capacity=9 * MIB))
    world.online(False)
    for _ in range(60):
        world.put(10, 20_000)
        world.later(20.0)
    world.check()
    assert world.twins["a"].refused > 0 or when_full is WhenFull.DROP_OLDEST
    world.disk.capacity = 128 * MIB
    world.later(60.0)
    before = len(world.twins["a"].acknowledged)
    world.commit(1)
    assert len(world.twins["a"].acknowledged) == before + 1
    world.restart(keep=0.0)
    world.check()


def test_it_opens_on_a_full_file_system() -> None:
    world = World()
    world.commit(5)
    world.disk.capacity = world.disk.used
    world.restart(orderly=True)
    world.check()


def test_a_quarantine_that_cannot_be_written_is_not_now() -> None:
    world = World()
    world.commit(1)
    border = world.take()
    assert border is not None
    world.disk.fail = lambda operation, path: error(errno.ENOSPC) if "quarantine" in path and operation == "pwrite" else None
    with pytest.raises(NotNow, match="No space"):
        world.spool.quarantine(border, 1, 1, reason="no", body="x")
    world.disk.fail = lambda _op, _path: None
    world.give_back(border)
    assert world.take() == border


def test_a_segment_that_cannot_be_read_is_damage_and_not_the_end() -> None:
    world = World(linger=3600.0, max_bytes=1 * MIB, max_envelope=16 * KIB)
    world.online(False)
    for _ in range(40):
        world.commit(2, 1400)
    world.restart(keep=0.0)

    def fail(operation: str, path: str) -> OSError | None:
        return error(errno.EIO) if operation == "pread" and path.endswith("-0000000000000000001.log") else None

    world.disk.fail = fail
    border = world.take()
    assert border is not None
    assert border.first > 1, "the segment whose file cannot be read is stepped over"
    world.disk.fail = lambda _op, _path: None
    world.turn()
    assert world.metrics.streams["a"].damaged == border.first - 1
    world.check()


def test_too_many_open_files_are_not_taken_for_damage() -> None:
    world = World()
    world.commit(3)
    border = world.take()
    assert border is not None
    world.disk.fail = lambda operation, _path: OSError(errno.EMFILE, "Too many open files") if operation == "open" else None
    with pytest.raises(NotNow, match="Too many open files"):
        world.spool.read(border)
    world.disk.fail = lambda _op, _path: None
    assert len(world.see(border)) == 3
