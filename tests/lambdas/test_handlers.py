"""The handlers, as Lambda calls them, on literal events and moto."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lambdas import archive, runtime, state
from tests.lambdas.samples import E1, E2

IDS = "0d8b3c4e-0000-4000-8000-{:012d}"


class Context:
    """As much of Lambda's context as is used."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def deployed(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    values = {"LAKE_BUCKET": aws.lake, "LEDGER_TABLE": aws.ledger, "STATE_TABLE": aws.state, "QUEUE_URL": "unused"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DLQ_URL", aws.dead_letters)
    for cached in (archive._landing, state._parts):
        cached.cache_clear()
    yield aws
    for cached in (archive._landing, state._parts):
        if cached.cache_info().currsize:
            parts = cached()
            landing = parts[0] if isinstance(parts, tuple) else parts
            landing.pool.shutdown()
        cached.cache_clear()


def failures(answer: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def lake_rows(aws: Any) -> dict[str, list[dict[str, Any]]]:
    return {key: [json.loads(line) for line in gzip.decompress(body).splitlines()] for key, body in aws.objects().items()}


def test_archive_lands_what_it_can_and_names_the_rest(deployed: Any, event: Callable[[str], dict[str, Any]]) -> None:
    assert failures(archive.handler(event("telemetry.json"), Context())) == [IDS.format(4)]
    [(key, rows)] = lake_rows(deployed).items()
    assert key.startswith("readings/stream=telemetry/dt=")
    common = {"received": "2026-11-18T11:06:40.000000Z", "arrived": "2026-11-18T11:06:45.123000Z"}
    board7 = {"device": "board-7", "epoch": E1, "clock": "synced", **common}
    board8 = {"device": "board-8", "epoch": E2, "clock": "unsynced", **common}
    assert rows == [
        {"seq": 1, **board7, "topic": "temp", "data": '{"value":1}'},
        {"seq": 2, **board7, "data_base64": "/wA="},
        {"seq": 3, **board7, "topic": "temp", "frames": ["YQ==", "Yg=="]},
        {"seq": 1, **board8, "client": "key", "topic": "room", "data": '{"t": 21.5}'},
    ]
    notes = [
        (letter["Body"][:20], {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()})
        for letter in deployed.letters(deployed.dead_letters)
    ]
    assert sorted(notes, key=lambda note: note[1]["message_id"]) == [
        (
            '{"specversion":"1.0"',
            {
                "reason": "the same id was received before with other content",
                "function": "archive",
                "message_id": IDS.format(5),
                "receives": "1",
            },
        ),
        (
            '{"specversion":"1.0"',
            {
                "reason": "type is not one of device-agent.readings.v1, device-agent.reading.v1, device-agent.notice.v1; "
                "a newer agent needs newer functions",
                "function": "archive",
                "message_id": IDS.format(6),
                "receives": "3",
            },
        ),
    ]


def test_archive_again_lands_nothing_twice(deployed: Any, event: Callable[[str], dict[str, Any]]) -> None:
    archive.handler(event("telemetry.json"), Context())
    before, ledger = deployed.objects(), deployed.items(deployed.ledger)
    assert failures(archive.handler(event("telemetry.json"), Context())) == [IDS.format(4)]
    assert deployed.objects() == before
    assert deployed.items(deployed.ledger) == ledger


def test_archive_tells_counts_and_reasons_but_no_payload(
    deployed: Any, event: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    archive.handler(event("telemetry.json"), Context())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [counts] = [line for line in lines if "_aws" in line]
    names = ("Messages", "Landed", "Duplicates", "SetAside", "FailedMessages", "Conflicts", "Undecodable", "Notices", "Readings", "Objects")
    assert [counts[name] for name in names] == [[6.0], [3.0], [0.0], [2.0], [1.0], [1.0], [2.0], [1.0], [4.0], [1.0]]
    assert [dimensions for directive in counts["_aws"]["CloudWatchMetrics"] for dimensions in directive["Dimensions"]] == [["service"]]
    assert "value" not in json.dumps([line for line in lines if "_aws" not in line])
    assert "Hello" not in json.dumps(lines)


def test_state_applies_in_order_and_stops_a_group_at_its_first_failure(deployed: Any, event: Callable[[str], dict[str, Any]]) -> None:
    assert failures(state.handler(event("events.json"), Context())) == [IDS.format(13), IDS.format(14)]
    assert states(deployed) == {
        ("board-7", "stream|events"): (1, 2, None),
        ("board-7", "topic|events|lamp"): (1, 2, "off"),
        ("board-8", "stream|events"): (1, 5, None),
        ("board-8", "topic|events|door"): (1, 5, "2"),
    }
    assert sum(map(len, lake_rows(deployed).values())) == 5, "all five readings are landed, applied or not"


def test_state_goes_on_when_the_poison_is_set_aside(
    deployed: Any, event: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLQ_URL", deployed.dead_letters_fifo)
    batch = event("events.json")
    state.handler(batch, Context())
    batch["Records"][2]["attributes"]["ApproximateReceiveCount"] = "3"
    assert failures(state.handler(batch, Context())) == []
    assert states(deployed)["board-7", "topic|events|lamp"] == (1, 3, "on")
    [letter] = deployed.letters(deployed.dead_letters_fifo)
    assert (letter["Body"], letter["MessageAttributes"]["reason"]["StringValue"]) == ("Hello", "body is not JSON")
    assert (letter["Attributes"]["MessageGroupId"], letter["Attributes"]["MessageDeduplicationId"]) == ("board-7.events", IDS.format(13))


def test_a_missing_table_fails_every_message_and_raises_nothing(
    deployed: Any, event: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_TABLE", "nowhere")
    batch = event("telemetry.json")
    batch["Records"] = batch["Records"][:3]
    assert failures(archive.handler(batch, Context())) == [record["messageId"] for record in batch["Records"]]
    assert deployed.objects() == {}


def test_an_empty_batch_is_answered(deployed: Any) -> None:
    assert archive.handler({"Records": []}, Context()) == {"batchItemFailures": []}
    assert state.handler({"Records": []}, Context()) == {"batchItemFailures": []}


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(KeyError, match="LEDGER_TABLE"):
        runtime.Settings.from_environment({"LAKE_BUCKET": "lake", "DLQ_URL": "url"})


def states(aws: Any) -> dict[tuple[str, str], tuple[int, int, str | None]]:
    return {
        (item["pk"]["S"], item["sk"]["S"]): (int(item["ordinal"]["N"]), int(item["seq"]["N"]), item.get("data", {}).get("S"))
        for item in aws.items(aws.state)
    }
