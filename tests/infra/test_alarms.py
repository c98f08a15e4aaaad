"""The alarms stand on every queue and consumer, ask for metrics that exist, and ring somewhere; the dashboard shows the same."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from lambdas import check_gaps, close_day, runtime, state
from tests.infra.synth import App

#: What AWS emits, that we ask for.
OF_AWS = {
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage", "NumberOfMessagesSent"},
    "AWS/Lambda": {"Errors", "Throttles", "Duration", "ConcurrentExecutions"},
}


#: Alarms of the books, and what they make of missing data: no all clear because nobody looked, and an alarm when nobody looks.
BOOKS = {"Gaps": "ignore", "FoldingBehindDays": "ignore", "LinesUnchecked": "breaching"}


def alarms(app: App) -> dict[str, dict[str, Any]]:
    return {name: alarm["Properties"] for name, alarm in app.ingestion.of_type("AWS::CloudWatch::Alarm").items()}


def about(alarm: dict[str, Any]) -> tuple[str, str]:
    """What an alarm is about: its metric, and the logical id of the resource, or our own dimension's value."""
    [dimension] = alarm["Dimensions"]
    value = dimension["Value"]
    if isinstance(value, str):
        return alarm["MetricName"], value
    return alarm["MetricName"], value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]


def consumers(app: App) -> set[str]:
    """Functions behind a queue."""
    return {mapping["Properties"]["FunctionName"]["Ref"] for mapping in app.ingestion.of_type("AWS::Lambda::EventSourceMapping").values()}


def emitted() -> set[str]:
    """Names of the metrics that the functions emit, as their source has them."""
    source = "".join(map(inspect.getsource, (runtime.tell, state._tell, check_gaps.figures, close_day._counts)))
    return set(re.findall(r'^\s+"(\w+)": ', source, re.MULTILINE))


def test_every_dead_letter_queue_queue_and_consumer_has_its_alarms(app: App) -> None:
    queues = app.ingestion.of_type("AWS::SQS::Queue")
    dead = {name for name, queue in queues.items() if "RedrivePolicy" not in queue["Properties"]}
    expected = {("ApproximateNumberOfMessagesVisible", name) for name in dead}
    expected |= {("ApproximateAgeOfOldestMessage", name) for name in queues.keys() - dead}
    expected |= {(metric, name) for name in consumers(app) for metric in ("Errors", "Throttles", "Duration")}
    expected |= {("Conflicts", service) for service in ("archive", "state")}
    expected |= {(metric, "check-gaps") for metric in BOOKS}
    expected |= {("Errors", app.ingestion.one("AWS::Lambda::Function", name)[0]) for name in ("CloseDay", "CheckGaps")}
    assert expected <= set(map(about, alarms(app).values()))


def test_every_alarm_rings_at_the_topic_says_what_it_means_and_is_quiet_without_data_unless_it_watches_the_books(app: App) -> None:
    topic_id, _ = app.ingestion.one("AWS::SNS::Topic", "Alarms")
    for alarm in alarms(app).values():
        assert alarm["AlarmActions"] == [{"Ref": topic_id}]
        assert alarm["TreatMissingData"] == (BOOKS[alarm["MetricName"]] if about(alarm)[1] == "check-gaps" else "notBreaching")
        assert len(alarm["AlarmDescription"]) > 30


def test_cloudwatch_may_publish_at_the_topic_for_alarms_of_this_account_and_nobody_may_in_plain_text(app: App) -> None:
    """A policy of our own takes the place of SNS's, which would let every alarm of the account publish."""
    topic_id, _ = app.ingestion.one("AWS::SNS::Topic", "Alarms")
    _, policy = app.ingestion.one("AWS::SNS::TopicPolicy", "Alarms")
    assert policy["Topics"] == [{"Ref": topic_id}]
    statements = {one["Effect"]: one for one in policy["PolicyDocument"]["Statement"]}
    assert statements["Allow"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (statements["Allow"]["Action"], statements["Allow"]["Resource"]) == ("sns:Publish", {"Ref": topic_id})
    assert statements["Allow"]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert statements["Deny"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_that_nobody_looks_for_gaps_rings_after_three_looks_that_did_not_happen(app: App) -> None:
    [alarm] = [alarm for alarm in alarms(app).values() if alarm["MetricName"] == "LinesUnchecked"]
    assert (alarm["EvaluationPeriods"], alarm["Threshold"], alarm["Statistic"]) == (3, 1, "Maximum")
    assert alarm["Period"] == (3600 if app.keeps_data else 900)


def test_a_function_that_nearly_runs_out_of_time_rings_before_it_does(app: App) -> None:
    near = {about(alarm)[1]: alarm for alarm in alarms(app).values() if alarm["MetricName"] == "Duration"}
    assert near.keys() == consumers(app)
    for name, alarm in near.items():
        timeout = app.ingestion.of_type("AWS::Lambda::Function")[name]["Properties"]["Timeout"] * 1000
        assert 0.67 * timeout < alarm["Threshold"] < timeout  # landing itself stops at two thirds
        assert alarm["Statistic"] == "Maximum"


def metrics_of(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    """(namespace, name) of every metric on the dashboard; the body is JSON with references in it."""
    [_, parts] = dashboard["DashboardBody"]["Fn::Join"]
    body = json.loads("".join(part if isinstance(part, str) else "reference" for part in parts))
    listed = [metric for widget in body["widgets"] for metric in widget["properties"].get("metrics", [])]
    return [(metric[0], metric[1]) for metric in listed]


def test_alarms_and_dashboard_ask_only_for_metrics_that_somebody_emits(app: App) -> None:
    _, dashboard = app.ingestion.one("AWS::CloudWatch::Dashboard", "Dashboard")
    asked = metrics_of(dashboard) + [(alarm["Namespace"], alarm["MetricName"]) for alarm in alarms(app).values()]
    known = OF_AWS | {app.name: emitted()}
    assert {"Conflicts", "Readings", "Late"} <= emitted()
    for namespace, name in asked:
        assert name in known[namespace], f"{namespace} {name}"


def test_the_dashboard_shows_every_alarm_and_what_they_watch(app: App) -> None:
    _, dashboard = app.ingestion.one("AWS::CloudWatch::Dashboard", "Dashboard")
    shown = json.dumps(dashboard)
    assert all(f'["{name}", "Arn"]' in shown for name in alarms(app))
    watched = {(alarm["Namespace"], alarm["MetricName"]) for alarm in alarms(app).values()}
    assert watched <= set(metrics_of(dashboard))


def test_the_dashboard_shows_the_errors_of_every_function_that_has_an_alarm_for_them(app: App) -> None:
    _, dashboard = app.ingestion.one("AWS::CloudWatch::Dashboard", "Dashboard")
    shown = {part["Ref"] for part in dashboard["DashboardBody"]["Fn::Join"][1] if isinstance(part, dict) and "Ref" in part}
    assert {about(alarm)[1] for alarm in alarms(app).values() if alarm["MetricName"] == "Errors"} <= shown


def test_two_stages_in_one_account_do_not_ring_each_others_alarms(dev: App, prod: App) -> None:
    spaces = [{alarm["Namespace"] for alarm in alarms(app).values()} - OF_AWS.keys() for app in (dev, prod)]
    assert spaces == [{"device-agent-dev"}, {"device-agent-prod"}]
