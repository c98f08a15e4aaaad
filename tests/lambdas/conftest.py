"""AWS in process (moto): tables, bucket and queues as the template makes them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

EVENTS = Path(__file__).parent / "events"


@dataclass(frozen=True, slots=True)
class Cloud:
    """Clients and names of one empty aws."""

    dynamodb: Any
    s3: Any
    sqs: Any
    ledger: str
    state: str
    lake: str
    dead_letters: str
    dead_letters_fifo: str

    def items(self, table: str) -> list[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table)
        return [item for page in pages for item in page["Items"]]

    def objects(self) -> dict[str, bytes]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.lake)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: self.s3.get_object(Bucket=self.lake, Key=key)["Body"].read() for key in keys}

    def letters(self, url: str) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"])
        return list(answer.get("Messages", []))


def make_cloud(dynamodb: Any, s3: Any, sqs: Any, *, suffix: str = "") -> Cloud:
    ledger, state, lake = f"ledger{suffix}", f"state{suffix}", f"lake{suffix}"
    for table in (ledger, state):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    s3.create_bucket(Bucket=lake)
    dead = sqs.create_queue(QueueName=f"dead{suffix}")["QueueUrl"]
    dead_fifo = sqs.create_queue(QueueName=f"dead{suffix}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    return Cloud(dynamodb, s3, sqs, ledger, state, lake, dead, dead_fifo)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        clients = [boto3.client(name, region_name="us-east-1") for name in ("dynamodb", "s3", "sqs")]
        yield make_cloud(*clients)
        for client in clients:
            client.close()


@pytest.fixture
def event() -> Any:
    """Read an event file as Lambda delivers it."""
    return lambda name: json.loads((EVENTS / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def ministack() -> Iterator[Any]:
    """The emulator of the local cloud, without the app."""
    from localcloud.ministack import MiniStack

    server = MiniStack.start()
    yield server
    server.stop()


@pytest.fixture
def local_aws(ministack: Any) -> Iterator[Cloud]:
    """Empty tables, bucket and queues in the emulator."""
    options: dict[str, Any] = {
        "endpoint_url": ministack.url,
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    clients = [boto3.client(name, **options) for name in ("dynamodb", "s3", "sqs")]
    yield make_cloud(*clients, suffix=f"-{uuid.uuid4().hex[:8]}")
    for client in clients:
        client.close()
