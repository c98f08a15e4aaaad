"""What the functions and their mappings promise, read from the template."""

from __future__ import annotations

from typing import Any

import pytest

from infra.bundle import PYTHON
from tests.infra.synth import App


def consumer(app: App, name: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Properties of function, mapping and source queue."""
    function_id, function = app.ingestion.one("AWS::Lambda::Function", name)
    _, mapping = app.ingestion.one("AWS::Lambda::EventSourceMapping", name)
    assert mapping["FunctionName"] == {"Ref": function_id}
    return function, mapping, app.ingestion.resource(mapping["EventSourceArn"])


both = pytest.mark.parametrize("name", ["Archive", "State"])


@both
def test_a_batch_is_invisible_for_six_timeouts_and_the_window(app: App, name: str) -> None:
    function, mapping, queue = consumer(app, name)
    window = mapping.get("MaximumBatchingWindowInSeconds", 0)
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + window


@both
def test_a_record_that_fails_fails_alone(app: App, name: str) -> None:
    assert consumer(app, name)[1]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@both
def test_no_message_is_filtered_away(app: App, name: str) -> None:
    assert "FilterCriteria" not in consumer(app, name)[1]


@both
def test_a_backlog_cannot_take_the_whole_account(app: App, name: str) -> None:
    assert 2 <= consumer(app, name)[1]["ScalingConfig"]["MaximumConcurrency"] <= 1000


@both
def test_the_runtime_is_the_one_that_the_bundle_is_made_for(app: App, name: str) -> None:
    function, _, _ = consumer(app, name)
    assert function["Runtime"] == f"python{PYTHON}"
    assert function["Architectures"] == ["arm64"]


def test_archive_takes_a_thousand_standard_messages_at_a_time(app: App) -> None:
    _, mapping, queue = consumer(app, "Archive")
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (1000, 20)
    assert "FifoQueue" not in queue


def test_state_takes_ten_fifo_messages_and_no_window(app: App) -> None:
    _, mapping, queue = consumer(app, "State")
    assert mapping["BatchSize"] == 10
    assert "MaximumBatchingWindowInSeconds" not in mapping
    assert queue["FifoQueue"] is True


@both
def test_a_function_is_told_its_dead_letter_queue_lake_and_ledger(app: App, name: str) -> None:
    function, _, queue = consumer(app, name)
    told = function["Environment"]["Variables"]
    assert told["DLQ_URL"]["Ref"] == queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert told["LAKE_BUCKET"]["Ref"] in app.ingestion.of_type("AWS::S3::Bucket")
    assert told["LEDGER_TABLE"]["Ref"].startswith("TablesLedger")
    assert told["POWERTOOLS_METRICS_NAMESPACE"] == app.name
    assert told["POWERTOOLS_SERVICE_NAME"] == name.lower()


def test_only_state_is_told_the_state_table(app: App) -> None:
    assert "STATE_TABLE" not in consumer(app, "Archive")[0]["Environment"]["Variables"]
    assert consumer(app, "State")[0]["Environment"]["Variables"]["STATE_TABLE"]["Ref"].startswith("TablesState")


@both
def test_logs_have_a_group_of_their_own_with_an_end(app: App, name: str) -> None:
    function, _, _ = consumer(app, name)
    group = app.ingestion.resource(function["LoggingConfig"]["LogGroup"])
    assert group["RetentionInDays"] == (90 if app.keeps_data else 7)


@both
def test_a_function_starts_only_when_its_rights_stand(app: App, name: str) -> None:
    resources = app.ingestion.of_type("AWS::Lambda::Function")
    policy_id, _ = app.ingestion.one("AWS::IAM::Policy", name)
    assert [policy_id in found["DependsOn"] for id_, found in resources.items() if id_.startswith(name)] == [True]


@both
def test_a_stage_that_reserves_concurrency_reserves_what_its_pollers_may_start(app: App, name: str) -> None:
    function, mapping, _ = consumer(app, name)
    reserved = mapping["ScalingConfig"]["MaximumConcurrency"] if app.keeps_data else None
    assert function.get("ReservedConcurrentExecutions") == reserved


@both
def test_nothing_is_traced_unless_it_is_asked_for(app: App, name: str) -> None:
    assert consumer(app, name)[0].get("TracingConfig") is None
