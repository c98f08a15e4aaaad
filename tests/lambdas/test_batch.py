"""One invocation at a time: what becomes of each message of a batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges
from lambdas.closing.ports import Part
from lambdas.landing import batch, rows
from lambdas.landing.batch import Landing, Report, Verdict
from lambdas.landing.messages import Arrival, Message, decoded
from lambdas.landing.ports import Claim, Commit
from tests.lambdas.fakes import FakeAside, FakeLake, FakeLedger, Fate, Gate, InlinePool
from tests.lambdas.samples import E1, E2, body, message, notice

NOW = 1_795_000_010.0
LINE = Line("board-7", "telemetry", E1)


@dataclass
class World:
    ledger: FakeLedger = field(default_factory=FakeLedger)
    lake: FakeLake = field(default_factory=FakeLake)
    aside: FakeAside = field(default_factory=FakeAside)
    now: float = NOW
    runs: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def landing(self, pool: Any = None) -> Landing:
        return Landing(
            ledger=self.ledger,
            lake=self.lake,
            aside=self.aside,
            pool=pool or InlinePool(),
            now=lambda: self.now,
            new_run=lambda: f"{next(self.runs):032x}",
        )

    def land(self, *messages: Message) -> Report:
        return self.landing().land(decoded(messages), deadline=self.now + 60)

    def fails(self, operation: str, fate: Fate, *, times: int = 1) -> None:
        """Give the next `times` operations of this name that fate."""
        left = itertools.chain([fate] * times, itertools.repeat(Fate.WELL))
        gate: Gate = lambda name: next(left) if name == operation else Fate.WELL  # noqa: E731
        for port in (self.ledger, self.lake, self.aside):
            port.network.gate = gate

    def seqs(self) -> list[int]:
        return [seq for _, seq, _ in self.lake.memory.rows()]


@pytest.fixture
def world() -> World:
    return World()


def verdicts(report: Report) -> list[Verdict]:
    return [settled.verdict for settled in report.settled]


def test_envelopes_of_a_stream_share_one_object_in_the_order_of_the_messages(world: World) -> None:
    report = world.land(message(body(1, [b"a", b"b"])), message(body(1, [b"x"], device="other")), message(body(3, [b"c"])))
    assert verdicts(report) == [Verdict.LANDED] * 3
    assert list(world.lake.memory.objects) == ["readings/stream=telemetry/dt=2026-11-18/00000000000000000000000000000001.json.gz"]
    assert [(line.device, seq, row["data"]) for line, seq, row in world.lake.memory.rows()] == [
        ("board-7", 1, "a"),
        ("board-7", 2, "b"),
        ("other", 1, "x"),
        ("board-7", 3, "c"),
    ]
    assert (report.readings, report.objects) == (4, 1)


def test_each_stream_has_its_own_object_and_fails_alone(world: World) -> None:
    world.fails("create data", Fate.REFUSED)
    report = world.land(message(body(1, [b"a"])), message(body(1, [b"b"], stream="events")))
    assert verdicts(report) == [Verdict.FAILED, Verdict.LANDED]
    assert [key.split("/")[1] for key in world.lake.memory.objects] == ["stream=events"]


def test_a_message_delivered_twice_in_one_batch_lands_once_and_both_succeed(world: World) -> None:
    twin = body(1, [b"a"])
    assert verdicts(world.land(message(twin), message(twin))) == [Verdict.LANDED, Verdict.LANDED]
    assert world.seqs() == [1]


def test_twins_fail_together(world: World) -> None:
    twin = body(1, [b"a"])
    world.fails("create data", Fate.REFUSED)
    assert verdicts(world.land(message(twin), message(twin))) == [Verdict.FAILED, Verdict.FAILED]


def test_a_message_delivered_again_later_is_a_duplicate_and_succeeds(world: World) -> None:
    world.land(message(body(1, [b"a"])))
    assert verdicts(world.land(message(body(1, [b"a"])))) == [Verdict.DUPLICATE]
    assert len(world.lake.memory.objects) == 1


def test_the_same_id_with_other_content_is_set_aside_with_the_reason(world: World) -> None:
    world.land(message(body(1, [b"a"])))
    other = message(body(1, [b"A"]))
    report = world.land(other)
    assert verdicts(report) == [Verdict.ASIDE]
    assert (report.conflicts, world.aside.letters) == (1, [(other, "the same id was received before with other content")])
    assert world.seqs() == [1]


def test_two_contents_of_one_id_in_one_batch_do_not_both_land(world: World) -> None:
    report = world.land(message(body(1, [b"a"])), message(body(1, [b"A"])), message(body(1, [b"A"])))
    assert verdicts(report) == [Verdict.LANDED, Verdict.ASIDE, Verdict.ASIDE]
    assert [row["data"] for _, _, row in world.lake.memory.rows()] == ["a"]


def test_a_conflict_that_cannot_be_set_aside_comes_back(world: World) -> None:
    world.fails("set aside", Fate.LOST_BEFORE)
    assert verdicts(world.land(message(body(1, [b"a"])), message(body(1, [b"A"])))) == [Verdict.LANDED, Verdict.FAILED]


def test_what_cannot_be_decoded_fails_alone_and_is_set_aside_at_the_third_receive(world: World) -> None:
    for receives, verdict in ((1, Verdict.FAILED), (2, Verdict.FAILED), (3, Verdict.ASIDE), (7, Verdict.ASIDE)):
        report = world.land(message("rubbish", receives=receives), message(body(receives, [b"a"])))
        assert verdicts(report) == [verdict, Verdict.LANDED]
        assert report.undecodable == 1
    assert [(letter.body, reason) for letter, reason in world.aside.letters] == [("rubbish", "body is not JSON")] * 2


def test_folded_ranges_are_duplicates_without_a_claim(world: World) -> None:
    world.ledger.memory.epochs["board-7", "telemetry"] = [E1]
    world.ledger.memory.parts[LINE] = {0: Part(0, Ranges([(1, 10)]), 1)}
    report = world.land(message(body(9, [b"a", b"b"])), message(body(10, [b"a", b"b"])))
    assert verdicts(report) == [Verdict.DUPLICATE, Verdict.LANDED]
    assert [first for _, first in world.ledger.memory.claims] == [10]


def test_folded_ranges_are_read_once_a_line_and_batch(world: World) -> None:
    asked: list[str] = []
    world.ledger.network.gate = lambda name: (asked.append(name), Fate.WELL)[1]
    world.land(*[message(body(n, [b"a"])) for n in range(1, 6)])
    assert asked.count("known") == 1
    assert asked.count("claim") == 5


def test_a_notice_is_entered_in_the_books_and_makes_no_object(world: World) -> None:
    report = world.land(message(notice(5, 9)), message(notice(5, 9)))
    assert verdicts(report) == [Verdict.LANDED, Verdict.LANDED]
    assert report.notices == 1
    assert [(first, last) for _, first, last in world.ledger.memory.notices] == [(5, 9)]
    assert world.lake.memory.objects == {}


def test_a_second_notice_for_the_same_numbers_with_another_reason_is_a_conflict(world: World) -> None:
    world.land(message(notice(5, 9)))
    assert verdicts(world.land(message(notice(5, 9, reason="damaged")))) == [Verdict.ASIDE]


def test_a_notice_that_cannot_be_entered_comes_back(world: World) -> None:
    world.fails("notice", Fate.LOST_AFTER)
    assert verdicts(world.land(message(notice(5, 9)))) == [Verdict.FAILED]


def test_epochs_are_numbered_in_the_order_of_the_messages(world: World) -> None:
    report = world.land(message(body(1, [b"a"])), message(body(1, [b"b"], epoch=E2)), message(body(2, [b"c"])))
    assert [settled.ordinal for settled in report.settled] == [1, 2, 1]


def test_a_new_epoch_does_not_overtake_the_one_before_it_because_of_an_error(world: World) -> None:
    world.fails("register", Fate.REFUSED)
    messages = [message(body(1, [b"a"])), message(body(1, [b"b"], epoch=E2))]
    assert verdicts(world.land(*messages)) == [Verdict.FAILED, Verdict.FAILED]
    assert world.ledger.memory.epochs == {}
    assert [settled.ordinal for settled in world.land(*messages).settled] == [1, 2]


def test_a_batch_that_takes_too_long_puts_what_it_has_and_gives_the_rest_back(world: World) -> None:
    def slow() -> Iterator[Arrival]:
        for arrival in decoded(message(body(n, [b"a"])) for n in range(1, 7)):
            world.now += 10
            yield arrival

    report = world.landing().land(slow(), deadline=world.now + 60)
    assert verdicts(report) == [Verdict.LANDED] * 3 + [Verdict.FAILED] * 3
    assert world.seqs() == [1, 2, 3]


def test_a_ledger_that_answers_slowly_leaves_time_to_put_what_is_mine(world: World) -> None:
    def slow(name: str) -> Fate:
        world.now += 10 if name == "claim" else 0
        return Fate.WELL

    world.ledger.network.gate = slow
    with ThreadPoolExecutor(1) as pool:  # so that all messages are taken before the first claim is answered
        messages = [message(body(n, [b"a"])) for n in range(1, 11)]
        report = world.landing(pool).land(list(decoded(messages)), deadline=world.now + 60)
    done = verdicts(report).count(Verdict.LANDED)
    assert 1 <= done <= 4
    assert world.seqs() == list(range(1, done + 1))
    assert len(world.ledger.memory.claims) == done


def test_lines_that_wait_are_bounded_by_the_window(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "WINDOW", 1)
    assert verdicts(world.land(*[message(body(n, [b"a"])) for n in range(1, 6)])) == [Verdict.LANDED] * 5


def test_a_bug_in_rendering_fails_one_message_and_claims_nothing_for_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = rows.lines
    monkeypatch.setattr(rows, "lines", lambda envelope, arrived: 1 / 0 if envelope.first == 2 else real(envelope, arrived=arrived))
    report = world.land(message(body(1, [b"a"])), message(body(2, [b"b"])), message(body(3, [b"c"])))
    assert verdicts(report) == [Verdict.LANDED, Verdict.FAILED, Verdict.LANDED]
    assert [first for _, first in world.ledger.memory.claims] == [1, 3]


def test_a_claim_of_an_invocation_still_at_work_comes_back_and_one_that_is_over_is_taken_over(world: World) -> None:
    old = Claim(
        line=LINE, first=1, last=1, digest=_digest(body(1, [b"a"])), key=f"readings/stream=telemetry/dt=2026-11-18/{'f' * 32}.json.gz",
        lease=int(NOW) + 5, expires=int(NOW) + 86_400,
    )  # fmt: skip
    world.ledger.memory.claims[LINE, 1] = old
    assert verdicts(world.land(message(body(1, [b"a"])))) == [Verdict.FAILED]
    assert world.lake.memory.objects == {}
    world.now += 6
    assert verdicts(world.land(message(body(1, [b"a"])))) == [Verdict.LANDED]
    assert world.lake.memory.objects[old.key][1] is Commit.VOID
    assert world.seqs() == [1]


def test_many_threads_land_what_one_would(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = [body(n, [b"a"] * 3, device=f"board-{n % 7}", epoch=f"{n:016x}") for n in range(1, 200)]
        messages = [message(text) for text in texts * 2]
        report = world.landing(pool).land(decoded(messages), deadline=world.now + 60)
    assert set(verdicts(report)) == {Verdict.LANDED}
    assert sorted(world.seqs()) == sorted(seq for n in range(1, 200) for seq in (n, n + 1, n + 2))


def _digest(text: str) -> str:
    [arrival] = decoded([message(text)])
    return arrival.content.digest()  # type: ignore[union-attr]
