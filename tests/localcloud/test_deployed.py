"""What the CDK deployed, read back from the running cloud; and the bundle that really runs."""

from __future__ import annotations

import io
import json
import time
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agent.wire.envelope import encode_reading
from infra.bundle import Target, prepare
from localcloud import LocalCloud, athena

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
QUEUES = ("telemetry_queue_url", "events_queue_url", "telemetry_dead_letter_queue_url", "events_dead_letter_queue_url")


def attributes(cloud: LocalCloud, queue: str) -> dict[str, str]:
    answer = cloud.client("sqs").get_queue_attributes(QueueUrl=getattr(cloud.outputs, queue), AttributeNames=["All"])
    return dict(answer["Attributes"])


def wait_for(what: Callable[[], Any], seconds: float = 120) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not come in time"
        time.sleep(0.2)
    return found


def reading(device: str, stream: str, seq: int, payload: bytes = b'{"celsius":21.5}') -> str:
    return encode_reading(
        device=device,
        stream=stream,
        epoch="0123456789abcdef",
        seq=seq,
        agent="test",
        received=1_700_000_000_000_000 + seq,
        synced=True,
        topic="room",
        payload=payload,
    )


def test_queues_have_what_the_template_says(cloud: LocalCloud) -> None:
    for queue in QUEUES:
        found = attributes(cloud, queue)
        assert found["MessageRetentionPeriod"] == "1209600"
        assert found["MaximumMessageSize"] == "1048576"
        assert found["SqsManagedSseEnabled"] == "true"
        assert "aws:SecureTransport" in found["Policy"]
    assert attributes(cloud, "telemetry_queue_url")["VisibilityTimeout"] == "380"
    events = attributes(cloud, "events_queue_url")
    assert (events["FifoQueue"], events["FifoThroughputLimit"]) == ("true", "perMessageGroupId")
    assert (events["DeduplicationScope"], events["ContentBasedDeduplication"]) == ("messageGroup", "false")


@pytest.mark.parametrize(("part", "receives"), [("telemetry", 50), ("events", 100)])
def test_a_queue_buries_in_its_own_dead_letter_queue(cloud: LocalCloud, part: str, receives: int) -> None:
    redrive = json.loads(attributes(cloud, f"{part}_queue_url")["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == attributes(cloud, f"{part}_dead_letter_queue_url")["QueueArn"]
    assert int(redrive["maxReceiveCount"]) == receives


@pytest.mark.parametrize(("part", "function", "batch"), [("telemetry", "archive", 1000), ("events", "state", 10)])
def test_a_function_is_mapped_to_its_queue_with_partial_answers(cloud: LocalCloud, part: str, function: str, batch: int) -> None:
    name = getattr(cloud.outputs, f"{function}_function")
    (mapping,) = cloud.client("lambda").list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    assert mapping["EventSourceArn"] == attributes(cloud, f"{part}_queue_url")["QueueArn"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == batch
    assert mapping["ScalingConfig"]["MaximumConcurrency"] == 5


@pytest.mark.parametrize("function", ["archive_function", "state_function"])
def test_the_code_that_runs_is_the_bundle_of_this_checkout(cloud: LocalCloud, function: str) -> None:
    described = cloud.client("lambda").get_function(FunctionName=getattr(cloud.outputs, function))
    with urllib.request.urlopen(described["Code"]["Location"]) as answer:
        deployed = zipfile.ZipFile(io.BytesIO(answer.read()))
    bundle = prepare(root=ROOT, target=Target(host=True, arch="arm64"))
    expected = {str(path.relative_to(bundle)): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert {name: deployed.read(name) for name in deployed.namelist() if not name.endswith("/")} == expected


def test_a_reading_sent_is_a_row_of_sql_and_an_event_the_latest_state(cloud: LocalCloud) -> None:
    sqs, device = cloud.client("sqs"), f"deployed-{time.time_ns()}"
    text = b'"2026-01-01"'  # text that looks like a date stays text
    sqs.send_message(QueueUrl=cloud.outputs.telemetry_queue_url, MessageBody=reading(device, "telemetry", 1, text))
    sqs.send_message(
        QueueUrl=cloud.outputs.events_queue_url,
        MessageBody=reading(device, "events", 1),
        MessageGroupId=f"{device}.events",
        MessageDeduplicationId=f"{device}-1",
    )

    def rows() -> Any:
        sql = f"select stream, seq, topic, data, client, frames, received from readings where device = '{device}' order by stream"
        columns, found = athena.query(cloud, sql)
        assert columns == ["stream", "seq", "topic", "data", "client", "frames", "received"]
        return found if len(found) == 2 else None

    events, telemetry = wait_for(rows)
    assert events[:6] == ["events", "1", "room", '{"celsius":21.5}', None, None]
    assert telemetry[:6] == ["telemetry", "1", "room", '"2026-01-01"', None, None]
    assert telemetry[6] == "2023-11-14T22:13:20.000001Z"
    state = json.dumps(wait_for(lambda: cloud.client("dynamodb").scan(TableName=cloud.outputs.state_table)["Items"]))
    assert device in state


def test_a_query_that_is_wrong_says_why(cloud: LocalCloud) -> None:
    with pytest.raises(athena.QueryError, match="no_such_column"):
        athena.query(cloud, "select no_such_column from readings")


def test_a_device_reaches_the_cloud_until_its_network_is_cut(cloud: LocalCloud) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

    once = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    sqs = boto3.client("sqs", endpoint_url=cloud.device_endpoint_url, config=once, **keys)  # type: ignore[call-overload]
    try:
        # The queue's URL names MiniStack's own port; the request goes through the device's network nevertheless.
        url = cloud.outputs.telemetry_queue_url
        sqs.get_queue_attributes(QueueUrl=url)
        # refused, or reset where the connection that was kept open is tried once more
        with cloud.unreachable(), pytest.raises((EndpointConnectionError, ConnectionClosedError)):
            sqs.get_queue_attributes(QueueUrl=url)
        sqs.get_queue_attributes(QueueUrl=url)
    finally:
        sqs.close()
