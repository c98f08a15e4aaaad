"""What the spool does, sentence by sentence; on the fake disk, turn by turn."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from device_agent.clock import SystemClock
from device_agent.config import SpoolConfig, StreamConfig, WhenFull
from device_agent.errors import ConfigError, SpoolError
from device_agent.metrics import Metrics
from device_agent.ports import Border, Verdict
from device_agent.spool import tools
from device_agent.spool.spool import Spool
from device_agent.wire import block, envelope
from device_agent.wire.limits import KIB, MIB
from tests.spool.disk import FakeDisk, PowerCut
from tests.spool.world import ROOT, World


def everything(world: World, stream: str = "a") -> list[Border]:
    found = []
    while (border := world.take(stream)) is not None:
        found.append(border)
    return found


def fill(world: World, *, stream: str = "a", replies: bool = True) -> int:
    """Put until the stream says FULL; return how many readings were acknowledged."""
    world.online(False)
    for _ in range(2000):
        if world.spool.verdict(stream) is Verdict.FULL:
            break
        world.put(5, 1000, stream=stream, replies=replies)
        world.later(2.0)
    assert world.spool.verdict(stream) is Verdict.FULL
    return len(world.twins[stream].acknowledged)


# Envelopes


def test_an_envelope_closes_when_it_is_full_and_is_then_nearly_full() -> None:
    world = World(max_bytes=MIB, linger=3600.0, max_envelope=64 * KIB)
    world.online(False)
    for _ in range(10):
        world.commit(300, 90)
    budget = envelope.capacity(64 * KIB, overhead=envelope.overhead(device="board-7", stream="a", agent="device-agent/0"))
    found = everything(world)
    assert len(found) >= 5
    for border in found:
        assert 0.95 * budget <= border.size <= budget
        assert border.size == sum(len(one.data) for one in world.spool.read(border))


def test_linger_closes_what_is_not_full() -> None:
    world = World(linger=5.0)
    world.commit(3)
    world.later(4.0)
    assert world.take() is None
    world.later(1.0)
    border = world.take()
    assert border is not None
    assert (border.first, border.last) == (1, 3)


def test_linger_0_closes_with_each_commit_in_the_same_write() -> None:
    world = World(linger=0.0)
    world.later(0)
    world.disk.operations.clear()
    world.commit(3)
    assert [one for one in world.disk.operations if one in {"pwrite", "datasync"}] == ["pwrite", "datasync"]
    assert world.take() is not None


def test_a_border_that_is_due_soon_goes_with_the_commit() -> None:
    world = World(linger=1.0)
    world.commit(1)
    world.clock.seconds += 0.6  # due in 0.4 s, and the next commit would be later
    world.commit(1)
    border = world.take()
    assert border is not None
    assert (border.first, border.last) == (1, 2)


def test_while_the_uplink_cannot_send_linger_makes_no_small_envelopes() -> None:
    world = World(linger=1.0, max_envelope=64 * KIB)
    world.online(False)
    for _ in range(50):
        world.commit(2)
        world.later(2.0)
    assert world.take() is None
    world.online()
    world.later(0.0)
    border = world.take()
    assert border is not None
    assert (border.first, border.last) == (1, 100)


def test_while_a_closed_envelope_waits_linger_closes_no_other() -> None:
    world = World(linger=1.0, max_envelope=64 * KIB)
    world.commit(1)
    world.later(2.0)
    for _ in range(3):
        world.commit(1)
        world.later(2.0)
    first = world.take()
    assert first is not None
    assert (first.first, first.last) == (1, 1)
    world.later(0.0)
    second = world.take()
    assert second is not None
    assert (second.first, second.last) == (2, 4)


def test_a_stop_closes_the_open_envelope_and_commits_what_was_put() -> None:
    world = World(linger=3600.0)
    world.put(3, replies=False)
    world.put(2)
    world.restart(orderly=True, cut=True, keep=0.0)
    border = world.take()
    assert border is not None
    assert (border.first, border.last) == (1, 5)


def test_a_crash_closes_the_open_envelope_and_numbers_go_on() -> None:
    world = World(linger=3600.0)
    world.commit(3)
    world.restart(keep=0.0)
    world.commit(2)
    world.restart(keep=0.0)
    assert [(one.first, one.last) for one in everything(world)] == [(1, 3), (4, 5)]


def test_without_packing_an_envelope_has_at_most_1000_readings() -> None:
    world = World(linger=0.0, pack=False, max_envelope=1 * MIB, max_bytes=4 * MIB)
    world.commit(2500, 10)
    assert [one.last - one.first + 1 for one in everything(world)] == [1000, 1000, 500]


def test_a_large_reading_is_an_envelope_of_its_own() -> None:
    world = World(max_bytes=16 * MIB)
    assert world.spool.max_reading("a") == 700 * KIB
    world.put(1, 10)
    world.put(1, 700 * KIB)
    world.put(1, 10)
    world.turn()
    assert [(one.first, one.last) for one in everything(world)] == [(1, 1), (2, 2), (3, 3)]


def test_a_reading_that_fits_no_segment_is_counted_off_and_does_not_stop_the_log() -> None:
    world = World()
    world.commit(1, 80 * KIB)
    (notice,) = everything(world)
    world.commit(1, 10)
    (border,) = everything(world)
    assert (notice.first, notice.last, notice.reason) == (1, 1, "dropped")
    assert (border.first, border.last, border.reason) == (2, 2, "")


# Commit


def test_an_answer_waits_for_the_disk_and_other_readings_for_the_interval() -> None:
    world = World()
    world.later(0)
    commits = lambda: world.metrics.streams["a"].commits  # noqa: E731
    world.put(5, replies=False)
    assert world.turn() == pytest.approx(1.0)
    assert commits() == 0
    world.put(1)
    world.turn()
    assert commits() == 1
    assert world.twins["a"].acknowledged.keys() == {6}
    world.put(5, replies=False)
    world.later(1.0)
    assert commits() == 2


def test_many_waiting_batches_share_one_sync() -> None:
    world = World(max_bytes=4 * MIB)
    world.later(0)
    world.disk.operations.clear()
    for _ in range(64):
        world.put(1)
    world.turn()
    assert world.disk.operations.count("datasync") == 1
    assert len(world.twins["a"].acknowledged) == 64


def slow(world: World, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let every sync take a while, and the first commit be over."""
    sync = world.disk.datasync

    def datasync(fd: int) -> None:
        world.clock.seconds += seconds
        sync(fd)

    monkeypatch.setattr(world.disk, "datasync", datasync)
    world.later(0)


