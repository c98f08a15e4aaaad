"""What SQS may do to the deployed functions: everything twice, out of order, to two invocations at once, after one that was killed."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from device_agent.operate.audit import Choice, Clients, audit
from device_agent.operate.books import Books
from device_agent.wire import envelope, ledger
from device_agent.wire.envelope import Envelope
from device_agent.wire.ledger import Line
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.ports import Claim, Commit
from lambdas.landing.retry import Retrying
from lambdas.landing.s3 import LakeBucket
from localcloud import LocalCloud, athena
from tests.lambdas.samples import E1, body

pytestmark = pytest.mark.e2e


@pytest.fixture
def device() -> str:
    return f"delivery-{time.time_ns()}"


def envelopes(device: str, count: int) -> tuple[list[str], dict[int, str]]:
    """Bodies of `count` envelopes of one to nine readings, and what each number holds."""
    chance, texts, sent, first = random.Random(device), list[str](), dict[int, str](), 1
    for _ in range(count):
        numbers = range(first, first + chance.randint(1, 9))
        sent |= {number: f"{device} {number}" for number in numbers}
        texts.append(body(first, [sent[number].encode() for number in numbers], device=device))
        first = numbers.stop
    return texts, sent


def answers(cloud: LocalCloud, device: str) -> list[tuple[int, str | None]]:
    sql = f"SELECT seq, data FROM readings WHERE stream = 'telemetry' AND device = '{device}' ORDER BY seq"
    return [(int(seq or 0), data) for seq, data in athena.query(cloud, sql)[1]]


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come in time"
        time.sleep(0.3)


def books(cloud: LocalCloud, device: str) -> Books:
    clients = Clients(cloud.client("dynamodb"), cloud.client("s3"))
    outputs = cloud.outputs
    return audit(clients, ledger=outputs.ledger_table, lake=outputs.lake_bucket, choice=Choice(device=device), deep=True)


def send(cloud: LocalCloud, texts: list[str]) -> None:
    for at in range(0, len(texts), 10):
        entries = [{"Id": str(number), "MessageBody": text} for number, text in enumerate(texts[at : at + 10])]
        answer = cloud.client("sqs").send_message_batch(QueueUrl=cloud.outputs.telemetry_queue_url, Entries=entries)
        assert len(answer["Successful"]) == len(entries)


def test_what_is_delivered_twice_and_out_of_order_is_answered_by_sql_once_and_as_it_was_sent(cloud: LocalCloud, device: str) -> None:
    texts, sent = envelopes(device, 30)
    twice = texts * 2
    random.Random(1).shuffle(twice)
    send(cloud, twice)
    wait_for(lambda: len(answers(cloud, device)) >= len(sent))
    assert answers(cloud, device) == sorted(sent.items())
    assert books(cloud, device).balanced


def test_two_invocations_at_once_on_the_same_messages_land_them_once(cloud: LocalCloud, device: str) -> None:
    texts, sent = envelopes(device, 20)
    records = [
        {
            "messageId": str(uuid.uuid4()), "receiptHandle": "r", "body": text, "messageAttributes": {}, "eventSource": "aws:sqs",
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795000005123"},
        }
        for text in texts
    ]  # fmt: skip

    def invoke(order: int) -> set[str]:
        mixed = records[:]
        random.Random(order).shuffle(mixed)
        payload = json.dumps({"Records": mixed}).encode()
        answer = cloud.client("lambda").invoke(FunctionName=cloud.outputs.archive_function, Payload=payload)
        said = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, said
        return {failed["itemIdentifier"] for failed in said["batchItemFailures"]}

    cloud.client("lambda")  # made here: making one is not safe from two threads
    with ThreadPoolExecutor(4) as pool:
        failed = list(pool.map(invoke, range(4)))
    assert not set.intersection(*failed), "what one is at work on fails for the others alone"
    assert invoke(9) == set()
    assert answers(cloud, device) == sorted(sent.items())
    assert books(cloud, device).balanced


def test_what_an_invocation_had_claimed_when_it_was_killed_lands_with_the_next_and_never_with_the_first(
    cloud: LocalCloud, device: str
) -> None:
    texts, sent = envelopes(device, 6)
    call = Retrying(sleep=time.sleep, random=lambda: 0.5)
    table = LedgerTable(cloud.client("dynamodb"), cloud.outputs.ledger_table, call)
    key = ledger.lake_key("telemetry", time.strftime("%Y-%m-%d", time.gmtime()), uuid.uuid4().hex)
    line = Line(device, "telemetry", E1)
    table.register(line)
    for text in texts[:4]:  # it had got so far, and its lease is over
        content = envelope.decode(text)
        assert isinstance(content, Envelope)
        dead = Claim(
            line=line, first=content.first, last=content.last, digest=content.digest(), key=key, lease=1, expires=2_000_000_000
        )  # fmt: skip
        assert table.claim(dead) is None
    assert [one.pending for one in books(cloud, device).lines] == [((1, envelope_end(texts[3])),)]
    send(cloud, texts)
    wait_for(lambda: len(answers(cloud, device)) >= len(sent))
    assert answers(cloud, device) == sorted(sent.items())
    lake = LakeBucket(cloud.client("s3"), cloud.outputs.lake_bucket, call)
    assert lake.head(key) is Commit.VOID
    assert not lake.create(key, b"too late", Commit.DATA), "the first one wakes up and may not put it any more"
    assert books(cloud, device).balanced


def envelope_end(text: str) -> int:
    content = envelope.decode(text)
    assert isinstance(content, Envelope)
    return content.last
