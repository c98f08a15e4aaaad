"""The saved queries, as the CDK deployed them, answered by the local cloud from a lake that the test filled."""

from __future__ import annotations

import gzip
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from device_agent.wire.ledger import lake_key
from infra.queries import QUERIES
from localcloud import LocalCloud, athena

pytestmark = pytest.mark.e2e

TODAY = datetime.now(UTC).date()


@pytest.fixture
def device(cloud: LocalCloud) -> str:
    """A board with two epochs; 4 to 6 of the newer one are missing, and what came last is not its newest reading."""
    name = f"asked-{uuid.uuid4().hex[:8]}"
    put(cloud, name, "a" * 16, range(1, 9), arrived="2026-11-23T10:00:00.000000Z")
    put(cloud, name, "b" * 16, [7, 8], arrived="2026-11-23T11:00:00.000000Z")
    put(cloud, name, "b" * 16, [1, 2, 3], arrived="2026-11-23T11:00:01.000000Z")  # a backlog comes after fresh data
    put(cloud, name, "b" * 16, [500], arrived="2026-11-23T11:00:02.000000Z", day=TODAY - timedelta(days=40))
    put(cloud, name, "b" * 16, [501], arrived="2026-11-23T11:00:02.000000Z", stream="events")
    return name


def put(cloud: LocalCloud, device: str, epoch: str, seqs: Any, *, arrived: str, day: Any = TODAY, stream: str = "telemetry") -> None:
    rows = [
        {
            "device": device, "epoch": epoch, "seq": seq, "received": f"2026-11-23T09:{seq // 60 % 60:02}:{seq % 60:02}.000000Z",
            "clock": "synced", "arrived": arrived, "topic": "room" if seq % 2 else "hall", "data": str(seq),
        }
        for seq in seqs
    ]  # fmt: skip
    body = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    cloud.client("s3").put_object(Bucket=cloud.outputs.lake_bucket, Key=lake_key(stream, day.isoformat(), uuid.uuid4().hex), Body=body)


def answers(cloud: LocalCloud, name: str, device: str) -> list[list[str | None]]:
    """Run the saved query of that name, and return the rows of one device."""
    client = cloud.client("athena")
    ids = client.list_named_queries(WorkGroup=cloud.outputs.athena_workgroup)["NamedQueryIds"]
    [saved] = [query for one in ids if (query := client.get_named_query(NamedQueryId=one)["NamedQuery"])["Name"] == name]
    assert saved["Database"] == cloud.outputs.glue_database
    _, rows = athena.query(cloud, saved["QueryString"])
    return [row[1:] for row in rows if row[0] == device]


def test_latest_per_device_is_the_highest_sequence_number_of_the_newest_epoch(cloud: LocalCloud, device: str) -> None:
    assert answers(cloud, "latest per device", device) == [
        ["hall", "8", "2026-11-23T09:00:08.000000Z", "8"],
        ["room", "7", "2026-11-23T09:00:07.000000Z", "7"],
    ]


def test_rate_per_minute_counts_readings_by_the_boards_clock(cloud: LocalCloud, device: str) -> None:
    put(cloud, device, "b" * 16, range(60, 90), arrived="2026-11-23T11:00:02.000000Z")
    assert answers(cloud, "rate per minute", device) == [["2026-11-23T09:00", "13"], ["2026-11-23T09:01", "30"]]


def test_gaps_are_the_missing_numbers_between_those_that_are_there(cloud: LocalCloud, device: str) -> None:
    assert answers(cloud, "gaps", device) == [["b" * 16, "4", "6", "3"]]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_every_read_of_the_table_names_its_stream_and_its_days(query: Any) -> None:
    """Or Athena refuses it (an injected partition), or reads every day there is."""
    reads = len(re.findall(r"\b(?:FROM|JOIN) readings\b", query.sql))
    assert reads
    assert query.sql.count("stream = 'telemetry' AND dt >= ") == reads
