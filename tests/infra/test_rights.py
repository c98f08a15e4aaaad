"""Least privilege, evaluated: every operation that the service models know is asked for, on every resource of the stack."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import botocore.session
import pytest

from tests.infra.synth import App, Stack

SERVICES = ("sqs", "s3", "dynamodb", "kms", "lambda", "iam", "sts", "logs", "sns", "iot", "glue", "athena", "cloudformation")

# Where the name of an operation is not the name of the right.
S3_NAMES = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket", "ListObjects": "ListBucket"}
KMS_NAMES = ("ReEncryptFrom", "ReEncryptTo")

Right = tuple[str, str]


@cache
def all_actions() -> frozenset[str]:
    session = botocore.session.get_session()
    found = {f"{service}:{name}" for service in SERVICES for name in session.get_service_model(service).operation_names}
    return frozenset(found | {f"s3:{right}" for right in S3_NAMES.values()} | {f"kms:{right}" for right in KMS_NAMES})


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def name_of(resource: Any) -> str:
    """`LogicalId` or `LogicalId/suffix` of an ARN as a template writes it."""
    if isinstance(resource, str):
        return resource
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    parts = [part if isinstance(part, str) else name_of(part) for part in resource["Fn::Join"][1]]
    return "".join(parts)


def allowed(statements: Iterable[dict[str, Any]]) -> set[Right]:
    """Every (action, resource) that the statements allow; wildcards in actions are spread over all actions there are."""
    rights: set[Right] = set()
    for statement in statements:
        assert statement["Effect"] == "Allow"
        assert not statement.keys() & {"NotAction", "NotResource"}
        for pattern in as_list(statement["Action"]):
            matching = fnmatch.filter(all_actions(), pattern)
            if not matching:  # e.g. logs rights that the list spells otherwise: a test must see them
                matching = [pattern]
            rights |= {(action, name_of(resource)) for action in matching for resource in as_list(statement["Resource"])}
    return rights


def of_function(stack: Stack, name: str) -> list[dict[str, Any]]:
    """All statements of a function's role; managed policies would show up as a failure."""
    role_id, role = stack.one("AWS::IAM::Role", name)
    assert "ManagedPolicyArns" not in role
    assert "Policies" not in role
    mine = [
        policy["Properties"] for policy in stack.of_type("AWS::IAM::Policy").values() if {"Ref": role_id} in policy["Properties"]["Roles"]
    ]
    return [statement for policy in mine for statement in policy["PolicyDocument"]["Statement"]]


def ids(stack: Stack) -> dict[str, str]:
    """Short name -> logical id of what rights are about."""
    wanted = {
        "telemetry": ("AWS::SQS::Queue", "TelemetryQueue"),
        "telemetry_dlq": ("AWS::SQS::Queue", "TelemetryDeadLetters"),
        "events": ("AWS::SQS::Queue", "EventsQueue"),
        "events_dlq": ("AWS::SQS::Queue", "EventsDeadLetters"),
        "lake": ("AWS::S3::Bucket", "Lake"),
        "ledger": ("AWS::DynamoDB::Table", "TablesLedger"),
        "state": ("AWS::DynamoDB::Table", "TablesState"),
        "archive_logs": ("AWS::Logs::LogGroup", "Archive"),
        "state_logs": ("AWS::Logs::LogGroup", "State"),
    }
    return {short: stack.one(kind, prefix)[0] for short, (kind, prefix) in wanted.items()}


def rights(ids_: dict[str, str], table: dict[str, tuple[str, ...]]) -> set[Right]:
    """`{"lake/readings/*": ("s3:GetObject",)}` with short names -> pairs with logical ids."""
    found = set()
    for resource, actions in table.items():
        short, slash, suffix = resource.partition("/")
        found |= {(action, ids_.get(short, short) + slash + suffix) for action in actions}
    return found


def key_of(app: App) -> str | None:
    return app.ingestion.one("AWS::KMS::Key", "Encryption")[0] if app.customer_key else None


CONSUME = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
LEDGER = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query")
LAND = {"lake/readings/*": ("s3:PutObject", "s3:GetObject"), "lake": ("s3:ListBucket",), "ledger": LEDGER}
LOG = ("logs:CreateLogStream", "logs:PutLogEvents")


def without_key(found: set[Right]) -> set[Right]:
    return {(action, resource) for action, resource in found if not action.startswith("kms:")}


