"""Tools for people: read only, beside the agent."""

from __future__ import annotations

import base64
import json

import pytest

from device_agent.config import WhenFull
from device_agent.errors import SpoolError
from device_agent.spool import places, tools
from device_agent.wire.limits import KIB, MIB
from tests.spool.world import ROOT, World


def world() -> World:
    made = World(["a", "b"], max_bytes=2 * MIB)
    for _ in range(20):
        made.commit(5, 1400)
    made.commit(2, 10, stream="b")
    return made


def test_ls_lists_all_segments_and_what_is_in_them_while_the_agent_runs() -> None:
    made = world()
    border = made.take()
    assert border is not None
    made.deliver(border)
    listed = tools.ls(ROOT, files=made.disk)
    assert [one.stream for one in listed].count("b") == 1
    assert sum(one.last - one.first + 1 for one in listed) == 102
    assert sum(one.delivered for one in listed) == border.last
    assert not any(one.problems for one in listed)


def test_cat_yields_every_reading_in_order() -> None:
    made = world()
    assert {one.seq: one.payload for one in tools.cat(ROOT, "a", files=made.disk)} == made.twins["a"].acknowledged
    assert [one.seq for one in tools.cat(ROOT, "a", first=7, last=12, files=made.disk)] == [7, 8, 9, 10, 11, 12]
    assert len(list(tools.cat(ROOT, files=made.disk))) == 102
    with pytest.raises(SpoolError, match="no stream 'nothing'; there are: a, b"):
        list(tools.cat(ROOT, "nothing", files=made.disk))


def test_verify_says_where_the_damage_is() -> None:
    made = world()
    assert not any(one.problems for one in tools.verify(ROOT, files=made.disk))
    path = next(one for one in made.disk.directories if "/a/000001-" in one)
    made.disk.directories[path].current[min(made.disk.directories[path].current)].current[300] ^= 1
    (bad,) = (one for one in tools.verify(ROOT, files=made.disk) if one.problems)
    assert (bad.stream, bad.damaged > 0) == ("a", True)
    (problem,) = bad.problems
    assert "checksum" in problem.what
    assert sum(last - first + 1 for first, last in problem.lost) == bad.damaged
    assert bad.waiting == bad.last - bad.first + 1 - bad.damaged
    told: list[str] = []
    read = [one.seq for one in tools.cat(ROOT, "a", files=made.disk, problem=told.append)]
    assert len(read) == 100 - bad.damaged
    assert len(told) == 1


def test_a_directory_without_a_spool_is_said_to_be_none() -> None:
    disk = world().disk
    for tool in (tools.ls, tools.verify, tools.streams, tools.repair):
        with pytest.raises(SpoolError, match="there is no spool here"):
            tool("/elsewhere", files=disk)


def test_an_end_that_changes_while_it_is_looked_at_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world()
    path = next(one for one in made.disk.directories if "/b/000001-" in one)
    name = min(one for one in made.disk.directories[path].current if one.endswith(".log"))
    end = made.spool._streams["b"].present.appender._end
    content = made.disk.directories[path].current[name].current
    content[end : end + 4] = b"0123"
    (bad,) = (one for one in tools.verify(ROOT, stream="b", files=made.disk) if one.problems)
    assert bad.problems[0].advice == tools.TORN

    def grow(_seconds: float) -> None:
        content[end + 4 : end + 8] = b"4567"

    monkeypatch.setattr(places.time, "sleep", grow)
    (good,) = tools.verify(ROOT, stream="b", files=made.disk)
    assert good.problems == ()


def test_numbers_of_readings_that_were_dropped_do_not_wait() -> None:
    made = World(["a"], max_bytes=512 * KIB, when_full=WhenFull.DROP_NEWEST)
    for _ in range(80):
        made.put(5, 2000, replies=False)
        made.later(1.1)
    assert made.metrics.streams["a"].dropped
    while (border := made.take()) is not None:
        made.deliver(border)
    assert sum(one.waiting for one in tools.ls(ROOT, files=made.disk)) == 0


def test_repair_leaves_a_segment_in_which_nothing_is_sound_to_the_agent() -> None:
    """It emptied it, and with the bytes went the reason for a new epoch: numbers that were on their way could be used again."""
    made = world()
    made.spool.stop()
    made.spool.close()
    path = next(one for one in made.disk.directories if "/a/000001-" in one)
    files = made.disk.directories[path].current
    name = max(one for one in files if one.endswith(".log"))
    files[name].current[:] = made.random.randbytes(len(files[name].current))
    before = bytes(files[name].current)
    (problem,) = (problem for one in tools.verify(ROOT, files=made.disk) for problem in one.problems)
    assert (problem.what, problem.advice) == ("nothing in it is sound", tools.UNSOUND)
    assert tools.repair(ROOT, files=made.disk) == []
    assert bytes(files[name].current) == before
    epoch = path.rpartition("-")[2]
    made.restart(cut=False)
    assert made.spool.status()["streams"]["a"]["epoch"] != epoch


def test_repair_cuts_a_torn_end_and_keeps_a_copy() -> None:
    made = world()
    with pytest.raises(SpoolError, match="in use by another agent"):
        tools.repair(ROOT, files=made.disk)
    made.spool.stop()
    end = made.spool._streams["b"].present.appender._end
    made.spool.close()
    path = next(one for one in made.disk.directories if "/b/000001-" in one)
    name = min(one for one in made.disk.directories[path].current if one.endswith(".log"))
    made.disk.directories[path].current[name].current[end : end + 10] = b"0123456789"
    (done,) = tools.repair(ROOT, files=made.disk)
    assert "cut 10" in done
    (kept,) = made.disk.directories[f"{ROOT}/quarantine/damaged.log"].current.values()
    assert base64.b64decode(json.loads(kept.current)["data_base64"]) == b"0123456789"
    assert tools.repair(ROOT, files=made.disk) == []
    made.restart(cut=False)
    made.check()
