"""The demo's books: every row of the lake against what the programs say they sent and what the agent acknowledged.

Independent of the project's own `audit`: it reads the lake's objects themselves, so that it can contradict it.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agent.wire import ledger
from localcloud.cloud import LocalCloud


@dataclass(frozen=True, slots=True)
class Row:
    """One reading in the lake."""

    stream: str
    epoch: str
    seq: int
    topic: str
    data: str


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of one program's readings."""

    program: str
    stream: str
    sent: int  # readings, however often each was tried
    again: int | None  # tries after the first; None: PUSH and PUB try once
    acknowledged: int | None  # None: PUSH and PUB have no acknowledgement
    received: int
    doubled: int
    missing: int  # acknowledged, and not in the lake
    unacknowledged: int  # sent, never acknowledged, gone with the killed agent or its missing subscriber: allowed


def raw_rows(cloud: LocalCloud) -> Iterator[dict[str, Any]]:
    """Yield every line of every object in the lake as it stands there, with the partition's `stream`."""
    s3, bucket = cloud.client("s3"), cloud.outputs.lake_bucket
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="readings/"):
        for entry in page.get("Contents", []):
            stream = entry["Key"].split("stream=")[1].split("/")[0]
            lines = gzip.decompress(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()).splitlines()
            for line in map(json.loads, lines):
                yield line | {"stream": stream}


def rows(cloud: LocalCloud, device: str) -> Iterator[Row]:
    """Yield every reading of the device that stands in the lake, as often as it stands there."""
    for line in raw_rows(cloud):
        if line["device"] == device:
            yield Row(line["stream"], line["epoch"], line["seq"], line.get("topic", ""), line.get("data", ""))


def holes(found: list[Row], committed: dict[str, int]) -> dict[str, int]:
    """Count by stream the sequence numbers from 1 to the last one committed that are not in the lake."""
    seen: dict[str, set[int]] = {stream: set() for stream in committed}
    for row in found:
        seen[row.stream].add(row.seq)
    return {stream: last - len(seen[stream] & set(range(1, last + 1))) for stream, last in committed.items()}


def doubles(found: list[Row]) -> int:
    """Count the rows that stand in the lake a second time."""
    return sum(times - 1 for times in Counter((row.stream, row.epoch, row.seq) for row in found).values())


def acknowledged(log: Path) -> list[tuple[str, int, int]]:
    """Read a program's log: (stream, sequence number, the reading's own number) of each that was taken from it.

    A broker that has taken one knows no sequence number: 0.
    """
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [(entry["stream"], entry["seq"], entry["n"]) for entry in entries]


def order_faults(found: list[Row], log: list[tuple[str, int, int]], latest: dict[str, Any] | None) -> list[str]:
    """Say what is wrong with the FIFO group, if anything: an acknowledged order missing or changed, order lost, state not the newest."""
    orders = {row.seq: json.loads(row.data)["n"] for row in found if row.stream == "events"}
    faults = []
    if wrong := [seq for _, seq, n in log if orders.get(seq) != n]:
        faults.append(f"{len(wrong)} acknowledged orders are not in the lake as they were sent, the first at {wrong[0]}")
    numbers = [orders[seq] for seq in sorted(orders)]
    if any(later < earlier for earlier, later in itertools.pairwise(numbers)):
        faults.append("the orders do not stand in the order in which they were sent")
    if orders and (latest is None or latest["seq"] != max(orders) or json.loads(latest["data"])["n"] != numbers[-1]):
        faults.append(f"the state table does not show the last order, {numbers[-1]}, but {latest}")
    return faults


#: Which rows are whose, by topic.
_TOPICS = {"orders": ("orders",), "weather": ("weather/",), "meters": ("meters/",), "script": ("script",)}


def balance(program: str, count: dict[str, int], found: list[Row], log: list[tuple[str, int, int]] | None) -> Balance:
    """Put together what became of the readings of one program; `log` is what was acknowledged to it.

    A program with a log tries a reading until it is acknowledged: `count["sent"]` counts tries, and one of which two tries were
    committed stands in the lake twice, under two sequence numbers. So what is lost goes by the readings' own numbers.
    """
    prefixes = _TOPICS.get(program)
    others = tuple(prefix for other in _TOPICS.values() for prefix in other)
    mine = [row for row in found if (row.topic.startswith(prefixes) if prefixes else not row.topic.startswith(others))]
    seqs = {row.seq for row in mine}
    again = count.get("repeated", 0) + count.get("refused", 0)
    sent = count["sent"] - again
    numbers = set() if log is None else {json.loads(row.data)["n"] for row in mine}
    there = len(seqs) if log is None else len(numbers)
    return Balance(
        program=program,
        stream="events" if program == "orders" else "telemetry",
        sent=sent,
        again=None if log is None else again,
        acknowledged=None if log is None else len(log),
        received=len(seqs),
        doubled=doubles(mine),
        missing=0 if log is None else sum(n not in numbers or (seq > 0 and seq not in seqs) for _, seq, n in log),
        unacknowledged=max(0, sent - there),
    )


def _item(cloud: LocalCloud, device: str, sk: str) -> dict[str, Any] | None:
    found = cloud.client("dynamodb").get_item(
        TableName=cloud.outputs.state_table, Key={"pk": {"S": device}, "sk": {"S": sk}}, ConsistentRead=True
    )
    item: dict[str, Any] | None = found.get("Item")
    return item


def applied(cloud: LocalCloud, device: str) -> int:
    """Return the sequence number up to which the events were applied to the state table."""
    item = _item(cloud, device, ledger.position_sk("events"))
    return int(item["seq"]["N"]) if item else 0


def latest_order(cloud: LocalCloud, device: str) -> dict[str, Any] | None:
    """Return what the state table shows as the last order: its sequence number and text."""
    item = _item(cloud, device, ledger.topic_sk("events", "orders"))
    return {"seq": int(item["seq"]["N"]), "data": item["data"]["S"]} if item else None
