"""Close-days beside landing, against the slow twin of the landing machine: step by step, with crashes, refusals, lost and late answers, two
close-days at once, listings that are old, folding, months that pass, claims that expire, and everything sent again after all that.

The twin is the list of all envelopes: at the end each of their readings is in the lake, once. The same machine must catch broken variants;
those that only two close-days in step show are in tests/faults/test_closing_crashes.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from device_agent.wire import ledger
from device_agent.wire.envelope import Envelope
from device_agent.wire.ledger import VOID
from lambdas.close_day import Night
from lambdas.closing.closer import Closed, Closer
from lambdas.closing.rounds import Round
from lambdas.landing.batch import Report, Verdict
from lambdas.landing.ports import Claim, Commit, NotNow, Unknown
from tests.lambdas.fakes import FakeClosing, FakeLake, FakeListing, Fate, InlinePool, Network
from tests.lambdas.samples import E2, body, message, notice
from tests.lambdas.stepping import Actor
from tests.lambdas.test_landing_machine import MOSTLY_WELL, LandingMachine, _line

DAY = 86_400
MAX_CLOSERS = 2


class ClosingMachine(LandingMachine):
    """Up to three invocations and two close-days at a time."""

    # No two contents for one id: which of them is received is only known while its claim lives.
    bodies: ClassVar[list[str]] = [
        body(1, [b"a", b"b"]),
        body(3, [b"c"]),
        body(4, [b"d", b"e"]),
        body(1, [b"f"], epoch=E2),
        body(1, [b"g"], stream="events", topics="t"),
        notice(6, 8),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.closers: list[Actor] = []
        self.nights = 0

    @rule()
    @precondition(lambda self: len(self.closers) < MAX_CLOSERS)
    def night(self) -> None:
        """A close-day begins; for it all days and leases are over, whatever is still at work."""
        self.nights += 1
        self.closers.append(Actor(self._close(self.now + (9 + self.nights) * DAY)))
        self._sweep()

    def _close(self, now: float) -> Callable[[Callable[[str], Fate]], tuple[str, Round[Closed]] | None]:
        def function(gate: Callable[[str], Fate]) -> tuple[str, Round[Closed]] | None:
            network = Network(gate, self.delayed)
            night = Night(
                ledger=FakeClosing(self.ledger, network),
                lake=FakeLake(self.lake, network),
                listing=lambda: FakeListing(self.lake, network),
                pool=InlinePool(),
                now=lambda: now,
            )
            try:
                return night.close(ledger.bucket("board-7", 16), 16, deadline=now + 900)
            except (NotNow, Unknown):
                return None

        return function

    @rule(which=st.integers(0, MAX_CLOSERS - 1), fates=st.lists(MOSTLY_WELL, min_size=1, max_size=25))
    @precondition(lambda self: self.closers)
    def close_on(self, which: int, fates: list[Fate]) -> None:
        """One close-day goes on for some operations."""
        actor = self.closers[which % len(self.closers)]
        for fate in fates:
            if not actor.done:
                actor.step(fate)
                self._check()
        self._sweep()

    @rule(which=st.integers(0, MAX_CLOSERS - 1), before=st.sampled_from(["write", "create void", "claims", ""]))
    @precondition(lambda self: self.closers)
    def close_until(self, which: int, before: str) -> None:
        """One close-day goes on in peace, to its end or until it is about to do something that it may do late."""
        actor = self.closers[which % len(self.closers)]
        while not actor.done:
            actor.step()
            self._check()
            if actor.operation == before:
                break
        self._sweep()

    @rule(forgotten=st.sets(st.integers(0, len(bodies) - 1)))
    def months_pass(self, forgotten: set[int]) -> None:
        """Invocations are long gone, what was on its way has arrived; claims expire if they are folded or their keys are not data.

        Close-days may sleep for as long as they like: their safety rests on no clock at all.
        """
        for actor in self.actors:
            actor.kill()
        self.actors = []
        while self.delayed:
            self.delayed.pop()()
        self.now += 60 * DAY
        for at in sorted(forgotten):
            self._expire(self.contents[at % len(self.contents)])
        self._check()

    def _expire(self, content: Any) -> None:
        line = _line(content)
        claim = self.ledger.claims.get((line, content.first))
        if isinstance(content, Envelope) and claim is not None:
            _, commit = self.lake.objects.get(claim.key, (VOID, Commit.VOID))
            if commit is Commit.VOID or self.ledger.folded(line).covers(claim.first, claim.last):
                del self.ledger.claims[line, content.first]

    def _sweep(self) -> None:
        self.closers = [actor for actor in self.closers if not actor.done]
        self._check()

    def teardown(self) -> None:
        for actor in self.closers:
            actor.kill()
        super().teardown()

    def _drain(self) -> None:
        """When all is well again everything lands, is folded, is forgotten but for its ranges, and is known when it comes again."""
        super()._drain()
        for _ in range(2):
            self.nights += 1
            actor = Actor(self._close(self.now + (9 + self.nights) * DAY))
            actor.finish()
            _, found = actor.result
            assert (found.complete, found.failed) == (True, 0)
        for content in self.contents:
            self._expire(content)
        assert not self.ledger.claims, "everything is folded"
        before = Counter((line, seq) for line, seq, _ in self.lake.rows())
        messages = [message(text) for text in self.bodies]
        actor = Actor(self._function(messages, f"{self.runs + 9:032x}"))
        actor.finish()
        report: Report = actor.result[1]
        assert {settled.verdict for settled in report.settled} <= {Verdict.DUPLICATE, Verdict.LANDED}  # landed: the notice
        assert Counter((line, seq) for line, seq, _ in self.lake.rows()) == before

    def _lost_conflict(self, content: Envelope) -> bool:
        return False


TestClosing = ClosingMachine.TestCase
TestClosing.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


class SmallMachine(ClosingMachine):
    """Few envelopes, so that they meet more often."""

    bodies: ClassVar[list[str]] = [body(1, [b"a"]), body(2, [b"b"])]


def catches(machine: type[ClosingMachine]) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=3000, stateful_step_count=40, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
            ),
        )  # fmt: skip


def test_the_machine_catches_folding_before_the_object_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeListing, "decided", lambda self, stream, day, run: Commit.DATA)
    catches(SmallMachine)


def test_the_machine_catches_trusting_a_void_whose_answer_says_that_the_key_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken for void, it is data: the claim is never folded, expires, and the envelope lands again."""

    def trusting(self: Closer, claim: Claim, closed: Closed) -> Commit:
        self.lake.create(claim.key, VOID, Commit.VOID)
        return Commit.DATA

    monkeypatch.setattr(Closer, "_void", trusting)
    catches(SmallMachine)
