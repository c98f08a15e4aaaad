"""The status page says the same as the document, in words; an older or younger agent's document is shown as far as it goes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.cli import statuspage, table

DOCUMENT: dict[str, Any] = {
    "agent": "0.1.0", "device": "board-7", "pid": 12, "uptime": 7500.0,
    "inputs": {
        "sensors": {"pattern": "pull", "endpoints": ["tcp://127.0.0.1:5555"], "listening": True, "peers": 3, "state": "wait"},
        "orders": {"pattern": "rep", "endpoints": [], "listening": True, "peers": 0, "state": "refuse"},
    },
    "spool": {
        "directory": "/var/lib/device-agent", "bytes": 2**20, "max_bytes": 2**28,
        "streams": {
            "telemetry": {
                "bytes": 2**19, "backlog_readings": 1234, "oldest_undelivered": 1_000_000_000_000, "why": "the spool is full",
                "quarantined_files": 2,
            }
        },
    },
    "uplink": {"telemetry": {"state": "backing off", "problem": "no credentials", "next_try_in": 4.2}},
    "metrics": {
        "inputs": {
            "sensors": {"received": 1_234_567, "received_bytes": 2**21, "refused": 0, "oversize": 1, "malformed": 2, "replies_lost": 3},
        },
        "streams": {
            "telemetry": {"committed": 99, "sent": 50, "sent_messages": 2, "requests": 1, "dropped": 1, "damaged": 2, "quarantined": 3},
        },
    },
}  # fmt: skip


def test_the_page_says_what_the_document_says() -> None:
    page = list(statuspage.lines(DOCUMENT, now=1_003_660.0))
    assert page[0] == "device board-7: running for 2h 5min, device-agent 0.1.0, process 12"
    assert page[1] == "spool /var/lib/device-agent: 1 MiB of 256 MiB"
    rows = {line.split("  ")[0]: line.split() for line in page if line}
    assert rows["sensors"][1:6] == ["pull", "3", "1,234,567", "2", "MiB"]
    assert rows["sensors"][-3:] == ["waiting", "for", "room"]
    assert rows["orders"][-3:] == ["refusing:", "no", "room"]
    assert rows["telemetry"][1:] == ["99", "1,234", "1h", "1min", "50", "2", "full"]
    assert "input sensors: since the start 1 too large, 2 malformed, 3 replies lost" in page
    assert "stream telemetry: since the start 1 dropped, 2 damaged, 3 quarantined" in page
    assert "stream telemetry: the spool is full" in page
    assert "stream telemetry: 2 in quarantine; see `device-agent quarantine ls`" in page
    assert max(map(len, page)) <= 80
    assert page[-1] == "stream telemetry: no credentials (next try in 4.2s)"


def test_the_page_says_which_path_receives() -> None:
    document = json.loads(json.dumps(DOCUMENT))
    for source in document["inputs"].values():
        source["receiver"] = "native"
    page = list(statuspage.lines(document, now=1_003_660.0))
    assert page[2] == "receiver native"
    document["inputs"]["orders"]["receiver"] = "python: " + "why " * 30
    assert max(map(len, statuspage.lines(document, now=1_003_660.0))) <= 80


def test_with_an_earlier_document_there_are_rates() -> None:
    later = json.loads(json.dumps(DOCUMENT))
    later["uptime"] += 2
    later["metrics"]["inputs"]["sensors"]["received"] += 3_000
    later["metrics"]["streams"]["telemetry"]["sent"] += 50
    page = list(statuspage.lines(later, now=1_003_660.0, before=DOCUMENT))
    rows = {line.split("  ")[0]: line.split() for line in page if line}
    assert rows["sensors"][6] == "1,500"
    assert rows["telemetry"][-2:] == ["25", "full"]
    assert max(map(len, page)) <= 80
    assert list(statuspage.lines(DOCUMENT, now=0, before=later))  # an agent that was started anew


@pytest.mark.parametrize("missing", ["inputs", "spool", "uplink", "metrics", "uptime", "pid", "device"])
def test_a_document_without_a_part_is_shown_without_it(missing: str) -> None:
    assert list(statuspage.lines({name: value for name, value in DOCUMENT.items() if name != missing}, now=0))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (4.25, "4.2s"), (59, "59s"), (60, "1min"), (3661, "1h 1min"), (90_000, "1d 1h"), (86_400, "1d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert statuspage.age(seconds) == text


@given(st.lists(st.tuples(st.text(st.characters(codec="ascii", categories=["L"])), st.integers(0, 10**9)), max_size=5))
def test_columns_of_a_table_stand_below_each_other(rows: list[tuple[str, int]]) -> None:
    lines = list(table.lines(("name", "count"), rows))
    assert len(lines) == len(rows) + 1
    ends = {len(line) for line in lines}
    assert len(ends) == 1 or not rows
