"""A round takes every line of a bucket to its turn, keeps failures apart, and its bookmark never passes what is not done."""

from __future__ import annotations

import pytest

from device_agent.wire import ledger
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.ledger import Line
from lambdas.closing import rounds
from lambdas.closing.ports import Entry
from lambdas.landing.ports import NotNow
from tests.lambdas.fakes import FakeClosing, InlinePool, LedgerMemory
from tests.lambdas.samples import E1, E2


def entries(count: int) -> list[Entry]:
    return [Entry(f"00|d{number:04d}|s", (Line(f"d{number:04d}", "s", E1), Line(f"d{number:04d}", "s", E2))) for number in range(count)]


def run(work: object, todo: list[Entry], *, time: int = 10**9) -> tuple[rounds.Round[str], list[str]]:
    left = iter(range(time, -1, -1))
    marks: list[str] = []
    found = rounds.run(work, iter(todo), pool=InlinePool(), out_of_time=lambda: not next(left, 0), passed=marks.append)  # type: ignore[arg-type]
    return found, marks


def test_every_line_is_worked_on_and_the_bookmark_follows() -> None:
    found, marks = run(lambda line: line.device + line.epoch, entries(600))
    assert (found.complete, found.failed, len(found.done)) == (True, 0, 1200)
    assert marks == ["00|d0255|s", "00|d0511|s", "00|d0599|s"]
    assert run(lambda line: "", [])[0].complete


@pytest.mark.parametrize("error", [NotNow("throttled"), EnvelopeError("no key"), ZeroDivisionError()])
def test_a_line_that_fails_is_counted_and_the_bookmark_stays_before_it(error: Exception) -> None:
    def work(line: Line) -> str:
        if line == Line("d0300", "s", E2):
            raise error
        return ""

    found, marks = run(work, entries(600))
    assert (found.complete, found.failed, len(found.done)) == (True, 1, 1199)
    assert marks == ["00|d0255|s"]
    assert list(found.reasons) == [str(error) or "broke down: ZeroDivisionError"]


def test_when_the_time_is_up_the_rest_is_neither_done_nor_failed() -> None:
    found, marks = run(lambda line: "", entries(600), time=700)
    assert (found.complete, found.failed) == (False, 0)
    assert len(found.done) == 698  # the time is looked at before each chunk and each line
    assert marks == ["00|d0255|s"]


@pytest.mark.parametrize("buckets", [1, 2, 5, 16, 64])
def test_each_device_is_in_the_round_of_one_bucket(buckets: int) -> None:
    memory = LedgerMemory(epochs={(f"d{number}", stream): [E1] for number in range(100) for stream in ("s", "t")})
    found = [entry.mark for bucket in range(buckets) for entry in rounds.entries(FakeClosing(memory), bucket=bucket, buckets=buckets)]
    assert len(found) == 200
    assert len(set(found)) == 200


def test_a_round_goes_on_behind_a_mark() -> None:
    memory = LedgerMemory(epochs={(f"d{number}", "s"): [E1] for number in range(100)})
    every = list(rounds.entries(FakeClosing(memory), bucket=0, buckets=1))
    for at in (0, 50, 99):
        assert list(rounds.entries(FakeClosing(memory), bucket=0, buckets=1, after=every[at].mark)) == every[at + 1 :]


def test_a_bucket_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="bucket 4 of 4"):
        list(rounds.entries(FakeClosing(), bucket=4, buckets=4))
    assert list(ledger.shards(0, 1)) == list(range(16))
