"""close-day and check-gaps, deployed: invoked as the schedule does, over what the deployed archive function landed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from device_agent.operate.audit import Choice, Clients, audit
from device_agent.wire import ledger
from device_agent.wire.books import LineBooks
from device_agent.wire.ledger import Line
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.ports import Claim
from lambdas.landing.retry import Retrying
from localcloud import LocalCloud
from tests.lambdas.samples import E1, body

pytestmark = pytest.mark.e2e


def invoke(cloud: LocalCloud, function: str, event: dict[str, Any]) -> dict[str, Any]:
    answer = cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    said = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, said
    return dict(said)


def send(cloud: LocalCloud, *bodies: str) -> None:
    for text in bodies:
        cloud.client("sqs").send_message(QueueUrl=cloud.outputs.telemetry_queue_url, MessageBody=text)


def books(cloud: LocalCloud, device: str) -> LineBooks | None:
    clients = Clients(cloud.client("dynamodb"), cloud.client("s3"))
    lines = audit(clients, ledger=cloud.outputs.ledger_table, lake=cloud.outputs.lake_bucket, choice=Choice(device=device)).lines
    return lines[0] if lines else None


def wait_for(what: Callable[[], Any], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come in time"
        time.sleep(0.2)


def settled(cloud: LocalCloud, device: str, received: tuple[tuple[int, int], ...]) -> None:
    wait_for(lambda: (found := books(cloud, device)) is not None and found.received == received)


def make_old(cloud: LocalCloud, device: str) -> None:
    """Move what landed two days back: its object, and the claims that name it. Nobody waits for midnight in a test."""
    s3, bucket = cloud.client("s3"), cloud.outputs.lake_bucket
    dynamodb, table = cloud.client("dynamodb"), cloud.outputs.ledger_table
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 2 * 86_400))
    moved = set()
    for item in items(cloud, device, ledger.CLAIM):
        moved.add(item["K"]["S"])
        stream, _, run = ledger.split_lake_key(item["K"]["S"])
        key = ledger.lake_key(stream, day, run)
        found = s3.get_object(Bucket=bucket, Key=item["K"]["S"])
        s3.put_object(Bucket=bucket, Key=key, Body=found["Body"].read(), Metadata=found["Metadata"])
        times = {"lease": {"N": "1"}, "expires": {"N": str(int(item["expires"]["N"]) - 2 * 86_400)}}
        dynamodb.put_item(TableName=table, Item={**item, "K": {"S": key}, **times})
    for key in moved:
        s3.delete_object(Bucket=bucket, Key=key)


def items(cloud: LocalCloud, device: str, prefix: str) -> list[dict[str, Any]]:
    answer = cloud.client("dynamodb").query(
        TableName=cloud.outputs.ledger_table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
        ExpressionAttributeValues={":pk": {"S": Line(device, "telemetry", E1).pk}, ":prefix": {"S": prefix}},
    )
    return list(answer["Items"])


def test_a_day_is_closed_its_claims_expire_and_what_comes_again_is_known(cloud: LocalCloud) -> None:
    device = f"closing-{time.time_ns()}"
    envelopes = [body(1, [b"a", b"b"], device=device), body(3, [b"c"], device=device)]
    send(cloud, *envelopes)
    settled(cloud, device, ((1, 3),))
    make_old(cloud, device)
    key = ledger.lake_key("telemetry", "2026-01-31", f"{time.time_ns():032x}")
    dead = Claim(
        line=Line(device, "telemetry", E1), first=4, last=4, digest="d", key=key,
        lease=1, expires=2_000_000_000,
    )  # fmt: skip
    table = LedgerTable(cloud.client("dynamodb"), cloud.outputs.ledger_table, Retrying(sleep=time.sleep, random=lambda: 0.5))
    assert table.claim(dead) is None

    shard = {"bucket": ledger.bucket(device, 4), "buckets": 4}
    said = invoke(cloud, cloud.outputs.close_day_function, shard)
    assert said["complete"]
    assert said["counts"]["KeysVoided"] >= 1
    assert [item["ranges"]["S"] for item in items(cloud, device, ledger.FOLDED)] == ["1-3"]
    head = cloud.client("s3").head_object(Bucket=cloud.outputs.lake_bucket, Key=dead.key)
    assert head["Metadata"] == {"commit": "void"}
    assert invoke(cloud, cloud.outputs.close_day_function, shard)["counts"]["LinesClosed"] == 0, "its bookmark says that it is done"

    for item in items(cloud, device, ledger.CLAIM):
        cloud.client("dynamodb").delete_item(TableName=cloud.outputs.ledger_table, Key={name: item[name] for name in ("pk", "sk")})
    send(cloud, *envelopes, body(4, [b"d"], device=device))
    settled(cloud, device, ((1, 4),))
    assert [item["first"]["N"] for item in items(cloud, device, ledger.CLAIM)] == ["4"], "what was folded was not claimed again"


def test_a_gap_that_stays_is_counted_until_it_fills(cloud: LocalCloud) -> None:
    device = f"gaps-{time.time_ns()}"
    send(cloud, body(1, [b"a"], device=device), body(9, [b"i"], device=device))
    settled(cloud, device, ((1, 1), (9, 9)))
    shard = {"bucket": ledger.bucket(device, 1024), "buckets": 1024}

    def gaps() -> int:
        return int(invoke(cloud, cloud.outputs.check_gaps_function, shard)["counts"]["Gaps"])

    assert gaps() == 0, "it is young"
    make_old(cloud, device)
    assert gaps() == 7
    send(cloud, body(2, [b"x"] * 7, device=device))
    settled(cloud, device, ((1, 9),))
    assert gaps() == 0


def test_metrics_are_written_in_the_embedded_format_with_one_dimension(cloud: LocalCloud) -> None:
    answer = cloud.client("lambda").invoke(FunctionName=cloud.outputs.check_gaps_function, Payload=b"{}", LogType="Tail")
    answer["Payload"].read()
    log = base64.b64decode(answer.get("LogResult", "")).decode()
    [line] = [line for line in log.splitlines() if '"_aws"' in line]
    told = json.loads(line[line.index("{") :])["_aws"]["CloudWatchMetrics"][0]
    assert told["Dimensions"] == [["service"]]
    assert {"Gaps", "GapStreams", "PendingSeconds", "FoldingBehindDays"} <= {metric["Name"] for metric in told["Metrics"]}
