"""Fleet over ledger and state table as landing and state leave them."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from device_agent.cli.commands import fleet as command
from device_agent.cli.parser import make_parser
from device_agent.errors import ConfigError
from device_agent.operate.fleet import CLAIM_SECONDS, Fleet
from device_agent.wire import ledger
from lambdas.landing.batch import CLAIM_DAYS, Landing
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.messages import decoded
from lambdas.landing.retry import Retrying
from lambdas.landing.s3 import LakeBucket
from lambdas.state import Applier
from lambdas.state_table import StateTable
from tests.lambdas.fakes import FakeAside
from tests.lambdas.samples import E1, E2, body, message, notice


def run_state(aws: Any, *texts: str, now: float | None = None) -> None:
    """Land and apply, as the function `state` does, at a time of the test's choice."""
    call, moment = Retrying(sleep=lambda _: None, random=lambda: 0.0), now or time.time()
    with ThreadPoolExecutor(1) as pool:  # moto is not safe between threads
        landing = Landing(
            ledger=LedgerTable(aws.dynamodb, aws.ledger, call), lake=LakeBucket(aws.s3, aws.lake, call), aside=FakeAside(),
            pool=pool, now=lambda: moment, new_run=lambda: f"{time.time_ns():032x}",
        )  # fmt: skip
        arrivals = list(decoded(map(message, texts)))
        report = landing.land(arrivals, deadline=moment + 60)
        applier = Applier(states=StateTable(aws.dynamodb, aws.state, call), pool=pool, now=lambda: moment)
        failed, _, why = applier.apply(arrivals, report.settled, deadline=moment + 60)
        assert not failed, why


@pytest.fixture
def fleet(aws: Any) -> Fleet:
    return Fleet(aws.dynamodb, ledger=aws.ledger, state=aws.state)


def test_claims_live_as_long_as_landing_says() -> None:
    assert CLAIM_DAYS * 86_400 == CLAIM_SECONDS


def test_every_device_and_stream_is_listed_with_its_newest_epoch(aws: Any, fleet: Fleet) -> None:
    run_state(aws, body(1, [b"x"] * 5), body(6, [b"x"] * 5), body(1, [b"x"], stream="events"))
    run_state(aws, body(1, [b"x"] * 3, epoch=E2), *(body(1, [b"x"], device=f"board-{number}") for number in range(20, 60)))
    found = {(one.device, one.stream): (one.epoch, one.lives, one.seq) for one in fleet.devices()}
    assert len(found) == 42
    assert found["board-7", "telemetry"] == (E2, 2, 3)
    assert found["board-7", "events"] == (E1, 1, 1)
    assert [one.stream for one in fleet.devices(device="board-7")] == ["events", "telemetry"]
    assert [one.stream for one in fleet.devices(device="board-7", stream="events")] == ["events"]


def test_last_seen_is_when_the_newest_claim_was_made_by_the_clouds_clock(aws: Any, fleet: Fleet) -> None:
    run_state(aws, body(1, [b"x"], received=0), now=1_800_000_000)
    run_state(aws, body(2, [b"x"], received=0, synced=False), now=1_800_000_777)
    [one] = fleet.devices()
    assert (one.seq, one.seen) == (2, 1_800_000_777)


def test_a_device_whose_claims_are_folded_and_gone_was_seen_long_ago(aws: Any, fleet: Fleet) -> None:
    run_state(aws, body(1, [b"x"] * 5))
    line = ledger.Line("board-7", "telemetry", E1)
    for item in aws.items(aws.ledger):
        if item["sk"]["S"].startswith(ledger.CLAIM):
            aws.dynamodb.delete_item(TableName=aws.ledger, Key={"pk": item["pk"], "sk": item["sk"]})
    ranges = {"ranges": {"S": "1-500,700-709"}}
    aws.dynamodb.put_item(TableName=aws.ledger, Item={"pk": {"S": line.pk}, "sk": {"S": ledger.folded_sk(0)}, **ranges})
    [one] = fleet.devices()
    assert (one.seq, one.seen) == (709, None)


def test_a_device_that_only_sent_a_notice_is_there(aws: Any, fleet: Fleet) -> None:
    run_state(aws, notice(1, 9))
    [one] = fleet.devices()
    assert (one.seq, one.seen) == (0, None)


def test_values_are_the_newest_of_each_topic_whatever_they_hold(aws: Any, fleet: Fleet) -> None:
    run_state(
        aws,
        body(1, [b"21.5", b"\xff", [b"a", b"b"], b"plain", b"22"], stream="events", topics=["room", "raw", "framed", None, "room"]),
        body(6, [b"x|y"], stream="events", topics="a|b", synced=False, client="key"),
    )
    found = {one.topic: (one.kind, one.value, one.seq) for one in fleet.values("board-7")}
    assert found == {
        "room": ("data", "22", 5),
        "raw": ("data_base64", "/w==", 2),
        "framed": ("frames", ["YQ==", "Yg=="], 3),
        None: ("data", "plain", 4),
        "a|b": ("data", "x|y", 6),
    }
    [odd] = [one for one in fleet.values("board-7") if one.topic == "a|b"]
    assert (odd.stream, odd.clock, odd.client) == ("events", "unsynced", "key")
    assert fleet.values("board-8") == []


# The command


@pytest.fixture
def outputs(aws: Any, tmp_path: Path) -> Path:
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps({"stack": {"Region": "us-east-1", "LedgerTable": aws.ledger, "StateTable": aws.state}}))
    return path


def run(*words: str) -> int:
    return command.run(make_parser(["fleet"]).parse_args(["fleet", *words]))


def test_ls_lists_and_finds_what_has_gone_silent(aws: Any, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_state(aws, body(1, [b"x"], device="loud"))
    run_state(aws, body(1, [b"x"], device="silent"), now=time.time() - 7200)
    assert run("ls", "--outputs", str(outputs)) == 0
    out = capsys.readouterr().out
    assert "just now" in out
    assert "2 h ago" in out
    assert run("ls", "--outputs", str(outputs), "--silent", "1h", "--json") == 0
    assert [one["device"] for one in json.loads(capsys.readouterr().out)] == ["silent"]


def test_show_has_the_latest_values_and_cannot_be_made_to_write_to_the_terminal(
    aws: Any, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_state(aws, body(1, [b'{"celsius":21.5}', b"\x1b[31m"], stream="events", topics=["room", "\x1b[2J"]))
    assert run("show", "board-7", "--outputs", str(outputs)) == 0
    out = capsys.readouterr().out
    assert '{"celsius":21.5}' in out
    assert "\x1b" not in out
    assert run("show", "board-7", "--outputs", str(outputs), "--json") == 0
    assert json.loads(capsys.readouterr().out)["values"][1]["data"] == '{"celsius":21.5}'


def test_a_device_that_nobody_knows_is_said_so(aws: Any, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "nobody", "--outputs", str(outputs)) == 1
    assert "no device 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("show",), ("ls", "board-7"), ("ls", "--silent", "1 fortnight"), ("ls",)])
def test_wrong_usage_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        run(*words)
