"""A cloud that holds everyone to the deployed policies: TLS only, customer key, roles.

What `tests/infra/test_rights.py` reads from the template is tried out here: the functions land and apply with no more than their
roles allow, and a device with the device policy can send and can do nothing else.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud, athena
from tests.localcloud.test_deployed import QUEUES, attributes, reading, wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def strict() -> Iterator[LocalCloud]:
    with LocalCloud.start(sse="kms", enforce=True) as running:
        yield running


class Device:
    """Clients with the credentials of a role that holds the device policy, as the identity stack makes it."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._clients: dict[str, Any] = {}
        iam = cloud.client("iam")
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}}],
        }
        role = iam.create_role(RoleName="device", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        iam.attach_role_policy(RoleName="device", PolicyArn=cloud.outputs.device_policy_arn)
        session = cloud.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="board-7")
        self._credentials = session["Credentials"]

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._cloud.client_as(
                service,
                access_key=self._credentials["AccessKeyId"],
                secret_key=self._credentials["SecretAccessKey"],
                token=self._credentials["SessionToken"],
            )
        return self._clients[service]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@pytest.fixture(scope="module")
def device(strict: LocalCloud) -> Iterator[Device]:
    made = Device(strict)
    yield made
    made.close()


def denied(call: Any, **arguments: Any) -> bool:
    """Whether the policies refuse a call; any other failure is a failure of the test."""
    with pytest.raises(ClientError) as refusal:
        call(**arguments)
    return refusal.value.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}


def test_queues_are_encrypted_with_the_one_customer_key(strict: LocalCloud) -> None:
    keys = {attributes(strict, queue)["KmsMasterKeyId"] for queue in QUEUES}
    assert len(keys) == 1
    assert strict.client("kms").describe_key(KeyId=keys.pop())["KeyMetadata"]["KeyManager"] == "CUSTOMER"


def test_what_a_device_sends_lands_and_is_applied_with_no_more_rights_than_deployed(strict: LocalCloud, device: Device) -> None:
    sqs, name = device.client("sqs"), f"strict-{time.time_ns()}"
    sent = sqs.send_message_batch(
        QueueUrl=strict.outputs.telemetry_queue_url,
        Entries=[{"Id": str(seq), "MessageBody": reading(name, "telemetry", seq)} for seq in range(1, 11)],
    )
    assert len(sent["Successful"]) == 10
    sqs.send_message(
        QueueUrl=strict.outputs.events_queue_url,
        MessageBody=reading(name, "events", 1),
        MessageGroupId=f"{name}.events",
        MessageDeduplicationId=f"{name}-1",
    )
    sql = f"select stream, count(*) as n from readings where device = '{name}' group by stream order by stream"
    wait_for(lambda: athena.query(strict, sql)[1] == [["events", "1"], ["telemetry", "10"]])
    wait_for(lambda: name in json.dumps(strict.client("dynamodb").scan(TableName=strict.outputs.state_table)["Items"]))


@pytest.mark.parametrize("part", ["telemetry", "events"])
def test_what_cannot_be_read_goes_to_the_own_dead_letter_queue_by_the_functions_own_right(
    strict: LocalCloud, device: Device, part: str
) -> None:
    extra = {"MessageGroupId": "g", "MessageDeduplicationId": str(time.time_ns())} if part == "events" else {}
    queue, buried = (getattr(strict.outputs, f"{part}{kind}_url") for kind in ("_queue", "_dead_letter_queue"))
    root = strict.client("sqs")
    usual = attributes(strict, f"{part}_queue_url")["VisibilityTimeout"]
    # The third receive is the one that buries; nobody waits for three visibility timeouts of minutes.
    root.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    device.client("sqs").send_message(QueueUrl=queue, MessageBody="no envelope", **extra)
    (letter, *_) = wait_for(lambda: root.receive_message(QueueUrl=buried).get("Messages"))
    root.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": usual})
    assert letter["Body"] == "no envelope"


def test_a_device_may_read_the_limits_of_its_queues(strict: LocalCloud, device: Device) -> None:
    answer = device.client("sqs").get_queue_attributes(QueueUrl=strict.outputs.telemetry_queue_url, AttributeNames=["MaximumMessageSize"])
    assert answer["Attributes"] == {"MaximumMessageSize": "1048576"}


def test_a_device_cannot_receive_delete_purge_or_reach_the_dead_letters(strict: LocalCloud, device: Device) -> None:
    sqs, outputs = device.client("sqs"), strict.outputs
    assert denied(sqs.receive_message, QueueUrl=outputs.telemetry_queue_url)
    assert denied(sqs.delete_message, QueueUrl=outputs.telemetry_queue_url, ReceiptHandle="x")
    assert denied(sqs.purge_queue, QueueUrl=outputs.events_queue_url)
    assert denied(sqs.set_queue_attributes, QueueUrl=outputs.events_queue_url, Attributes={"VisibilityTimeout": "0"})
    assert denied(sqs.send_message, QueueUrl=outputs.telemetry_dead_letter_queue_url, MessageBody="x")


def test_a_device_cannot_touch_lake_ledger_state_functions_or_rights(strict: LocalCloud, device: Device) -> None:
    outputs = strict.outputs
    assert denied(device.client("s3").list_objects_v2, Bucket=outputs.lake_bucket)
    assert denied(device.client("s3").put_object, Bucket=outputs.lake_bucket, Key="readings/x", Body=b"")
    assert denied(device.client("dynamodb").scan, TableName=outputs.ledger_table)
    assert denied(device.client("dynamodb").put_item, TableName=outputs.state_table, Item={"pk": {"S": "x"}, "sk": {"S": "x"}})
    assert denied(device.client("lambda").invoke, FunctionName=outputs.archive_function)
    assert denied(device.client("iam").list_roles)


def test_a_wrong_secret_is_refused(strict: LocalCloud, device: Device) -> None:
    liar = strict.client_as("sqs", access_key=device._credentials["AccessKeyId"], secret_key="guessed")
    try:
        with pytest.raises(ClientError):
            liar.send_message(QueueUrl=strict.outputs.telemetry_queue_url, MessageBody="x")
    finally:
        liar.close()


def test_nothing_answers_without_tls(strict: LocalCloud) -> None:
    with pytest.raises(OSError, match=r"refused|reset|aborted|closed") as refusal:
        urllib.request.urlopen(f"{strict.endpoint_url.replace('https', 'http')}/_ministack/ready", timeout=120)
    assert not isinstance(refusal.value, urllib.error.HTTPError)
