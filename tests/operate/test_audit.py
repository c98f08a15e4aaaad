"""Audit over ledger and lake as landing leaves them, whole and spoilt on purpose."""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from device_agent.cli.commands import audit as command
from device_agent.errors import ConfigError, DeviceAgentError
from device_agent.operate.audit import Choice, Clients, audit
from device_agent.operate.books import Books
from device_agent.operate.fleet import CLAIM_SECONDS
from device_agent.wire import ledger
from device_agent.wire.ranges import Ranges
from lambdas.close_day import Night
from lambdas.closing.dynamodb import ClosingTable
from lambdas.closing.s3 import DayListing
from lambdas.landing.batch import Landing, Verdict
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.messages import decoded
from lambdas.landing.ports import Claim, Commit
from lambdas.landing.retry import Retrying
from lambdas.landing.s3 import LakeBucket
from tests.lambdas.fakes import FakeAside
from tests.lambdas.samples import E1, E2, body, message, notice

LINE = ledger.Line("board-7", "telemetry", E1)
KEY = ledger.lake_key("telemetry", "2026-01-31", "f" * 32)


@pytest.fixture
def land(aws: Any) -> Callable[..., None]:
    call = Retrying(sleep=lambda _: None, random=lambda: 0.0)

    def land(*texts: str) -> None:
        with ThreadPoolExecutor(1) as pool:  # moto is not safe between threads
            landing = Landing(
                ledger=LedgerTable(aws.dynamodb, aws.ledger, call),
                lake=LakeBucket(aws.s3, aws.lake, call),
                aside=FakeAside(),
                pool=pool,
                now=time.time,
                new_run=lambda: f"{time.time_ns():032x}",
            )
            report = landing.land(decoded(map(message, texts)), deadline=time.time() + 60)
            assert {settled.verdict for settled in report.settled} <= {Verdict.LANDED, Verdict.DUPLICATE}

    return land


def read(aws: Any, *, deep: bool = False, **choice: Any) -> Books:
    return audit(Clients(aws.dynamodb, aws.s3), ledger=aws.ledger, lake=aws.lake, choice=Choice(**choice), deep=deep)


def lines(books: Books) -> dict[tuple[str, str, int], Any]:
    return {(one.line.device, one.line.stream, one.ordinal): one.received for one in books.lines}


def claim(aws: Any, first: int, last: int, key: str = KEY, *, days_ago: float = 0) -> None:
    expires = int(time.time() - days_ago * 86_400) + CLAIM_SECONDS
    table = LedgerTable(aws.dynamodb, aws.ledger, Retrying(sleep=lambda _: None, random=lambda: 0.0))
    table.register(LINE)
    assert table.claim(Claim(line=LINE, first=first, last=last, digest="d", key=key, lease=1, expires=expires)) is None


def test_nothing_received_is_no_books(aws: Any) -> None:
    assert read(aws, deep=True).lines == ()
    assert read(aws).balanced


def test_what_was_landed_is_received(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a", b"b"]), body(3, [b"c"]), body(1, [b"x"], device="board-8"), body(1, [b"y"], stream="events"))
    land(body(1, [b"z"], epoch=E2), body(3, [b"c"]))
    found = read(aws, deep=True)
    assert lines(found) == {
        ("board-7", "events", 1): ((1, 1),),
        ("board-7", "telemetry", 1): ((1, 3),),
        ("board-7", "telemetry", 2): ((1, 1),),
        ("board-8", "telemetry", 1): ((1, 1),),
    }
    assert found.balanced
    assert found.lake is not None
    assert found.lake.rows == 6


def test_one_device_or_stream_is_read_alone(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]), body(1, [b"x"], device="board-77"), body(1, [b"y"], stream="events"))
    assert set(lines(read(aws, device="board-7", deep=True))) == {("board-7", "events", 1), ("board-7", "telemetry", 1)}
    assert set(lines(read(aws, stream="events", deep=True))) == {("board-7", "events", 1)}
    assert read(aws, device="board-7", stream="events", deep=True).balanced
    assert lines(read(aws, device="board-9")) == {}