def test_a_commit_waits_a_moment_for_as_many_as_the_last_one_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(max_bytes=4 * MIB)
    slow(world, monkeypatch, 0.0001)
    commits = lambda: world.metrics.streams["a"].commits  # noqa: E731
    world.put(3)
    world.turn()
    world.put(1)
    assert world.turn() == pytest.approx(0.0004)
    world.put(1)
    world.turn()
    assert commits() == 1
    world.put(1)
    world.turn()
    assert commits() == 2, "all three are back"
    world.put(1)
    world.later(0.0004)
    assert commits() == 3, "four times as long as the last commit took is long enough"
    world.put(1)
    world.turn()
    assert commits() == 4, "one client waits for nobody"


def test_on_a_slow_disk_a_commit_waits_a_millisecond_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(max_bytes=4 * MIB)
    slow(world, monkeypatch, 2.0)
    world.commit(2)
    world.put(1)
    assert world.turn() == pytest.approx(0.001)
    world.later(0.001)
    assert len(world.twins["a"].acknowledged) == 3


def test_streams_with_nothing_are_not_touched() -> None:
    world = World(["a", "b"], max_bytes=4 * MIB)
    world.later(0)
    world.disk.operations.clear()
    world.commit(1, stream="b")
    assert world.disk.operations.count("pwrite") == 1


def test_an_idle_writer_has_nothing_due() -> None:
    world = World()
    world.commit(1)
    for border in everything(world):
        world.deliver(border)
    world.turn()
    assert world.turn() == float("inf")


def test_while_much_waits_for_the_writer_the_verdict_is_busy() -> None:
    world = World(max_bytes=64 * MIB)
    while world.spool.verdict("a") is Verdict.OPEN:
        world.put(100, 1000, replies=False)
    assert world.spool.verdict("a") is Verdict.BUSY
    world.later(0)
    for _ in range(10):
        world.later(2.0)
    assert world.spool.verdict("a") is Verdict.OPEN


def test_a_flood_leaves_room_for_other_streams() -> None:
    world = World(["a", "b"], max_bytes=64 * MIB)
    while world.spool.verdict("a") is Verdict.OPEN:
        world.put(100, 1000, replies=False)
    assert world.spool.verdict("b") is Verdict.OPEN


# The cap


def test_at_the_cap_block_refuses_and_loses_nothing() -> None:
    world = World(max_bytes=512 * KIB)
    fill(world)
    assert "full" in world.spool.why("a")
    refused = world.twins["a"].refused
    world.put(1)
    world.turn()
    assert world.twins["a"].refused == refused + 1
    world.check()
    assert world.disk.peak <= 512 * KIB


