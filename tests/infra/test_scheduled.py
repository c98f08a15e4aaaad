"""Scheduled functions: when they run, on what, and with which rights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App as AwsApp
from aws_cdk.assertions import Template

from device_agent.wire import ledger
from infra.ingestion import IngestionStack
from infra.scheduled import Job
from infra.settings import Settings
from infra.stages import STAGES
from tests.infra.synth import App


def rule(app: App, name: str) -> dict[str, Any]:
    function_id, _ = app.ingestion.one("AWS::Lambda::Function", name)
    _, found = app.ingestion.one("AWS::Events::Rule", name)
    assert {target["Arn"]["Fn::GetAtt"][0] for target in found["Targets"]} == {function_id}
    return found


def test_close_day_runs_at_night_over_every_bucket_of_devices(app: App) -> None:
    found = rule(app, "CloseDay")
    assert found["ScheduleExpression"] == "cron(15 1-5 * * ? *)"  # landing's longest lease of the day before is over at one
    inputs = [json.loads(target["Input"]) for target in found["Targets"]]
    buckets = inputs[0]["buckets"]
    assert sorted(one["bucket"] for one in inputs) == list(range(buckets))
    assert {one["buckets"] for one in inputs} == {buckets}
    assert all(ledger.shards(bucket, buckets) for bucket in range(buckets))  # a number that landing's registry can be split in
    assert all(target["RetryPolicy"]["MaximumRetryAttempts"] == 0 for target in found["Targets"])


@pytest.mark.parametrize("name", ["CloseDay", "CheckGaps"])
def test_a_run_that_fails_is_not_tried_again_by_lambda_either(app: App, name: str) -> None:
    _, config = app.ingestion.one("AWS::Lambda::EventInvokeConfig", name)
    assert config["MaximumRetryAttempts"] == 0


def test_events_may_start_the_function_by_this_rule_only(app: App) -> None:
    rule_id, _ = app.ingestion.one("AWS::Events::Rule", "CloseDay")
    allowed = [
        permission["Properties"] for name, permission in app.ingestion.of_type("AWS::Lambda::Permission").items() if "CloseDay" in name
    ]
    assert allowed
    assert all(one["SourceArn"] == {"Fn::GetAtt": [rule_id, "Arn"]} for one in allowed)


def test_close_day_deletes_nothing_and_reaches_only_ledger_and_lake(app: App) -> None:
    _, policy = app.ingestion.one("AWS::IAM::Policy", "CloseDay")
    actions = {
        action
        for statement in policy["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert not [action for action in actions if "Delete" in action or action.startswith("sqs:")]
    assert "TablesState" not in json.dumps(policy)
    assert {action for action in actions if action.startswith(("dynamodb:", "s3:"))} == {
        "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "s3:PutObject", "s3:GetObject", "s3:ListBucket",
    }  # fmt: skip


def test_gaps_are_looked_for_often_enough_and_read_only(app: App) -> None:
    found = rule(app, "CheckGaps")
    assert found["ScheduleExpression"] == ("rate(1 hour)" if app.keeps_data else "rate(15 minutes)")
    _, policy = app.ingestion.one("AWS::IAM::Policy", "CheckGaps")
    said = json.dumps(policy)
    assert not [action for action in ("PutItem", "UpdateItem", "Delete", "PutObject", "GetObject", "sqs:") if action in said]
    _, function = app.ingestion.one("AWS::Lambda::Function", "CheckGaps")
    assert function["Environment"]["Variables"]["GAP_SECONDS"] == "3600"


def test_a_job_that_would_never_run_is_refused() -> None:
    with pytest.raises(ValueError, match="never run"):
        Job(
            name="n", handler="h", timeout=1, schedule=None, inputs=[], table_actions=(), object_actions=(),  # type: ignore[arg-type]
        )  # fmt: skip


def test_more_buckets_than_a_rule_has_targets_get_a_second_rule() -> None:
    app = AwsApp()
    stage = replace(STAGES["dev"], closing_buckets=12)
    settings = Settings(stage=stage, sse="sqs", arch="arm64", bundle="host")
    stack = IngestionStack(app, "many", settings=settings, code=Path(__file__).parent)
    rules = Template.from_stack(stack).find_resources("AWS::Events::Rule")
    for job in ("CloseDay", "CheckGaps"):
        inputs = [
            [json.loads(target["Input"])["bucket"] for target in rule["Properties"]["Targets"]]
            for name, rule in rules.items()
            if name.startswith(job)
        ]
        assert max(map(len, inputs)) <= 5
        assert sorted(bucket for some in inputs for bucket in some) == list(range(12))


def test_a_scheduled_function_has_one_core(app: App) -> None:
    for name in ("CloseDay", "CheckGaps"):
        assert app.ingestion.one("AWS::Lambda::Function", name)[1]["MemorySize"] == 1769
