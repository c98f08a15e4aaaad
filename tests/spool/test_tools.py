"""Tools for people: read only, beside the agent."""

from __future__ import annotations

import pytest

from device_agent.errors import SpoolError
from device_agent.spool import tools
from device_agent.wire.limits import MIB
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
    assert list(tools.cat(ROOT, "nothing", files=made.disk)) == []


def test_verify_says_where_the_damage_is() -> None:
    made = world()
    assert not any(one.problems for one in tools.verify(ROOT, files=made.disk))
    path = next(one for one in made.disk.directories if "/a/000001-" in one)
    made.disk.directories[path].current[min(made.disk.directories[path].current)].current[300] ^= 1
    (bad,) = (one for one in tools.verify(ROOT, files=made.disk) if one.problems)
    assert (bad.stream, bad.damaged > 0) == ("a", True)
    assert "checksum" in bad.problems[0]


def test_repair_cuts_a_torn_end_and_keeps_a_copy() -> None:
    made = world()
    with pytest.raises(SpoolError, match="running"):
        tools.repair(ROOT, files=made.disk)
    made.spool.stop()
    end = made.spool._streams["b"].present.appender._end
    made.spool.close()
    path = next(one for one in made.disk.directories if "/b/000001-" in one)
    name = min(one for one in made.disk.directories[path].current if one.endswith(".log"))
    made.disk.directories[path].current[name].current[end : end + 10] = b"0123456789"
    (done,) = tools.repair(ROOT, files=made.disk)
    assert "cut 10" in done
    assert bytes(made.disk.directories[path].current[f"{name}.torn"].current) == b"0123456789"
    assert tools.repair(ROOT, files=made.disk) == []
    made.restart(cut=False)
    made.check()
