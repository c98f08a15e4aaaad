"""The scheduled handlers, as EventBridge calls them, on moto."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from device_agent.wire import ledger
from lambdas import check_gaps, close_day
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.ports import Claim, Commit
from lambdas.landing.s3 import LakeBucket
from tests.lambdas.samples import E1
from tests.lambdas.test_ports_contract import call

DAY = 86_400
LINE = ledger.Line("board-7", "telemetry", E1)


class Context:
    """As much of Lambda's context as is used."""

    def __init__(self, seconds: int = 900) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return self._seconds * 1000


@pytest.fixture
def deployed(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("LAKE_BUCKET", aws.lake)
    monkeypatch.setenv("LEDGER_TABLE", aws.ledger)
    pools: list[ThreadPoolExecutor] = []

    def threads() -> ThreadPoolExecutor:
        pools.append(ThreadPoolExecutor(1))  # moto is not safe between threads
        return pools[-1]

    monkeypatch.setattr("lambdas.runtime.threads", threads)
    for cached in (close_day._night, check_gaps._watch):
        cached.cache_clear()
    yield aws
    for cached in (close_day._night, check_gaps._watch):
        cached.cache_clear()
    for pool in pools:
        pool.shutdown()


def claim(aws: Any, first: int, last: int, run: str, *, days: int = 3) -> str:
    """Enter a claim as it was entered some days ago; return its key."""
    then = int(time.time()) - days * DAY
    key = ledger.lake_key("telemetry", time.strftime("%Y-%m-%d", time.gmtime(then)), run * 32)
    table = LedgerTable(aws.dynamodb, aws.ledger, call())
    table.register(LINE)
    assert table.claim(Claim(line=LINE, first=first, last=last, digest="d", key=key, lease=then + 90, expires=then + 60 * DAY)) is None
    return key


def put(aws: Any, key: str) -> None:
    LakeBucket(aws.s3, aws.lake, call()).create(key, b"x" * 50, Commit.DATA)


def ranges(aws: Any) -> list[str]:
    return [item["ranges"]["S"] for item in aws.items(aws.ledger) if item["sk"]["S"].startswith(ledger.FOLDED)]


def metrics(said: str) -> dict[str, Any]:
    [told] = [json.loads(line) for line in said.splitlines() if '"_aws"' in line]
    return dict(told)


def test_close_day_folds_voids_and_says_so(deployed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    put(deployed, claim(deployed, 1, 5, "a"))
    claim(deployed, 6, 6, "b")
    claim(deployed, 7, 9, "c", days=0)  # of today: its day is not past
    said = close_day.handler({}, Context())
    assert said["complete"]
    assert said["counts"] == {
        "LinesClosed": 1, "LinesFailed": 0, "KeysVoided": 1, "ClaimsFolded": 1, "ReadingsFolded": 5, "ClaimsPending": 1,
    }  # fmt: skip
    assert ranges(deployed) == ["1-5"]
    told = metrics(capsys.readouterr().out)
    assert (told["service"], told["ReadingsFolded"]) == ("close-day", [5.0])
    assert close_day.handler({}, Context())["counts"]["LinesClosed"] == 0


def test_close_day_looks_after_its_bucket_alone(deployed: Any) -> None:
    put(deployed, claim(deployed, 1, 5, "a"))
    mine = ledger.bucket(LINE.device, 16)
    assert close_day.handler({"bucket": (mine + 1) % 16, "buckets": 16}, Context())["counts"]["LinesClosed"] == 0
    assert close_day.handler({"bucket": mine, "buckets": 16}, Context())["counts"]["LinesClosed"] == 1


def test_close_day_without_time_is_not_complete_and_the_next_run_does_it(deployed: Any) -> None:
    put(deployed, claim(deployed, 1, 5, "a"))
    assert not close_day.handler({}, Context(seconds=10))["complete"]
    assert close_day.handler({}, Context())["counts"]["LinesClosed"] == 1


def test_close_day_fails_loudly_when_a_line_cannot_be_closed_and_closes_the_others(
    deployed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    put(deployed, claim(deployed, 1, 5, "a"))
    spoilt = ledger.Line("board-8", "telemetry", E1)
    LedgerTable(deployed.dynamodb, deployed.ledger, call()).register(spoilt)
    item = {"pk": {"S": spoilt.pk}, "sk": {"S": ledger.claim_sk(1)}, "K": {"S": "nowhere"}}
    deployed.dynamodb.put_item(TableName=deployed.ledger, Item=item)
    with pytest.raises(RuntimeError, match="1 lines of bucket 0 of 1 are not closed"):
        close_day.handler({}, Context())
    assert ranges(deployed) == ["1-5"]
    assert metrics(capsys.readouterr().out)["LinesFailed"] == [1.0]


def test_check_gaps_counts_what_is_missing(deployed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    put(deployed, claim(deployed, 1, 5, "a"))
    put(deployed, claim(deployed, 8, 9, "b"))
    claim(deployed, 10, 10, "c")
    counts = check_gaps.handler({}, Context())["counts"]
    assert counts["PendingSeconds"] == pytest.approx(3 * DAY, abs=60)
    assert counts | {"PendingSeconds": 0} == {
        "Gaps": 2, "GapStreams": 1, "PendingSeconds": 0, "FoldingBehindDays": 2, "LinesChecked": 1, "LinesFailed": 0,
        "LinesUnchecked": 0,
    }  # fmt: skip
    told = metrics(capsys.readouterr().out)
    assert (told["service"], told["Gaps"]) == ("check-gaps", [2.0])
    assert told["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]


def test_check_gaps_writes_nothing(deployed: Any) -> None:
    put(deployed, claim(deployed, 1, 5, "a"))
    claim(deployed, 8, 9, "b")
    before = (deployed.items(deployed.ledger), deployed.objects())
    check_gaps.handler({}, Context())
    assert (deployed.items(deployed.ledger), deployed.objects()) == before


def test_check_gaps_fails_when_it_can_see_nothing(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = {"pk": {"S": LINE.pk}, "sk": {"S": ledger.claim_sk(1)}}
    LedgerTable(deployed.dynamodb, deployed.ledger, call()).register(LINE)
    deployed.dynamodb.put_item(TableName=deployed.ledger, Item=spoilt)
    with pytest.raises(RuntimeError, match="none of 1 lines of bucket 0 of 1 could be checked"):
        check_gaps.handler({}, Context())


def test_a_quiet_cloud_has_no_gaps(deployed: Any) -> None:
    counts = check_gaps.handler({}, Context())["counts"]
    assert set(counts.values()) == {0}