def test_a_device_may_send_to_its_two_queues_ask_their_limits_and_do_nothing_else(app: App) -> None:
    _, policy = app.ingestion.one("AWS::IAM::ManagedPolicy", "Devices")
    found = allowed(policy["PolicyDocument"]["Statement"])
    send = ("sqs:SendMessage", "sqs:GetQueueAttributes")
    assert without_key(found) == rights(ids(app.ingestion), {"telemetry": send, "events": send})


def test_the_device_role_holds_the_device_policy_and_no_other(app: App) -> None:
    _, role = app.identity.one("AWS::IAM::Role", "DeviceRole")
    policy_id, _ = app.ingestion.one("AWS::IAM::ManagedPolicy", "Devices")
    assert len(role["ManagedPolicyArns"]) == 1
    assert policy_id in role["ManagedPolicyArns"][0]["Fn::ImportValue"]
    assert "Policies" not in role
    assert not [one for one in app.identity.template["Resources"].values() if one["Type"] == "AWS::IAM::Policy"]


def test_only_the_iot_credentials_provider_assumes_the_device_role(app: App) -> None:
    _, role = app.identity.one("AWS::IAM::Role", "DeviceRole")
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "credentials.iot.amazonaws.com"},
        }
    ]


def test_a_certificate_may_use_the_role_alias_and_do_nothing_else(app: App) -> None:
    _, policy = app.identity.one("AWS::IoT::Policy", "Certificates")
    alias_id, alias = app.identity.one("AWS::IoT::RoleAlias", "Alias")
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "iot:AssumeRoleWithCertificate",
            "Resource": {"Fn::GetAtt": [alias_id, "RoleAliasArn"]},
        }
    ]
    assert alias["CredentialDurationSeconds"] >= 3600


def test_archive_may_land_telemetry_bury_what_it_cannot_read_and_do_nothing_else(app: App) -> None:
    found = allowed(of_function(app.ingestion, "Archive"))
    expected = LAND | {"telemetry": CONSUME, "telemetry_dlq": ("sqs:SendMessage",), "archive_logs": LOG}
    assert without_key(found) == rights(ids(app.ingestion), expected)


def test_state_may_land_events_apply_them_and_do_nothing_else(app: App) -> None:
    found = allowed(of_function(app.ingestion, "State"))
    expected = LAND | {
        "events": CONSUME,
        "events_dlq": ("sqs:SendMessage",),
        "state_logs": LOG,
        "state": ("dynamodb:PutItem",),
    }
    assert without_key(found) == rights(ids(app.ingestion), expected)


def test_without_a_customer_key_no_right_on_any_key_is_given(dev: App) -> None:
    assert "kms:" not in json.dumps([stack.template for stack in dev.stacks])


def test_with_a_customer_key_a_device_gets_what_sending_needs_through_sqs_only(prod: App) -> None:
    _, policy = prod.ingestion.one("AWS::IAM::ManagedPolicy", "Devices")
    statements = [one for one in policy["PolicyDocument"]["Statement"] if "kms:" in json.dumps(one["Action"])]
    assert {(action, resource) for action, resource in allowed(statements)} == {
        ("kms:GenerateDataKey", key_of(prod)),
        ("kms:Decrypt", key_of(prod)),
    }
    assert [via(statement) for statement in statements] == ["sqs"]


@pytest.mark.parametrize("name", ["Archive", "State"])
def test_with_a_customer_key_a_function_uses_it_through_its_three_services_only(prod: App, name: str) -> None:
    statements = [one for one in of_function(prod.ingestion, name) if "kms:" in json.dumps(one["Action"])]
    assert {via(statement) for statement in statements} == {"sqs", "s3", "dynamodb"}
    for action, resource in allowed(statements):
        assert resource == key_of(prod)
        assert action.removeprefix("kms:") in {*("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo")}


def test_with_a_customer_key_who_only_reads_the_ledger_may_only_decrypt(prod: App) -> None:
    statements = [one for one in of_function(prod.ingestion, "CheckGaps") if "kms:" in json.dumps(one["Action"])]
    assert [via(statement) for statement in statements] == ["dynamodb"]
    assert {action for action, _ in allowed(statements)} == {"kms:Decrypt", "kms:DescribeKey"}


def via(statement: dict[str, Any]) -> str:
    """The service through which alone a statement allows the key."""
    return str(statement["Condition"]["StringEquals"]["kms:ViaService"]["Fn::Join"][1][0]).rstrip(".")


def test_the_evaluation_sees_a_wildcard() -> None:
    found = allowed([{"Effect": "Allow", "Action": "sqs:*Message", "Resource": {"Fn::GetAtt": ["Queue", "Arn"]}}])
    assert {("sqs:SendMessage", "Queue"), ("sqs:DeleteMessage", "Queue")} <= found