def test_one_epoch_is_read_alone(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]), body(4, [b"z"], epoch=E2))
    assert lines(read(aws, epoch=E1, deep=True)) == {("board-7", "telemetry", 1): ((1, 1),)}
    assert read(aws, epoch=E1, deep=True).balanced
    assert not read(aws, epoch=E2).balanced


def test_a_time_picks_what_came_in_it_and_what_is_missing_below_that(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]), body(3, [b"c"]))
    long_ago = int(time.time()) - 2 * 86_400
    for item in aws.items(aws.ledger):
        if item["sk"]["S"].startswith(ledger.CLAIM):
            expires = {"N": str(long_ago + CLAIM_SECONDS)}
            aws.dynamodb.put_item(TableName=aws.ledger, Item={**item, "expires": expires})
    land(body(6, [b"f"]), body(9, [b"i"]), body(1, [b"x"], device="board-8"))
    now = time.time()
    [today, other] = read(aws, since=now - 3_600).lines
    assert (today.received, today.missing) == (((6, 6), (9, 9)), ((4, 5), (7, 8)))
    assert other.received == ((1, 1),)
    [before] = read(aws, since=now - 3 * 86_400, until=now - 86_400).lines
    assert (before.received, before.missing) == (((1, 1), (3, 3)), ((2, 2),))
    assert read(aws, since=now + 60).lines == ()


def test_a_gap_is_missing_until_it_fills(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]), body(5, [b"e"]))
    [one] = read(aws).lines
    assert one.missing == ((2, 4),)
    assert not read(aws).balanced
    land(body(2, [b"b", b"c", b"d"]))
    assert read(aws, deep=True).balanced


def test_notices_explain_gaps_unless_the_readings_came_after_all(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]), notice(2, 4), notice(5, 6, reason="damaged"), notice(7, 7, reason="quarantined"), body(8, [b"h"]))
    [one] = read(aws).lines
    assert (one.dropped, one.damaged, one.quarantined, one.missing) == (((2, 4),), ((5, 6),), ((7, 7),), ())
    land(body(7, [b"g"]))
    [one] = read(aws).lines
    assert (one.received, one.quarantined) == (((1, 1), (7, 8)), ())


def test_a_claim_without_its_object_or_with_a_void_one_is_pending(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]))
    claim(aws, 2, 3)
    claim(aws, 4, 4, key=ledger.lake_key("telemetry", "2026-02-01", "e" * 32))
    LakeBucket(aws.s3, aws.lake, Retrying(sleep=lambda _: None, random=lambda: 0.0)).create(KEY, ledger.VOID, Commit.VOID)
    found = read(aws, deep=True)
    assert [one.pending for one in found.lines] == [((2, 4),)]
    assert found.balanced, "pending is not missing"


def test_a_claim_is_missing_when_no_message_can_bring_it_any_more(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]), body(3, [b"c"]))
    claim(aws, 2, 2, days_ago=28.1)
    claim(aws, 4, 5, days_ago=28.1)
    claim(aws, 6, 6, days_ago=27.9)
    [one] = read(aws).lines
    assert (one.pending, one.missing) == (((6, 6),), ((2, 2), (4, 5)))


def test_folded_ranges_are_received(aws: Any, land: Callable[..., None]) -> None:
    land(body(9, [b"i"]))
    item = {"pk": {"S": LINE.pk}, "sk": {"S": ledger.folded_sk(0)}, "ranges": {"S": ledger.write_ranges(Ranges([(1, 8)]))}}
    aws.dynamodb.put_item(TableName=aws.ledger, Item=item)
    [one] = read(aws).lines
    assert one.received == ((1, 9),)


