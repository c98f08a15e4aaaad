"""The alarms stand on every queue and function, and ring somewhere."""

from __future__ import annotations

from tests.infra.synth import App


def test_every_dead_letter_queue_queue_and_function_has_its_alarms(app: App) -> None:
    found = {
        (alarm["Properties"]["MetricName"], next(iter(alarm["Properties"]["Dimensions"]))["Value"]["Fn::GetAtt"][0])
        if "Fn::GetAtt" in alarm["Properties"]["Dimensions"][0]["Value"]
        else (alarm["Properties"]["MetricName"], alarm["Properties"]["Dimensions"][0]["Value"]["Ref"])
        for alarm in app.ingestion.of_type("AWS::CloudWatch::Alarm").values()
    }
    queues = app.ingestion.of_type("AWS::SQS::Queue")
    dead = {name for name, queue in queues.items() if "RedrivePolicy" not in queue["Properties"]}
    expected = {("ApproximateNumberOfMessagesVisible", name) for name in dead}
    expected |= {("ApproximateAgeOfOldestMessage", name) for name in queues.keys() - dead}
    functions = app.ingestion.of_type("AWS::Lambda::Function")
    expected |= {(metric, name) for name in functions for metric in ("Errors", "Throttles")}
    assert found == expected


def test_every_alarm_rings_at_the_topic_says_what_it_means_and_is_quiet_without_data(app: App) -> None:
    topic_id, _ = app.ingestion.one("AWS::SNS::Topic", "Alarms")
    for alarm in app.ingestion.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": topic_id}]
        assert alarm["Properties"]["TreatMissingData"] == "notBreaching"
        assert len(alarm["Properties"]["AlarmDescription"]) > 30