def test_readings_without_answer_wait_at_the_cap_until_there_is_room() -> None:
    world = World(max_bytes=512 * KIB)
    fill(world, replies=False)
    before = world.metrics.streams["a"].committed
    for border in everything(world):
        world.deliver(border)
    world.later(0)
    assert world.spool.verdict("a") is Verdict.OPEN
    world.online()
    world.later(2.0)
    assert world.metrics.streams["a"].committed > before
    assert not any(one.reason for one in everything(world))


def test_a_full_stream_does_not_stop_another() -> None:
    world = World(["a", "b"], max_bytes=1 * MIB)
    fill(world, replies=False)
    assert world.spool.verdict("b") is Verdict.OPEN
    world.commit(3, stream="b")
    assert len(world.twins["b"].acknowledged) == 3


def test_one_mib_with_two_streams_works() -> None:
    world = World(["a", "b"], max_bytes=1 * MIB)
    assert fill(world, stream="a") > 100
    assert fill(world, stream="b") > 100
    assert world.disk.peak <= 1 * MIB
    assert world.disk.under(ROOT) <= 1 * MIB
    world.check()


def test_drop_oldest_drops_whole_envelopes_and_tells_which() -> None:
    world = World(max_bytes=512 * KIB, when_full=WhenFull.DROP_OLDEST)
    world.commit(1, 1000)
    kept = world.take()
    assert kept is not None
    for _ in range(150):
        world.commit(5, 1000)
    assert world.spool.verdict("a") is Verdict.OPEN
    assert world.disk.peak <= 512 * KIB
    assert len(world.twins["a"].acknowledged) == 751
    world.check()
    notices = [one for one in everything(world) if one.reason]
    assert {one.reason for one in notices} == {"dropped"}
    assert world.metrics.streams["a"].dropped == sum(one.last - one.first + 1 for one in notices)
    assert not any(one.first == kept.first for one in notices), "what is in flight is not dropped"


def test_drop_newest_uses_numbers_and_says_so_when_there_is_room() -> None:
    world = World(max_bytes=512 * KIB, when_full=WhenFull.DROP_NEWEST)
    for _ in range(100):
        world.put(5, 1000, replies=False)
        world.later(2.0)
    assert world.spool.verdict("a") is Verdict.OPEN
    dropped = world.metrics.streams["a"].dropped
    assert dropped > 0
    world.commit(1)
    assert world.twins["a"].refused == 1
    for border in everything(world):
        world.deliver(border)
    world.later(2.0)
    world.commit(1)
    assert world.twins["a"].acknowledged.keys() == {501}
    notices = [one for one in everything(world) if one.reason]
    assert [(one.reason, one.last) for one in notices] == [("dropped", 500)]
    assert sum(one.last - one.first + 1 for one in notices) == dropped


def test_a_stop_at_the_cap_still_writes_the_jump() -> None:
    world = World(max_bytes=512 * KIB, when_full=WhenFull.DROP_NEWEST)
    for _ in range(100):
        world.put(5, 1000, replies=False)
        world.later(2.0)
    world.restart(orderly=True, keep=0.0)
    assert [one.last for one in everything(world) if one.reason] == [500]


def test_a_batch_of_which_the_disk_took_a_part_is_answered_for_both_parts_at_a_stop() -> None:
    """A reload stops the spool and keeps the inputs: whoever got no answer would wait for ever, and its place in a window with it."""
    world = World(max_bytes=512 * KIB)
    while world.spool.verdict("a") is Verdict.OPEN:
        world.put(400, 1000)
        world.turn()
    kept = len(world.twins["a"].acknowledged)
    world.restart(orderly=True, cut=False)
    assert world.twins["a"].refused == 1
    assert len(world.twins["a"].acknowledged) > kept
    world.check()


def test_space_that_is_left_to_others_is_respected() -> None:
    world = World(max_bytes=4 * MIB, keep_free=100 * KIB, disk=FakeDisk(capacity=600 * KIB))
    fill(world)
    assert "keep_free" in world.spool.why("a")
    assert world.disk.free(ROOT) >= 0
    world.disk.capacity = 8 * MIB
    world.later(20.0)
    assert world.spool.verdict("a") is Verdict.OPEN


def test_too_small_a_cap_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match="max_bytes"):
        World(["a", "b", "c", "d"], max_bytes=512 * KIB)


def test_delivered_segments_are_deleted_and_the_last_one_stays() -> None:
    world = World(max_bytes=1 * MIB)
    for _ in range(100):
        world.commit(5, 1000)
        for border in everything(world):
            world.deliver(border)
    world.turn()
    status = world.spool.status()["streams"]["a"]
    assert status["segments"] == 1
    assert status["next"] == 501
    world.restart(keep=0.0)
    world.commit(1)
    assert world.twins["a"].acknowledged.keys() >= {501}