def put(aws: Any, *seqs: int, key: str = KEY) -> None:
    rows = "".join(json.dumps({"seq": seq, "device": "board-7", "epoch": E1, "data": "x" * 50}) + "\n" for seq in seqs)
    aws.s3.put_object(Bucket=aws.lake, Key=key, Body=gzip.compress(rows.encode()))


def test_deep_finds_what_is_in_the_lake_twice_not_at_all_or_unasked(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a", b"b", b"c"]))
    claim(aws, 4, 6)
    put(aws, 3, 4, 5, 9)
    assert not [one.missing for one in read(aws).lines if one.missing], "the ledger alone sees nothing wrong"
    found = read(aws, deep=True)
    assert found.lake is not None
    assert (found.lake.doubled, found.lake.lost, found.lake.unclaimed) == ({LINE: ((3, 3),)}, {LINE: ((6, 6),)}, {LINE: ((9, 9),)})
    assert not found.balanced


def test_deep_is_not_alarmed_by_what_lands_meanwhile(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]))
    late = iter([lambda: land(body(2, [b"b"]), body(1, [b"x"], device="new"))])

    class Busy:
        """Something lands between the reading of the ledger and that of the lake."""

        def __getattr__(self, name: str) -> Any:
            return getattr(aws.s3, name)

        def get_paginator(self, name: str) -> Any:
            real_pages = aws.s3.get_paginator(name).paginate

            class Pages:
                def paginate(self, **arguments: Any) -> Any:
                    if arguments["Prefix"] == ledger.READINGS:
                        next(late, lambda: None)()
                    return real_pages(**arguments)

            return Pages()

    found = audit(Clients(aws.dynamodb, Busy()), ledger=aws.ledger, lake=aws.lake, deep=True)  # type: ignore[arg-type]
    assert found.lake is not None
    assert found.lake.rows == 3
    assert found.balanced


def test_an_object_that_is_cut_short_is_an_error_and_not_fewer_rows(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]))
    put(aws, *range(2, 100))
    whole = aws.s3.get_object(Bucket=aws.lake, Key=KEY)["Body"].read()
    aws.s3.put_object(Bucket=aws.lake, Key=KEY, Body=whole[:-12])
    with pytest.raises(DeviceAgentError, match=f"{KEY} is no whole object of readings: it is cut short"):
        read(aws, deep=True)


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(words)


def test_the_command_prints_a_table_and_exits_0_if_nothing_is_missing(
    aws: Any, land: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    land(body(1, [b"a"]))
    assert command.run(arguments("--ledger", aws.ledger, "--lake", aws.lake, "--deep")) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["the lake holds 1 rows", "the books balance"]
    land(body(5, [b"a"]))
    assert command.run(arguments("--ledger", aws.ledger, "--lake", aws.lake, "--json")) == 1
    assert json.loads(capsys.readouterr().out)["lines"][0]["missing"] == [[2, 4]]


def test_the_command_finds_the_names_in_the_outputs_of_a_stack(
    aws: Any, land: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    class CloudFormation:
        stacks: ClassVar = {"whole": {"LedgerTable": aws.ledger, "LakeBucket": aws.lake}, "other": {"Nothing": "x"}}

        def describe_stacks(self, *, StackName: str) -> Any:  # noqa: N803  # boto3's spelling
            outputs = [{"OutputKey": key, "OutputValue": value} for key, value in self.stacks[StackName].items()]
            return {"Stacks": [{"Outputs": outputs}]}

        def close(self) -> None:
            pass

    real = boto3.Session.client
    fake = lambda self, name, **options: CloudFormation() if name == "cloudformation" else real(self, name, **options)  # noqa: E731
    monkeypatch.setattr(boto3.Session, "client", fake)
    land(body(1, [b"a"]))
    assert command.run(arguments("--stack", "whole")) == 0
    assert "the books balance" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="the stack has no output LedgerTable"):
        command.run(arguments("--stack", "other"))


def test_the_command_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match="--stack NAME, or both --ledger TABLE and --lake BUCKET"):
        command.run(arguments("--ledger", "table"))


