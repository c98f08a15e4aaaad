"""Dead letters in process: looking changes nothing, a redrive loses and doubles nothing, and late letters leave newer state alone."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from device_agent.cli.commands import deadletters as command
from device_agent.cli.parser import make_parser
from device_agent.errors import ConfigError
from device_agent.operate.deadletters import DeadLetterQueue
from device_agent.operate.letters import Choice, Letter
from lambdas.landing.batch import Landing, Verdict
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.messages import Message, decoded
from lambdas.landing.retry import Retrying
from lambdas.landing.s3 import LakeBucket
from lambdas.landing.sqs import DeadLetters
from lambdas.state import Applier
from lambdas.state_table import StateTable
from tests.lambdas.samples import E2, body, message, notice


@pytest.fixture
def queues(aws: Any) -> dict[str, str]:
    """The two queues in front of the two dead-letter queues."""
    made = {"telemetry": aws.dead_letters, "events": aws.dead_letters_fifo}
    for name, dead in list(made.items()):
        arn = aws.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        attributes = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 50})}
        suffix = ".fifo" if name == "events" else ""
        if suffix:
            attributes |= {"FifoQueue": "true"}
        made[f"{name} source"] = aws.sqs.create_queue(QueueName=f"{name}{suffix}", Attributes=attributes)["QueueUrl"]
    return made


def bury(aws: Any, url: str, letter: Message, reason: str = "body is not JSON") -> None:
    DeadLetters(aws.sqs, url, Retrying(sleep=lambda _: None, random=lambda: 0.0), function="archive").set_aside(letter, reason)


def dead(aws: Any, url: str) -> DeadLetterQueue:
    return DeadLetterQueue(aws.sqs, url, wait=0)


def bodies(aws: Any, url: str) -> list[str]:
    found = []
    while batch := aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]).get("Messages", []):
        found += [one["Body"] for one in batch]
        for one in batch:
            aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    return found


def test_a_look_says_who_sent_what_and_why_it_is_here(aws: Any) -> None:
    bury(aws, aws.dead_letters, message(body(1, [b"a"]), receives=3), "same id, other content")
    bury(aws, aws.dead_letters, message("rubbish", receives=4))
    first, second = dead(aws, aws.dead_letters).look().letters
    assert (first.sender(), first.reason, first.receives, first.note("function")) == (
        ("board-7", "telemetry"), "same id, other content", 3, "archive",
    )  # fmt: skip
    assert (second.sender(), second.reason, second.receives) == (("?", "?"), "body is not JSON", 4)


def test_looking_gives_every_letter_back_at_once_and_deletes_nothing(aws: Any) -> None:
    for number in range(23):
        bury(aws, aws.dead_letters, message(f"rubbish {number}"))
    queue = dead(aws, aws.dead_letters)
    for _ in range(2):
        look = queue.look()
        assert (len({letter.id for letter in look.letters}), look.unseen) == (23, 0)
    assert {letter.looks for letter in look.letters} == {2}  # one receive a letter and look


def test_a_look_ends_at_its_limit_and_says_how_much_it_did_not_see(aws: Any) -> None:
    for number in range(12):
        bury(aws, aws.dead_letters, message(f"rubbish {number}"))
    look = dead(aws, aws.dead_letters).look(limit=5)
    assert (len(look.letters), look.unseen) == (5, 7)


def test_of_a_message_group_a_look_sees_ten_and_counts_the_rest(aws: Any) -> None:
    for number in range(13):
        bury(aws, aws.dead_letters_fifo, message(f"rubbish {number}", group="board-7.events"))
    look = dead(aws, aws.dead_letters_fifo).look()
    assert ([letter.body for letter in look.letters], look.unseen) == ([f"rubbish {number}" for number in range(10)], 3)
    assert look.letters[0].sender() == ("board-7", "events")


@pytest.mark.parametrize("text", ["", "null", "[]", '{"device":5}', '{"device":"\\u001b[31m","stream":"events"}', "\x1b[31m", "{" * 9999])
def test_whatever_a_body_holds_its_sender_is_a_name_or_unknown(text: str) -> None:
    letter = Letter(id="1", body=text, receipt="r", sent=0, looks=1, group="\x1b.\x1b", attributes={})
    device, stream = letter.sender()
    assert device == "?"
    assert stream in {"?", "events"}
    assert letter.reason


def test_a_redrive_sends_bodies_unchanged_and_leaves_the_notes_behind(aws: Any, queues: dict[str, str]) -> None:
    texts = [body(1, [b"\xff\x00"]), notice(5, 9), "rubbish ☃"]
    for text in texts:
        bury(aws, queues["telemetry"], message(text))
    queue = dead(aws, queues["telemetry"])
    assert queue.source() == queues["telemetry source"]
    done = queue.send_back(queue.source())
    assert (done.moved, done.failed, queue.count()) == (3, 0, 0)
    answer = aws.sqs.receive_message(QueueUrl=queues["telemetry source"], MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    assert [one["Body"] for one in answer["Messages"]] == texts
    assert not any(one.get("MessageAttributes") for one in answer["Messages"])


def test_a_redrive_keeps_message_groups_and_the_order_within_them(aws: Any, queues: dict[str, str]) -> None:
    for number in range(25):
        for device in ("a", "b"):
            bury(aws, queues["events"], message(f"{device} {number}", group=f"{device}.events"))
    assert dead(aws, queues["events"]).send_back(queues["events source"]).moved == 50
    found = bodies(aws, queues["events source"])
    for device in ("a", "b"):
        assert [text for text in found if text[0] == device] == [f"{device} {number}" for number in range(25)]


def test_only_the_chosen_letters_go_back_and_the_others_are_there_at_once(aws: Any, queues: dict[str, str]) -> None:
    for device in ("a", "b"):
        for number in range(3):
            bury(aws, queues["telemetry"], message(body(number + 1, [b"x"], device=device)))
    queue = dead(aws, queues["telemetry"])
    done = queue.send_back(queues["telemetry source"], choice=Choice(device="b"))
    assert (done.moved, done.failed) == (3, 0)
    assert {letter.sender()[0] for letter in queue.look().letters} == {"a"}


class Broken:
    """A client whose operations fail, or end the process, when the test says so."""

    def __init__(self, client: Any, fate: Callable[[str, dict[str, Any]], None]) -> None:
        self._client = client
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self._fate(name, arguments)
            return getattr(self._client, name)(**arguments)

        return call


def refused() -> ClientError:
    return ClientError({"Error": {"Code": "InternalError", "Message": "not today"}}, "SendMessage")


def test_after_a_failure_the_rest_of_the_group_stays_in_order_and_other_groups_go_on(aws: Any, queues: dict[str, str]) -> None:
    for number in range(5):
        for device in ("a", "b"):
            bury(aws, queues["events"], message(f"{device} {number}", group=f"{device}.events"))

    def fate(name: str, arguments: dict[str, Any]) -> None:
        if name == "send_message" and arguments["MessageBody"] == "a 2":
            raise refused()

    done = DeadLetterQueue(Broken(aws.sqs, fate), queues["events"], wait=0).send_back(queues["events source"])
    assert (done.moved, done.failed, len(done.reasons)) == (7, 3, 1)
    assert "not today" in done.reasons[0]
    assert dead(aws, queues["events"]).send_back(queues["events source"]).moved == 3
    found = bodies(aws, queues["events source"])
    assert [text for text in found if text[0] == "a"] == [f"a {number}" for number in range(5)]


def test_when_nothing_can_be_sent_it_gives_up_early_and_leaves_everything(aws: Any, queues: dict[str, str]) -> None:
    for number in range(25):
        bury(aws, queues["telemetry"], message(f"rubbish {number}"))
    tried = []

    def fate(name: str, arguments: dict[str, Any]) -> None:
        if name == "send_message":
            tried.append(1)
            raise refused()

    done = DeadLetterQueue(Broken(aws.sqs, fate), queues["telemetry"], wait=0).send_back(queues["telemetry source"])
    assert (done.moved, len(tried)) == (0, 10)
    assert dead(aws, queues["telemetry"]).look().unseen == 0


@pytest.mark.parametrize("kind", ["telemetry", "events"])
def test_a_crash_between_send_and_delete_loses_nothing_and_what_is_doubled_lands_once(aws: Any, queues: dict[str, str], kind: str) -> None:
    for number in range(6):
        bury(aws, queues[kind], message(body(number * 10 + 1, [b"x"] * 10), group="board-7.telemetry"))
    deletes = []

    def fate(name: str, arguments: dict[str, Any]) -> None:
        if name == "delete_message":
            deletes.append(1)
            if len(deletes) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DeadLetterQueue(Broken(aws.sqs, fate), queues[kind], wait=0).send_back(queues[f"{kind} source"])
    dead(aws, queues[kind]).send_back(queues[f"{kind} source"])
    found = bodies(aws, queues[f"{kind} source"])
    assert len(set(found)) == 6
    assert len(found) == (6 if kind == "events" else 7)  # FIFO: the letter's own deduplication id swallows the second
    assert land(aws, *found) == 60


def test_two_contents_of_one_envelope_id_both_go_back(aws: Any, queues: dict[str, str]) -> None:
    for text in (body(1, [b"one"]), body(1, [b"two"])):
        bury(aws, queues["events"], message(text, group="board-7.events"))
    dead(aws, queues["events"]).send_back(queues["events source"])
    assert len(bodies(aws, queues["events source"])) == 2


def test_a_letter_that_is_buried_again_can_be_sent_back_again(aws: Any, queues: dict[str, str]) -> None:
    bury(aws, queues["events"], message("rubbish", group="board-7.events"))
    for _ in range(3):  # within the five minutes of deduplication
        assert dead(aws, queues["events"]).send_back(queues["events source"]).moved == 1
        assert bodies(aws, queues["events source"]) == ["rubbish"]
        bury(aws, queues["events"], message("rubbish", group="board-7.events"))


def landing(aws: Any, pool: ThreadPoolExecutor) -> Landing:
    call = Retrying(sleep=lambda _: None, random=lambda: 0.0)
    return Landing(
        ledger=LedgerTable(aws.dynamodb, aws.ledger, call), lake=LakeBucket(aws.s3, aws.lake, call),
        aside=DeadLetters(aws.sqs, aws.dead_letters_fifo, call, function="state"), pool=pool, now=time.time,
        new_run=lambda: f"{time.time_ns():032x}",
    )  # fmt: skip


def land(aws: Any, *texts: str) -> int:
    """Land each text in an invocation of its own; return how many readings the lake has."""
    with ThreadPoolExecutor(1) as pool:  # moto is not safe between threads
        reports = [landing(aws, pool).land(decoded([message(text)]), deadline=time.time() + 60) for text in texts]
    assert {one.verdict for report in reports for one in report.settled} <= {Verdict.LANDED, Verdict.DUPLICATE}
    return sum(report.readings for report in reports)


def apply(aws: Any, *texts: str) -> None:
    call = Retrying(sleep=lambda _: None, random=lambda: 0.0)
    with ThreadPoolExecutor(1) as pool:
        states = StateTable(aws.dynamodb, aws.state, call)
        for text in texts:
            arrivals = list(decoded([message(text, group="board-7.events")]))
            report = landing(aws, pool).land(arrivals, deadline=time.time() + 60)
            failed, _, _ = Applier(states=states, pool=pool, now=time.time).apply(arrivals, report.settled, deadline=time.time() + 60)
            assert failed == []


def test_late_letters_reach_the_lake_and_leave_newer_state_alone(aws: Any, queues: dict[str, str]) -> None:
    def event(first: int, value: bytes, **more: Any) -> str:
        return body(first, [value], stream="events", topics="door", **more)

    apply(aws, event(1, b"closed"))
    for letter in (event(2, b"ajar"), event(3, b"open")):
        bury(aws, queues["events"], message(letter, group="board-7.events"), "its function failed")
    apply(aws, event(4, b"locked"), event(1, b"sealed", epoch=E2))  # meanwhile: newer readings, even a newer epoch
    before = aws.items(aws.state)

    dead(aws, queues["events"]).send_back(queues["events source"])
    apply(aws, *bodies(aws, queues["events source"]))

    assert aws.items(aws.state) == before
    [value] = [item["data"]["S"] for item in before if item["sk"]["S"].startswith("topic|")]
    assert value == "sealed"
    assert len(aws.objects()) == 5


class Tasks:
    """The part of SQS that neither moto nor MiniStack has."""

    def __init__(self, client: Any, *states: dict[str, Any], error: Exception | None = None) -> None:
        self._client, self._states, self._error = client, list(states), error
        self.started: dict[str, Any] = {}

    def start_message_move_task(self, **arguments: Any) -> dict[str, str]:
        if self._error:
            raise self._error
        self.started = arguments
        return {"TaskHandle": "handle"}

    def list_message_move_tasks(self, **_: Any) -> dict[str, Any]:
        return {"Results": [self._states.pop(0)]}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def task(status: str, moved: int, **more: Any) -> dict[str, Any]:
    return {"Status": status, "ApproximateNumberOfMessagesMoved": moved, "ApproximateNumberOfMessagesToMove": 7, **more}


def test_where_sqs_can_move_letters_itself_it_is_told_where_to(aws: Any, queues: dict[str, str]) -> None:
    tasks = Tasks(aws.sqs, task("RUNNING", 3), task("COMPLETED", 7))
    seen: list[int] = []
    done = DeadLetterQueue(tasks, queues["events"]).move(queues["events source"], wait=lambda: None, progress=seen.append)
    assert done is not None
    assert (done.moved, done.failed, seen) == (7, 0, [3, 7])
    assert tasks.started["DestinationArn"].endswith(":events.fifo")


def test_a_move_task_that_fails_says_why(aws: Any, queues: dict[str, str]) -> None:
    tasks = Tasks(aws.sqs, task("FAILED", 2, FailureReason="AccessDenied"))
    done = DeadLetterQueue(tasks, queues["events"]).move(queues["events source"], wait=lambda: None, progress=lambda _: None)
    assert done is not None
    assert (done.moved, done.failed) == (2, 5)
    assert "AccessDenied" in done.reasons[0]


def test_where_there_are_no_move_tasks_it_says_so_and_other_refusals_are_raised(aws: Any, queues: dict[str, str]) -> None:
    assert dead(aws, queues["events"]).move(queues["events source"], wait=lambda: None, progress=lambda _: None) is None
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "StartMessageMoveTask")
    with pytest.raises(ClientError, match="AccessDenied"):
        DeadLetterQueue(Tasks(aws.sqs, error=denied), queues["events"]).move(
            queues["events source"], wait=lambda: None, progress=lambda _: None
        )


# The command


@pytest.fixture
def outputs(aws: Any, queues: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(DeadLetterQueue.__init__.__kwdefaults__, "wait", 0)
    path = tmp_path / "outputs.json"
    names = {
        "Region": "us-east-1",
        "TelemetryDeadLetterQueueUrl": queues["telemetry"],
        "TelemetryQueueUrl": queues["telemetry source"],
        "EventsDeadLetterQueueUrl": queues["events"],
        "EventsQueueUrl": queues["events source"],
    }
    path.write_text(json.dumps({"stack": names}))
    return path


def run(*words: str) -> int:
    args: argparse.Namespace = make_parser(["deadletters"]).parse_args(["deadletters", *words])
    return command.run(args)


def test_list_says_what_lies_where_and_is_quiet_when_there_is_nothing(aws: Any, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--outputs", str(outputs)) == 0
    assert "no dead letters" in capsys.readouterr().out
    for number in range(3):
        bury(aws, aws.dead_letters, message(body(number + 1, [b"x"])), "other content\x1b[31m")
    assert run("list", "--outputs", str(outputs)) == 1
    out = capsys.readouterr().out
    assert "board-7" in out
    assert "other content" in out
    assert "\x1b" not in out
    assert run("list", "--outputs", str(outputs), "--json") == 1
    assert json.loads(capsys.readouterr().out)["telemetry"]["kinds"][0]["letters"] == 3


def test_show_decodes_what_can_be_decoded(aws: Any, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bury(aws, aws.dead_letters, message(body(8, [b"21.5"], topics="room")), "other content")
    bury(aws, aws.dead_letters, message("rubbish\x1b[31m" * 100))
    assert run("show", "--outputs", str(outputs), "--queue", "telemetry") == 0
    out = capsys.readouterr().out
    assert '"seq": 8' in out
    assert '"data": "21.5"' in out
    assert "decoded   no: body is not JSON" in out
    assert "\x1b" not in out
    assert run("show", "--outputs", str(outputs), "--reason", "no such") == 1


def test_export_writes_letters_to_the_letter_and_deletes_only_when_told(aws: Any, outputs: Path, tmp_path: Path) -> None:
    texts = [f"rubbish {number} \u2603" for number in range(13)]
    for text in texts:
        bury(aws, aws.dead_letters_fifo, message(text, group="board-7.events"))
    file = tmp_path / "letters.ndjson"
    words = ("export", "--outputs", str(outputs), "--queue", "events", "--output", str(file))
    assert run(*words) == 1  # three were hidden behind the first ten of their group
    assert len(file.read_text().splitlines()) == 10
    file.unlink()
    assert run(*words, "--delete") == 0
    assert [json.loads(line)["body"] for line in file.read_text().splitlines()] == texts
    assert dead(aws, aws.dead_letters_fifo).count() == 0


def test_redrive_sends_everything_back(aws: Any, outputs: Path, queues: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    bury(aws, queues["telemetry"], message("one"))
    bury(aws, queues["events"], message("two", group="board-7.events"))
    assert run("redrive", "--outputs", str(outputs)) == 0
    assert (bodies(aws, queues["telemetry source"]), bodies(aws, queues["events source"])) == (["one"], ["two"])
    assert "sent back" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("list", "--outputs", "/nonexistent"),
        ("export", "--outputs", "o", "--delete"),
        ("export", "--outputs", "o", "--delete", "--output", "f", "--device", "d"),
        ("redrive", "--outputs", "o", "--delete", "--output", "f"),
        ("list", "--outputs", "o", "--limit", "0"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_asked(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        run(*words)