# Delivery


def five(world: World) -> list[Border]:
    found = []
    for _ in range(5):
        world.commit(1)
        found += everything(world)
    assert len(found) == 5
    return found


def test_delivered_envelopes_do_not_come_again_after_an_orderly_stop() -> None:
    world = World()
    borders = five(world)
    for border in borders[:3]:
        world.deliver(border)
    world.restart(orderly=True, cut=False)
    assert everything(world) == borders[3:]


def test_losing_the_journal_re_sends_under_the_same_ids() -> None:
    world = World()
    before = five(world)
    for border in before:
        world.deliver(border)
    world.spool.stop()
    world.spool.close()
    path = next(one for one in world.disk.directories if "/000001-" in one)
    del world.disk.directories[path].current["delivered.journal"]
    world.restart(cut=False)
    assert everything(world) == before


def test_quarantined_readings_are_kept_with_the_reason() -> None:
    world = World()
    world.commit(2)
    border = world.take()
    assert border is not None
    world.quarantine(border)
    name = f"{border.epoch}-1-2.json"
    content = bytes(world.disk.directories[f"{ROOT}/quarantine/a"].current[name].current)
    assert b'"reason": "refused"' in content
    assert b'"body": "{}"' in content
    world.turn()
    world.restart(keep=0.0)
    notice = world.take()
    assert notice is not None
    assert (notice.first, notice.last, notice.reason, notice.detail) == (1, 2, "quarantined", "refused")
    world.deliver(notice)
    world.restart(orderly=True)
    assert world.take() is None


def test_the_quarantine_keeps_to_its_part_of_the_cap() -> None:
    world = World(max_bytes=512 * KIB)
    for _ in range(100):
        world.spool.set_aside("a", b"x" * 4000, "too large")
        world.turn()
    assert world.spool.status()["streams"]["a"]["quarantined_files"] > 3
    assert world.disk.under(f"{ROOT}/quarantine") <= 512 * KIB // 8 + 3 * 4096


def test_a_large_reading_set_aside_is_kept_whole() -> None:
    world = World(max_bytes=64 * MIB)
    world.spool.set_aside("a", [b"head", b"\xff" * 100], "too large")
    world.turn()
    (content,) = (inode.current for inode in world.disk.directories[f"{ROOT}/quarantine/a"].current.values())
    assert b"aGVhZA==" in content


# Opening


def test_a_second_agent_is_refused_with_the_pid_of_the_first() -> None:
    world = World()
    with pytest.raises(SpoolError, match=r"pid [0-9]+"):
        world._make().open()


def test_a_cloned_card_gets_a_new_epoch_and_the_backlog_is_still_sent() -> None:
    world = World()
    world.commit(2)
    old = world.take()
    world.spool.stop()
    world.spool.close()
    world.machine = "another board"
    world.twins["a"] = type(world.twins["a"])()
    world.restart()
    first = world.spool.take("a")
    assert first == old
    assert first is not None
    world.commit(3)
    second = world.take()
    assert second is not None
    assert second.epoch != first.epoch
    assert (second.first, second.last) == (1, 3)
    world.spool.delivered(first, first.first, first.last)
    world.turn()
    world.turn()
    assert world.spool.status()["streams"]["a"]["segments"] == 1, "the log of the former epoch is gone"
    world.spool.delivered(first, first.first, first.last)  # a part of it that was sent again: it raised an error, and the sender lost it
    world.spool.give_back(first)


def test_an_unknown_machine_changes_nothing() -> None:
    world = World()
    world.commit(1)
    epoch = world.spool.status()["streams"]["a"]["epoch"]
    for machine in ("", "board"):
        world.machine = machine
        world.restart(orderly=True)
        assert world.spool.status()["streams"]["a"]["epoch"] == epoch


def test_opening_reads_one_segment_however_large_the_backlog() -> None:
    world = World(max_bytes=2 * MIB)
    counts = []
    for _ in range(2):
        for _ in range(40):
            world.commit(10, 1000)
        world.restart(orderly=True)
        world.disk.operations.clear()
        world.spool.stop()
        world.spool.close()
        world.spool = world._make()
        world.spool.open()
        counts.append((world.disk.operations.count("pread"), world.disk.operations.count("open")))
    assert counts[0] == counts[1]


