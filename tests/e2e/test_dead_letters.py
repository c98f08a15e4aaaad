"""Dead letters through the deployed functions: poison is buried with its reason, found, and sent back; what was mended lands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agent.cli import main
from device_agent.wire.envelope import encode_reading
from localcloud import LocalCloud
from localcloud.demo import books

pytestmark = pytest.mark.e2e

EPOCH = "0123456789abcdef"


@pytest.fixture
def device() -> str:
    return f"poison-{time.time_ns()}"


@pytest.fixture
def operator(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `device-agent` as an operator would, against the local cloud; returns (exit code, standard output)."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    names = ("region", "telemetry_queue_url", "events_queue_url", "telemetry_dead_letter_queue_url", "events_dead_letter_queue_url",
             "ledger_table", "state_table")  # fmt: skip
    outputs = tmp_path / "outputs.json"
    values = {"".join(part.capitalize() for part in name.split("_")): getattr(cloud.outputs, name) for name in names}
    outputs.write_text(json.dumps({"stack": values}))

    def run(*words: str) -> tuple[int, str]:
        code = main([*words, "--outputs", str(outputs), "--endpoint-url", cloud.endpoint_url])
        return code, capsys.readouterr().out

    return run


def wait_for(what: Callable[[], Any], seconds: float = 120) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not come in time"
        time.sleep(0.3)
    return found


def reading(device: str, seq: int, payload: bytes, *, stream: str = "events") -> str:
    return encode_reading(
        device=device, stream=stream, epoch=EPOCH, seq=seq, agent="test", received=1_795_000_000_000_000 + seq, synced=True,
        topic="door", payload=payload,
    )  # fmt: skip


def send(cloud: LocalCloud, queue: str, text: str, device: str) -> None:
    order = {"MessageGroupId": f"{device}.events", "MessageDeduplicationId": str(time.time_ns())} if queue.endswith(".fifo") else {}
    cloud.client("sqs").send_message(QueueUrl=queue, MessageBody=text, **order)


def hurry(cloud: LocalCloud, queue: str) -> None:
    """Let what failed come back now: a test does not wait for the visibility timeout."""
    cloud.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})


@pytest.fixture
def impatient(cloud: LocalCloud) -> Any:
    queues = {cloud.outputs.telemetry_queue_url: "380", cloud.outputs.events_queue_url: "180"}
    for queue in queues:
        hurry(cloud, queue)
    yield
    for queue, seconds in queues.items():
        cloud.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": seconds})


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["telemetry", "events"])
def test_poison_is_buried_with_its_reason_listed_and_comes_back_when_it_is_redriven_unmended(
    cloud: LocalCloud, operator: Callable[..., Any], device: str, kind: str
) -> None:
    queue = getattr(cloud.outputs, f"{kind}_queue_url")
    poison = json.dumps({"specversion": "1.0", "type": "device-agent.readings.v99", "device": device, "stream": "events"})
    send(cloud, queue, poison, device)

    def buried() -> Any:
        _, out = operator("deadletters", "show", "--queue", kind, "--device", device, "--json")
        return [json.loads(line) for line in out.splitlines()]

    [letter] = wait_for(buried)
    assert (letter["body"], letter["stream"], letter["rows"]) == (poison, "events", [])
    assert letter["receives"] == 3
    assert letter["function"] == ("archive" if kind == "telemetry" else "state")
    assert "newer agent needs newer functions" in letter["reason"]
    code, out = operator("deadletters", "list", "--queue", kind, "--device", device)
    assert code == 1
    assert device in out

    code, out = operator("deadletters", "redrive", "--queue", kind, "--device", device)
    assert code == 0
    [again] = wait_for(buried)  # nobody mended it
    assert again["id"] != letter["id"]
    assert again["body"] == poison


def test_a_conflict_is_set_aside_and_what_the_lake_has_stays(cloud: LocalCloud, operator: Callable[..., Any], device: str) -> None:
    def rows() -> list[dict[str, Any]]:
        return [row for row in books.raw_rows(cloud) if row["device"] == device]

    send(cloud, cloud.outputs.telemetry_queue_url, reading(device, 1, b'"one"', stream="telemetry"), device)
    wait_for(rows)
    send(cloud, cloud.outputs.telemetry_queue_url, reading(device, 1, b'"two"', stream="telemetry"), device)

    def buried() -> Any:
        return operator("deadletters", "show", "--queue", "telemetry", "--device", device, "--json")[1]

    letter = json.loads(wait_for(buried))
    assert [row["data"] for row in letter["rows"]] == ['"two"']
    assert [row["data"] for row in rows()] == ['"one"']


def test_late_events_from_the_dead_letter_queue_land_and_leave_newer_state_alone(
    cloud: LocalCloud, operator: Callable[..., Any], device: str
) -> None:
    def state() -> Any:
        code, out = operator("fleet", "show", device, "--json")
        return json.loads(out) if code == 0 else None

    dead = cloud.outputs.events_dead_letter_queue_url
    for seq in (2, 3):  # as SQS buries them when the function fails a hundred times
        send(cloud, dead, reading(device, seq, b'"ajar"'), device)
    for seq, value in ((1, b'"closed"'), (4, b'"locked"')):
        send(cloud, cloud.outputs.events_queue_url, reading(device, seq, value), device)
    wait_for(lambda: (found := state()) and found["streams"][0]["seq"] == 4 and found["values"])
    before = wait_for(lambda: (found := state()) and found["values"][0]["seq"] == 4 and found)

    code, out = operator("deadletters", "redrive", "--queue", "events", "--device", device)
    assert code == 0, out
    found = wait_for(lambda: len(rows := [row for row in books.raw_rows(cloud) if row["device"] == device]) == 4 and rows)
    assert sorted(row["seq"] for row in found) == [1, 2, 3, 4]
    assert state()["values"] == before["values"]
    assert before["values"][0]["data"] == '"locked"'
