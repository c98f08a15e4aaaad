"""Fleet: which devices there are, when the cloud last heard of each, and the latest values of one.

Promises
1. Only reads; needs `dynamodb:Query` on ledger and state table. Eventually consistent: half the price, and a second old at most.
2. `devices` costs one request for each device and stream, 16 for the registry; `values` one for each MB of values.
3. Last seen is by the cloud's clock, from the newest claim: no board's clock has a say. Claims are forgotten 60 days after they were made:
   then nothing is known but that it is longer ago (None).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from device_agent.wire import envelope
from device_agent.wire import ledger as keys
from device_agent.wire.ledger import Line

#: Requests at a time; the client keeps as many connections.
_THREADS = 16
#: A claim expires so many seconds after the beginning of its invocation (`lambdas/landing/batch.py`; a test holds them together).
CLAIM_SECONDS = 60 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOf:
    """One stream of one device, in its newest epoch.

    `lives` counts its epochs: one more for each new card, wiped spool or cloned board. `seq` is the newest sequence number received, 0 if
    only notices came; `seen` is seconds since 1970.
    """

    device: str
    stream: str
    epoch: str
    lives: int
    seq: int
    seen: int | None

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "device": self.device, "stream": self.stream, "epoch": self.epoch, "lives": self.lives, "seq": self.seq,
            "seen": None if self.seen is None else moment(self.seen),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The newest reading of a topic, as the state table has it: `kind` is data (text), data_base64, frames or too_large (bytes)."""

    stream: str
    topic: str | None
    received: str  # by the board's clock
    clock: str
    ordinal: int
    seq: int
    client: str | None
    kind: str
    value: str | int | list[str]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "stream": self.stream, "topic": self.topic, "received": self.received, "clock": self.clock, "ordinal": self.ordinal,
            "seq": self.seq, "client": self.client, self.kind: self.value,
        }  # fmt: skip


def claimed_at(claim: Mapping[str, Any]) -> int:
    """Return when a claim, an item of the ledger, was entered or moved, in seconds since 1970."""
    return int(claim["expires"]["N"]) - CLAIM_SECONDS


def moment(seconds: int) -> str:
    """Seconds since 1970 as `2026-01-31T12:00:00Z`."""
    return envelope.rfc3339(seconds * 1_000_000)[:19] + "Z"


class Fleet:
    """Reads ledger and state table with a boto3 DynamoDB client."""

    def __init__(self, dynamodb: Any, *, ledger: str, state: str) -> None:
        self._dynamodb = dynamodb
        self._ledger = ledger
        self._state = state

    def devices(self, *, device: str | None = None, stream: str | None = None) -> list[StreamOf]:
        """Return every device's streams, by name; only of one device or stream if said."""
        shards = range(keys.SHARDS) if device is None else [keys.shard(device)]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="fleet") as pool:
            listed = [found for page in pool.map(lambda shard: list(self._registered(shard, device)), shards) for found in page]
            chosen = [found for found in listed if stream in {None, found[0].stream}]
            return sorted(pool.map(lambda found: self._newest(*found), chosen), key=lambda one: (one.device, one.stream))

    def values(self, device: str) -> list[Value]:
        """Return the latest values of a device, by stream and topic; nothing for streams whose queue is not FIFO."""
        items = self._query(self._state, device, keys.TOPIC)
        return sorted(map(_value, items), key=lambda one: (one.stream, one.topic or ""))

    def _registered(self, shard: int, device: str | None) -> Iterator[tuple[Line, int]]:
        for item in self._query(self._ledger, keys.registry_pk(shard), "" if device is None else f"{device}|"):
            name, stream = keys.split_registry_sk(item["sk"]["S"])
            epochs = item["epochs"]["L"]
            yield Line(name, stream, epochs[-1]["S"]), len(epochs)

    def _newest(self, line: Line, lives: int) -> StreamOf:
        [claim, *_] = self._page(self._ledger, line.pk, keys.CLAIM, ScanIndexForward=False, Limit=1)["Items"] or [None]
        seq = int(claim["last"]["N"]) if claim else 0
        seen = claimed_at(claim) if claim else None
        if claim is None:  # folded long ago, or only notices
            for item in self._query(self._ledger, line.pk, keys.FOLDED):
                seq = max([seq, *(last for _, last in keys.read_ranges(item["ranges"]["S"]))])
        return StreamOf(device=line.device, stream=line.stream, epoch=line.epoch, lives=lives, seq=seq, seen=seen)

    def _query(self, table: str, pk: str, prefix: str) -> Iterator[dict[str, Any]]:
        start: dict[str, Any] = {}
        while True:
            page = self._page(table, pk, prefix, **start)
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _page(self, table: str, pk: str, prefix: str, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._dynamodb.query(
            TableName=table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)" if prefix else "pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}, **({":prefix": {"S": prefix}} if prefix else {})},
            **options,
        )
        return answer


def _value(item: dict[str, Any]) -> Value:
    kind = next(name for name in ("data", "data_base64", "frames", "too_large") if name in item)
    held = item[kind]
    value: str | int | list[str] = held["S"] if "S" in held else int(held["N"]) if "N" in held else [one["S"] for one in held["L"]]
    return Value(
        stream=item["sk"]["S"].split("|", 2)[1],
        topic=item["topic"]["S"] if "topic" in item else None,
        received=item["received"]["S"],
        clock=item["clock"]["S"],
        ordinal=int(item["ordinal"]["N"]),
        seq=int(item["seq"]["N"]),
        client=item["client"]["S"] if "client" in item else None,
        kind=kind,
        value=value,
    )
