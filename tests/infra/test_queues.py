"""What the queues promise, read from the template."""

from __future__ import annotations

import json
from typing import Any

from tests.infra.synth import App

FOURTEEN_DAYS = 14 * 24 * 3600
MIB = 1_048_576


def queues(app: App) -> dict[str, dict[str, Any]]:
    return {name: queue["Properties"] for name, queue in app.ingestion.of_type("AWS::SQS::Queue").items()}


def test_there_are_two_queues_each_with_a_dead_letter_queue_of_its_own_kind(app: App) -> None:
    found = queues(app)
    sources = {name: queue for name, queue in found.items() if "RedrivePolicy" in queue}
    buried = {name: queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] for name, queue in sources.items()}
    assert len(found) == 4
    assert len(set(buried.values())) == 2
    for source, target in buried.items():
        assert found[source].get("FifoQueue") == found[target].get("FifoQueue")
        assert "RedrivePolicy" not in found[target]


def test_the_events_queue_is_high_throughput_fifo_without_content_based_deduplication(app: App) -> None:
    fifo = [queue for queue in queues(app).values() if queue.get("FifoQueue")]
    assert len(fifo) == 2
    for queue in fifo:
        assert queue["DeduplicationScope"] == "messageGroup"
        assert queue["FifoThroughputLimit"] == "perMessageGroupId"
        assert queue["ContentBasedDeduplication"] is False


def test_standard_queues_carry_no_fifo_property(app: App) -> None:
    standard = [queue for queue in queues(app).values() if not queue.get("FifoQueue")]
    assert len(standard) == 2
    for queue in standard:
        assert not queue.keys() & {"FifoQueue", "DeduplicationScope", "FifoThroughputLimit", "ContentBasedDeduplication"}


def test_nothing_expires_for_fourteen_days_in_a_queue_or_its_dead_letter_queue(app: App) -> None:
    assert {queue["MessageRetentionPeriod"] for queue in queues(app).values()} == {FOURTEEN_DAYS}


def test_queues_take_messages_of_one_mebibyte_and_say_so(app: App) -> None:
    assert {queue["MaximumMessageSize"] for queue in queues(app).values()} == {MIB}


def test_half_an_hour_without_the_ledger_buries_nothing(app: App) -> None:
    receives = {
        bool(queue.get("FifoQueue")): queue["RedrivePolicy"]["maxReceiveCount"]
        for queue in queues(app).values()
        if "RedrivePolicy" in queue
    }
    assert receives == {False: 50, True: 100}


def test_every_queue_refuses_plain_http(app: App) -> None:
    guarded = set()
    for policy in app.ingestion.of_type("AWS::SQS::QueuePolicy").values():
        properties = policy["Properties"]
        denied = [
            statement
            for statement in properties["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Deny"
            and statement["Action"] == "sqs:*"
            and statement["Principal"] == {"AWS": "*"}
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        ]
        if denied:
            guarded |= {queue["Ref"] for queue in properties["Queues"]}
    assert guarded == set(queues(app))


def test_what_lies_in_a_queue_outlives_a_stage_that_keeps_its_data(app: App) -> None:
    policies = {queue["DeletionPolicy"] for queue in app.ingestion.of_type("AWS::SQS::Queue").values()}
    assert policies == {"Retain" if app.keeps_data else "Delete"}


def test_no_queue_policy_opens_a_queue_to_anyone(app: App) -> None:
    text = json.dumps(app.ingestion.of_type("AWS::SQS::QueuePolicy"))
    assert '"Effect": "Allow"' not in text
