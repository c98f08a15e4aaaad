"""Landing: the function is killed, or its answers are lost, before the claim, between claim and object, after the object."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from lambdas.landing.batch import Landing, Report, Verdict
from lambdas.landing.messages import Message, decoded
from lambdas.landing.ports import Commit
from tests.lambdas.fakes import FakeAside, FakeLake, FakeLedger, Fate, InlinePool, LakeMemory, LedgerMemory, Network
from tests.lambdas.samples import body, message
from tests.lambdas.stepping import Actor

MESSAGES = [message(body(1, [b"a", b"b"])), message(body(3, [b"c"])), message(body(1, [b"x"], stream="events"))]
SEQS = [("events", 1), ("telemetry", 1), ("telemetry", 2), ("telemetry", 3)]
OPERATIONS = ["known", "register", "claim", "claim", "known", "register", "claim", "create data", "create data"]


class Site:
    """One ledger and one lake, on which invocations come and go."""

    def __init__(self) -> None:
        self.ledger, self.lake = LedgerMemory(), LakeMemory()
        self.now = 1_795_000_000.0
        self.runs = itertools.count(1)

    def start(self, messages: list[Message] = MESSAGES) -> Actor:
        run = f"{next(self.runs):032x}"

        def function(gate: Callable[[str], Fate]) -> Report:
            network = Network(gate)
            landing = Landing(
                ledger=FakeLedger(self.ledger, network),
                lake=FakeLake(self.lake, network),
                aside=FakeAside(),
                pool=InlinePool(),
                now=lambda: self.now,
                new_run=lambda: run,
            )
            return landing.land(decoded(messages), deadline=self.now + 60)

        return Actor(function)

    def land(self, messages: list[Message] = MESSAGES) -> list[Verdict]:
        actor = self.start(messages)
        actor.finish()
        return [settled.verdict for settled in actor.result.settled]

    def seqs(self) -> list[tuple[str, int]]:
        return sorted((line.stream, seq) for line, seq, _ in self.lake.rows())


def test_the_operations_of_an_undisturbed_batch() -> None:
    site, seen = Site(), []
    actor = site.start()
    while not actor.done:
        seen.append(actor.operation)
        actor.step()
    assert seen == OPERATIONS


@pytest.mark.parametrize("fate", [fate for fate in Fate if fate is not Fate.WELL])
@pytest.mark.parametrize("at", range(len(OPERATIONS)))
def test_whatever_happens_at_whatever_operation_the_next_delivery_lands_all_once(at: int, fate: Fate) -> None:
    site = Site()
    actor = site.start()
    for _ in range(at):
        actor.step()
    actor.step(fate)
    while not actor.done:
        actor.step()
    site.now += 1000  # redelivered when the lease is over
    assert Verdict.FAILED not in site.land()
    assert site.seqs() == SEQS
    assert set(site.land()) == {Verdict.DUPLICATE}


@pytest.mark.parametrize("fate", [Fate.CRASH_BEFORE, Fate.CRASH_AFTER, Fate.LOST_BEFORE, Fate.LOST_AFTER])
def test_the_second_delivery_may_crash_anywhere_too(fate: Fate) -> None:
    for at in itertools.count():
        site = Site()
        first = site.start()
        while first.operation != "create data":
            first.step()
        first.kill()  # three claims, no object
        site.now += 1000
        second = site.start()
        for _ in range(at):
            if not second.done:
                second.step()
        if second.done:
            break
        second.step(fate)
        while not second.done:
            second.step()
        site.now += 1000
        assert Verdict.FAILED not in site.land()
        assert site.seqs() == SEQS
    assert at > 15, "claims, heads, voids, moves and puts were all tried"


def test_an_invocation_that_wakes_up_after_its_key_was_voided_puts_nothing() -> None:
    site = Site()
    sleeper = site.start(MESSAGES[:1])
    while sleeper.operation != "create data":
        sleeper.step()
    site.now += 1000
    assert site.land(MESSAGES[:1]) == [Verdict.LANDED]
    sleeper.finish()
    assert [settled.verdict for settled in sleeper.result.settled] == [Verdict.FAILED]
    assert site.seqs() == [("telemetry", 1), ("telemetry", 2)]
    assert sorted(commit.value for _, commit in site.lake.objects.values()) == ["data", "void"]


def test_a_put_whose_answer_is_lost_is_a_success_once_it_is_seen() -> None:
    site = Site()
    actor = site.start(MESSAGES[:1])
    while actor.operation != "create data":
        actor.step()
    actor.step(Fate.LOST_AFTER)
    assert actor.operation == "head"
    actor.finish()
    assert [settled.verdict for settled in actor.result.settled] == [Verdict.LANDED]


def test_one_unknown_claim_fails_every_record_of_its_object_and_no_other() -> None:
    site = Site()
    actor = site.start()
    while actor.operation != "claim":
        actor.step()
    actor.step(Fate.LOST_AFTER)
    actor.finish()
    assert [settled.verdict for settled in actor.result.settled] == [Verdict.FAILED, Verdict.FAILED, Verdict.LANDED]
    assert site.seqs() == [("events", 1)]


def test_one_refused_claim_fails_its_record_alone() -> None:
    site = Site()
    actor = site.start()
    while actor.operation != "claim":
        actor.step()
    actor.step(Fate.REFUSED)
    actor.finish()
    assert [settled.verdict for settled in actor.result.settled] == [Verdict.FAILED, Verdict.LANDED, Verdict.LANDED]


def test_two_deliveries_at_once_of_half_the_same_batch_land_each_envelope_once() -> None:
    site = Site()
    left, right = site.start(MESSAGES[:2]), site.start(MESSAGES[1:])
    while not (left.done and right.done):
        for actor in (left, right):
            if not actor.done:
                actor.step()
    verdicts = [[settled.verdict for settled in actor.result.settled] for actor in (left, right)]
    assert sorted(verdict.value for verdict in (verdicts[0][1], verdicts[1][0])) == ["failed", "landed"], "one is told to come back"
    assert site.seqs() == SEQS
    assert sum(commit is Commit.DATA for _, commit in site.lake.objects.values()) == (2 if verdicts[0][1] is Verdict.LANDED else 3)