def test_memory_holds_few_indexes_however_large_the_backlog() -> None:
    world = World(max_bytes=1 * MIB)
    for _ in range(60):
        world.commit(10, 1000)
    assert len(everything(world)) > 50
    log = world.spool._streams["a"].present.log
    assert len(log.state.segments) > 5
    assert sum(one.entries is not None for one in log.state.segments) <= 4


def test_streams_that_are_no_longer_configured_are_kept_and_counted() -> None:
    world = World(["a", "b"], max_bytes=2 * MIB)
    world.commit(5, 1000, stream="b")
    world.streams = world.streams[:1]
    world.restart(orderly=True)
    assert world.spool.status()["not_configured"]["b"] > 0
    world.streams = [*world.streams, StreamConfig(name="b", queue="q", linger=0.0)]
    world.restart(orderly=True)
    assert len(everything(world, "b")) == 1


def test_status_tells_what_people_want_to_know() -> None:
    world = World()
    world.commit(3)
    status = world.spool.status()
    one = status["streams"]["a"]
    assert (one["next"], one["backlog_envelopes"], one["backlog_readings"], one["verdict"]) == (4, 1, 3, "open")
    assert one["oldest_undelivered"] == 1_700_001_000_000_000
    assert status["bytes"] <= status["max_bytes"]


def test_the_real_directory_is_private(tmp_path: Path) -> None:
    directory = f"{tmp_path}/deep/spool"
    config = SpoolConfig(directory=directory, max_bytes=1 * MIB, keep_free=0)
    world = World()
    spool = Spool(config, world.streams, device="d", agent="a", clock=world.clock, metrics=Metrics())
    spool.open()
    try:
        assert Path(directory).stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o077 == 0 for path in Path(directory).rglob("*"))
    finally:
        spool.close()


def test_block_content_is_what_the_wire_makes() -> None:
    world = World()
    world.commit(3)
    border = world.take()
    assert border is not None
    (one,) = world.spool.read(border)
    assert block.decode(one.data).payloads == [world.twins["a"].acknowledged[number] for number in (1, 2, 3)]


def test_an_idle_writer_uses_next_to_no_processor_time(tmp_path: Path) -> None:
    world = World()
    config = SpoolConfig(directory=str(tmp_path / "spool"), max_bytes=1 * MIB, keep_free=0)
    spool = Spool(config, world.streams, device="d", agent="a", clock=SystemClock(), metrics=Metrics())
    spool.open()
    spool.start()
    try:
        spool.sendable("a", True)
        time.sleep(0.1)
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.1  # a busy loop takes all of it
        assert spool.alive
    finally:
        spool.stop()
        spool.close()
    assert not spool.alive


def test_the_journal_stays_small_and_complete_however_many_envelopes_are_delivered() -> None:
    world = World(max_bytes=1 * MIB)
    path = next(one for one in world.disk.directories if "/000001-" in one)
    largest = 0
    for at in range(400):
        world.commit(1, 10)
        border = world.take(fresh=at % 2 == 0)
        assert border is not None
        if at % 7:
            world.deliver(border)
        largest = max(largest, len(world.disk.directories[path].current["delivered.journal"].current))
    assert largest <= 12 * KIB
    world.restart(orderly=True)
    assert len(everything(world)) == len(range(0, 400, 7))


def test_removing_the_lock_file_lets_no_second_agent_in() -> None:
    """It did: both wrote to the same logs."""
    world = World()
    del world.disk.directories[ROOT].current["lock"]
    with pytest.raises(SpoolError, match="in use by another agent, pid unknown"):
        tools.repair(ROOT, files=world.disk)
    second = world._make()
    with pytest.raises(SpoolError, match="in use by another agent"):
        second.open()
    with pytest.raises(SpoolError, match="in use by another agent"):
        second.check()
    world.commit(1)
    world.check()


def test_two_notices_that_begin_with_one_number_are_both_told() -> None:
    """The second was taken for a copy of the first, and the readings that it alone speaks for were missing without a word."""
    world = World(when_full=WhenFull.DROP_OLDEST, linger=0.0, max_bytes=420 * KIB, pack=False)
    world.commit(44, 10)
    large = world.spool.max_reading("a")
    world.put(3, large)
    border = world.take()
    assert border is not None
    world.turn()
    world.quarantine(border)  # a notice for 1 to 44
    world.disk.cut_at = world.disk.count
    with pytest.raises(PowerCut):
        world.turn()  # it is written, and the journal does not know of it
    world.restart(keep=1.0)
    world.put(4, large)
    world.turn()  # 1 to 45 give way
    (first, second) = [(one.first, one.last) for one in iter(lambda: world.spool.take("a"), None) if one.reason]
    assert {first, second} == {(1, 44), (1, 45)}
