"""close-day: killed, refused or unanswered at every operation, two at once in step, and invocations that wake up late."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

pytest.importorskip("aws_lambda_powertools")  # what the functions need; not on a board

from device_agent.wire import ledger
from lambdas.close_day import Night
from lambdas.closing.closer import Closed
from lambdas.closing.rounds import Round
from lambdas.landing.batch import Landing, Report, Verdict
from lambdas.landing.messages import Message, decoded
from lambdas.landing.ports import Commit, NotNow, Unknown
from tests.lambdas.fakes import (
    FakeAside,
    FakeClosing,
    FakeLake,
    FakeLedger,
    FakeListing,
    Fate,
    InlinePool,
    LakeMemory,
    LedgerMemory,
    Network,
)  # fmt: skip
from tests.lambdas.samples import body, message, notice
from tests.lambdas.stepping import Actor

DAY = 86_400
FIRST, SECOND, THIRD = (message(body(first, [b"x"])) for first in (1, 2, 3))
LINE = ledger.Line("board-7", "telemetry", "1" * 16)
SEQS = [1, 2, 3]


@dataclass
class Site:
    """One ledger and one lake, on which invocations and close-days come and go."""

    books: LedgerMemory = field(default_factory=LedgerMemory)
    lake: LakeMemory = field(default_factory=LakeMemory)
    now: float = 1_795_000_000.0
    last_wins: bool = False
    overwrites: bool = False
    runs: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def invocation(self, *messages: Message) -> Actor:
        run = f"{next(self.runs):032x}"

        def function(gate: Callable[[str], Fate]) -> Report:
            network = Network(gate)
            landing = Landing(
                ledger=FakeLedger(self.books, network),
                lake=FakeLake(self.lake, network),
                aside=FakeAside(),
                pool=InlinePool(),
                now=lambda: self.now,
                new_run=lambda: run,
            )
            return landing.land(decoded(messages), deadline=self.now + 60)

        return Actor(function)

    def land(self, *messages: Message) -> set[Verdict]:
        actor = self.invocation(*messages)
        actor.finish()
        return {settled.verdict for settled in actor.result.settled}

    def half_land(self, *messages: Message) -> Actor:
        """Claim, and stay just before the object."""
        actor = self.invocation(*messages)
        until(actor, "create data")
        return actor

    def night(self) -> Actor:
        """Start a close-day for which everything is past."""
        self.now += 3 * DAY
        now = self.now

        def function(gate: Callable[[str], Fate]) -> Round[Closed] | None:
            network = Network(gate)
            night = Night(
                ledger=FakeClosing(self.books, network, self.last_wins),
                lake=CarelessLake(self.lake, network) if self.overwrites else FakeLake(self.lake, network),
                listing=lambda: FakeListing(self.lake, network),
                pool=InlinePool(),
                now=lambda: now,
            )
            try:
                return night.close(ledger.bucket("board-7", 16), 16, deadline=now + 900)[1]
            except (NotNow, Unknown):
                return None

        return Actor(function)

    def close(self) -> Closed:
        actor = self.night()
        actor.finish()
        assert (actor.result.complete, actor.result.failed) == (True, 0), actor.result.reasons
        [closed] = actor.result.done
        return closed

    def months_pass(self) -> None:
        """Every claim expires that is folded; the others are young."""
        self.now += 60 * DAY
        known = self.books.folded(LINE)
        for at, claim in list(self.books.claims.items()):
            if known.covers(claim.first, claim.last):
                del self.books.claims[at]

    def seqs(self) -> list[int]:
        return sorted(seq for _, seq, _ in self.lake.rows())


class CarelessLake(FakeLake):
    """Voids without the condition."""

    def _create(self, key: str, content: bytes, commit: Commit) -> bool:
        self.memory.objects[key] = (content, commit)
        return True


def until(actor: Actor, operation: str) -> None:
    while actor.operation != operation:
        actor.step()


def ready() -> Site:
    """Two envelopes in the lake, one claimed by an invocation that died."""
    site = Site()
    site.land(FIRST, SECOND)
    site.half_land(THIRD).kill()
    return site


def settled(site: Site) -> None:
    """Whatever happened: after an undisturbed night and a redelivery all is there, once, and stays so when claims are gone."""
    site.close()
    assert Verdict.FAILED not in site.land(FIRST, SECOND, THIRD)
    assert site.seqs() == SEQS
    site.close()
    assert list(site.books.folded(LINE)) == [(1, 3)]
    site.months_pass()
    assert not site.books.claims
    assert site.land(FIRST, SECOND, THIRD) == {Verdict.DUPLICATE}
    assert site.seqs() == SEQS


def operations() -> list[str]:
    actor, seen = ready().night(), []
    while not actor.done:
        seen.append(actor.operation)
        actor.step()
    return seen


OPERATIONS = ["bookmark", "entries", "parts", "claims", "list", "create void", "write", "set bookmark", "set bookmark"]


def test_the_operations_of_an_undisturbed_night() -> None:
    assert operations() == OPERATIONS


@pytest.mark.parametrize("fate", [fate for fate in Fate if fate is not Fate.WELL])
@pytest.mark.parametrize("at", range(len(OPERATIONS)))
def test_whatever_happens_at_whatever_operation_the_next_night_does_the_rest(at: int, fate: Fate) -> None:
    site = ready()
    actor = site.night()
    for _ in range(at):
        actor.step()
    actor.step(fate)
    while not actor.done:
        actor.step()
    settled(site)


def test_a_claim_whose_object_never_came_is_voided_and_not_folded() -> None:
    site = ready()
    closed = site.close()
    assert (closed.voided, closed.claims, closed.folded, closed.pending) == (1, 2, 2, 1)
    assert list(site.books.folded(LINE)) == [(1, 2)]
    assert sorted(commit.value for _, commit in site.lake.objects.values()) == ["data", "void"]
    assert site.land(THIRD) == {Verdict.LANDED}
    settled(site)


def test_an_invocation_that_wakes_up_after_its_key_was_voided_puts_nothing() -> None:
    site = Site()
    site.land(FIRST, SECOND)
    sleeper = site.half_land(THIRD)
    site.close()
    sleeper.finish()
    assert [one.verdict for one in sleeper.result.settled] == [Verdict.FAILED]
    settled(site)


def test_data_that_came_after_the_listing_is_not_voided_but_folded() -> None:
    site = Site()
    sleeper = site.half_land(FIRST, SECOND, THIRD)
    night = site.night()
    until(night, "create void")
    sleeper.finish()
    night.finish()
    assert night.result.done[0].folded == 3
    assert site.seqs() == SEQS
    settled(site)


def test_a_claim_that_moves_between_ranges_and_claims_is_folded_under_its_new_key() -> None:
    site = ready()
    site.close()  # the third key is void
    night = site.night()
    until(night, "claims")
    site.land(THIRD)
    night.finish()
    assert list(site.books.folded(LINE)) in ([(1, 2)], [(1, 3)])
    settled(site)


def test_two_nights_in_every_step_of_each_other_fold_all_once() -> None:
    for lead in range(len(OPERATIONS)):
        site = ready()
        left, right = site.night(), site.night()
        for _ in range(lead):
            left.step()
        while not (left.done and right.done):
            for actor in (right, left):
                if not actor.done:
                    actor.step()
        assert list(site.books.folded(LINE)) == [(1, 2)]
        settled(site)


def late_writer(site: Site) -> None:
    """One night reads the first claim alone, sleeps, and writes after another one has folded both and months have passed."""
    site.land(FIRST)
    sleeper = site.night()
    until(sleeper, "write")
    site.land(SECOND, THIRD)
    site.close()
    site.months_pass()
    sleeper.finish()


def test_a_night_that_wakes_up_after_months_takes_nothing_back() -> None:
    site = Site()
    late_writer(site)
    settled(site)


def test_without_the_condition_on_the_version_it_would_double_readings() -> None:
    site = Site(last_wins=True)
    late_writer(site)
    with pytest.raises(AssertionError):
        settled(site)
    assert site.seqs() != SEQS


def test_without_the_condition_of_the_void_it_would_lose_readings() -> None:
    site = Site(overwrites=True)
    sleeper = site.half_land(FIRST)
    night = site.night()
    until(night, "create void")
    sleeper.finish()
    assert site.seqs() == [1]
    night.finish()
    assert site.seqs() == []


def test_the_same_night_again_asks_for_its_bookmark_and_nothing_else() -> None:
    site = ready()
    site.close()
    site.now -= 3 * DAY
    again = site.night()
    assert again.operation == "bookmark"
    again.step()
    assert again.done


def test_gaps_that_fill_late_are_folded_into_their_neighbours() -> None:
    site = Site()
    site.land(FIRST, THIRD)
    site.close()
    assert list(site.books.folded(LINE)) == [(1, 1), (3, 3)]
    site.months_pass()
    site.land(SECOND)
    assert site.close().claims == 1
    settled(site)


def test_notices_are_left_alone() -> None:
    site = Site()
    site.land(FIRST, message(notice(2, 9)))
    assert site.close().claims == 1
    assert len(site.books.notices) == 1