def test_the_books_of_nobody_do_not_balance(aws: Any, land: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    land(body(1, [b"a"]))
    assert command.run(arguments("--ledger", aws.ledger, "--lake", aws.lake, "--device", "typo")) == 1
    assert "knows no such device" in capsys.readouterr().err


def test_the_command_takes_durations_and_dates(aws: Any, land: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    land(body(1, [b"a"]))
    where = ("--ledger", aws.ledger, "--lake", aws.lake)
    assert command.run(arguments(*where, "--since", "1h")) == 0
    assert "board-7" in capsys.readouterr().out
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400))
    assert command.run(arguments(*where, "--since", tomorrow)) == 0
    assert "board-7" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--since", "yesterday"), "neither like 24h nor like 2026-01-31"),
        (("--since", "61d"), "known for 60 days"),
        (("--until", "1h"), "--until goes with --since"),
        (("--since", "1h", "--deep"), "not with a time"),
    ],
)
def test_the_command_refuses_a_time_that_it_cannot_answer_for(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        command.run(arguments("--ledger", "t", "--lake", "b", *words))


def test_the_command_says_which_table_is_not_there(aws: Any) -> None:
    with pytest.raises(DeviceAgentError, match="ResourceNotFoundException"):
        command.run(arguments("--ledger", "nowhere", "--lake", aws.lake))


def close(aws: Any) -> None:
    """One close-day for which all that there is is past; then the claims that it folded expire."""
    call = Retrying(sleep=lambda _: None, random=lambda: 0.0)
    table = ClosingTable(aws.dynamodb, aws.ledger, call)
    now = time.time() + 3 * 86_400
    with ThreadPoolExecutor(1) as pool:
        night = Night(
            ledger=table,
            lake=LakeBucket(aws.s3, aws.lake, call),
            listing=lambda: DayListing(aws.s3, aws.lake, call),
            pool=pool,
            now=lambda: now,
        )
        _, found = night.close(0, 1, deadline=now + 900)
    assert (found.complete, found.failed) == (True, 0)


def expire(aws: Any) -> int:
    gone = [item for item in aws.items(aws.ledger) if item["sk"]["S"].startswith(ledger.CLAIM)]
    for item in gone:
        aws.dynamodb.delete_item(TableName=aws.ledger, Key={name: item[name] for name in ("pk", "sk")})
    return len(gone)


def test_the_books_stay_the_same_when_claims_are_folded_and_when_they_expire(aws: Any, land: Callable[..., None]) -> None:
    texts = [
        body(1, [b"a", b"b"]),
        body(3, [b"c"]),
        body(7, [b"g"]),
        notice(5, 5),
        body(1, [b"x"], stream="events"),
        body(2, [b"z"], epoch=E2),
    ]
    land(*texts)
    before = read(aws, deep=True)
    close(aws)
    assert read(aws, deep=True) == before
    assert expire(aws) == 5
    assert read(aws, deep=True) == before
    land(*texts)
    assert read(aws, deep=True) == before, "months later the same again is known"
    land(body(4, [b"d"]))
    close(aws)
    [one] = [one for one in read(aws, deep=True).lines if one.line == LINE]
    assert (one.received, one.dropped, one.missing) == (((1, 4), (7, 7)), ((5, 5),), ((6, 6),))


def test_a_claim_that_close_day_voided_is_pending_until_it_lands_after_all(aws: Any, land: Callable[..., None]) -> None:
    land(body(1, [b"a"]), body(3, [b"c"]))
    claim(aws, 2, 2)
    close(aws)
    assert LakeBucket(aws.s3, aws.lake, Retrying(sleep=lambda _: None, random=lambda: 0.0)).head(KEY) is Commit.VOID
    [one] = read(aws, deep=True).lines
    assert (one.received, one.pending) == (((1, 1), (3, 3)), ((2, 2),))
