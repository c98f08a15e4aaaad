"""The minimal SQS counts what a client sent, as SQS would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from bench.processes import Endpoint
from device_agent.wire import block, envelope
from device_agent.wire.block import Run


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    found = Endpoint(tmp_path_factory.mktemp("responder") / "log")
    yield found
    found.close()


@pytest.fixture
def sqs(endpoint: Endpoint) -> Iterator[Any]:
    endpoint.reset()
    client = boto3.client("sqs", region_name="eu-central-1", endpoint_url=endpoint.url, aws_access_key_id="a", aws_secret_access_key="b")
    yield client
    client.close()


def body(*, first: int, count: int, time: int = 0) -> str:
    data = block.encode([Run(time, True, [b"x"] * count)])
    return envelope.encode_blocks(device="d", stream="s", epoch="0" * 16, first=first, count=count, agent="a/1", time=time, data=data)


def test_an_envelope_counts_as_many_readings_as_it_says(endpoint: Endpoint, sqs: Any) -> None:
    entries = [{"Id": str(at), "MessageBody": body(first=1 + 7 * at, count=7)} for at in range(3)]
    answer = sqs.send_message_batch(QueueUrl=endpoint.queue(), Entries=entries)
    assert [one["Id"] for one in answer["Successful"]] == ["0", "1", "2"]
    counters = endpoint.counters()
    assert (counters["requests"], counters["messages"], counters["readings"], counters["billed"]) == (1, 3, 21, 1)
    assert counters["bytes"] == sum(len(entry["MessageBody"]) for entry in entries)


def test_other_messages_count_as_many_readings_as_they_have_lines(endpoint: Endpoint, sqs: Any) -> None:
    sqs.send_message(QueueUrl=endpoint.queue(), MessageBody="one")
    sqs.send_message(QueueUrl=endpoint.queue(), MessageBody="one\ntwo\n")
    counters = endpoint.counters()
    assert (counters["requests"], counters["readings"]) == (2, 3)


def test_a_request_is_billed_in_units_of_64_kib_of_utf_8(endpoint: Endpoint, sqs: Any) -> None:
    sqs.send_message(QueueUrl=endpoint.queue(), MessageBody="ü" * (32 * 1024))
    assert endpoint.counters()["billed"] == 1
    sqs.send_message(QueueUrl=endpoint.queue(), MessageBody="ü" * (32 * 1024) + "x")
    assert endpoint.counters()["billed"] == 3


def test_live_envelopes_are_those_from_the_watched_number_on_and_have_an_age(endpoint: Endpoint, sqs: Any) -> None:
    endpoint.reset(watch=10)
    sqs.send_message(QueueUrl=endpoint.queue(), MessageBody=body(first=9, count=1))
    assert endpoint.counters()["live"] == 0
    sqs.send_message(QueueUrl=endpoint.queue(), MessageBody=body(first=10, count=1, time=1_700_000_000_000_000))
    counters = endpoint.counters()
    assert counters["live"] == 1
    assert counters["live_age"] > 1e6


def test_the_queue_says_how_large_a_message_may_be(endpoint: Endpoint, sqs: Any) -> None:
    answer = sqs.get_queue_attributes(QueueUrl=endpoint.queue(), AttributeNames=["MaximumMessageSize"])
    assert answer["Attributes"]["MaximumMessageSize"] == "1048576"
