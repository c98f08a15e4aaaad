"""Random invocations against a slow twin: any batch, any order, twins, crashes, refusals, lost and late answers, leases over, step by step.

The twin is the list of all envelopes: at the end each of their readings is in the lake, once, with its payload. All along, no envelope
is in two objects or in half of one, and a message that succeeded is where it should be. The same machine must catch broken protocols.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from device_agent.wire.envelope import Envelope, Notice
from device_agent.wire.ledger import Line
from lambdas.landing import protocol
from lambdas.landing.batch import Landing, Report, Verdict
from lambdas.landing.draft import Draft
from lambdas.landing.messages import Message, decoded
from lambdas.landing.ports import Claim, Commit
from lambdas.landing.protocol import Outcome, Result
from tests.lambdas.fakes import FakeAside, FakeLake, FakeLedger, Fate, InlinePool, LakeMemory, LedgerMemory, Network
from tests.lambdas.samples import E2, body, message, notice
from tests.lambdas.stepping import Actor

BODIES = [
    body(1, [b"a", b"b"]),
    body(3, [b"c"]),
    body(1, [b"d"], epoch=E2),
    body(1, [b"e"], stream="events", topics="t"),
    body(3, [b"other content"]),  # a conflict with the second
    notice(4, 6),
]
MOSTLY_WELL = st.sampled_from([Fate.WELL] * 6 + [fate for fate in Fate if fate is not Fate.WELL])
MAX_ACTORS = 3


class LandingMachine(RuleBasedStateMachine):
    """Up to three invocations at a time over one ledger and one lake."""

    overwrites: ClassVar[bool] = False
    bodies: ClassVar[list[str]] = BODIES

    @initialize()
    def empty(self) -> None:
        self.ledger, self.lake = LedgerMemory(), LakeMemory()
        self.delayed: list[Callable[[], object]] = []
        self.letters: list[tuple[Message, str]] = []
        self.now, self.runs = 1_795_000_000.0, 0
        self.actors: list[Actor] = []
        self.sent: dict[str, int] = {}  # message id -> index into BODIES
        self.done: dict[str, Verdict] = {}  # successful messages
        self.contents = [arrival.content for arrival in decoded(message(text) for text in self.bodies)]

    @rule(chosen=st.lists(st.integers(0, len(BODIES) - 1), min_size=1, max_size=4))
    @precondition(lambda self: len(self.actors) < MAX_ACTORS)
    def invoke(self, chosen: list[int]) -> None:
        """A batch arrives: envelopes may come any number of times, in any order, to any invocation."""
        chosen = [index % len(self.bodies) for index in chosen]
        messages = [message(self.bodies[index]) for index in chosen]
        self.sent |= {one.id: index for one, index in zip(messages, chosen, strict=True)}
        self.runs += 1
        self.actors.append(Actor(self._function(messages, f"{self.runs:032x}")))
        self._harvest()

    def _function(self, messages: list[Message], run: str) -> Callable[[Callable[[str], Fate]], tuple[list[Message], Report]]:
        def function(gate: Callable[[str], Fate]) -> tuple[list[Message], Report]:
            network = Network(gate, self.delayed)
            landing = Landing(
                ledger=FakeLedger(self.ledger, network),
                lake=FakeLake(self.lake, network, self.overwrites),
                aside=FakeAside(self.letters, network),
                pool=InlinePool(),
                now=lambda: self.now,
                new_run=lambda: run,
            )
            return messages, landing.land(decoded(messages), deadline=self.now + 60)

        return function

    @rule(which=st.integers(0, MAX_ACTORS - 1), fates=st.lists(MOSTLY_WELL, min_size=1, max_size=6))
    @precondition(lambda self: self.actors)
    def step(self, which: int, fates: list[Fate]) -> None:
        """One invocation goes on for some operations."""
        actor = self.actors[which % len(self.actors)]
        for fate in fates:
            if not actor.done:
                actor.step(fate)
                self._check()
        self._harvest()

    @rule(which=st.integers(0, MAX_ACTORS - 1), before_put=st.booleans())
    @precondition(lambda self: self.actors)
    def go_on(self, which: int, before_put: bool) -> None:
        """One invocation goes on in peace: to its end, or until it is about to put its object (where it may stay for long)."""
        actor = self.actors[which % len(self.actors)]
        while not actor.done and not (before_put and actor.operation == "create data"):
            actor.step()
            self._check()
        self._harvest()

    @rule(which=st.integers(0, 20))
    @precondition(lambda self: self.delayed)
    def late(self, which: int) -> None:
        """A request that was long given up reaches the server."""
        self.delayed.pop(which % len(self.delayed))()

    @rule(seconds=st.sampled_from([1, 100, 100]))
    def time_passes(self, seconds: int) -> None:
        """Leases end, while their invocations may still be at work: clocks differ."""
        self.now += seconds

    def _harvest(self) -> None:
        for actor in [actor for actor in self.actors if actor.done]:
            self.actors.remove(actor)
            if actor.error is None:
                messages, report = actor.result
                verdicts = {one.id: settled.verdict for one, settled in zip(messages, report.settled, strict=True)}
                self.done |= {ident: verdict for ident, verdict in verdicts.items() if verdict is not Verdict.FAILED}
        self._check()

    @invariant()
    def nothing_is_doubled_halved_or_lost(self) -> None:
        self._check()

    def _check(self) -> None:
        found = Counter((line, seq) for line, seq, _ in self.lake.rows())
        assert set(found.values()) <= {1}, "a reading is in the lake twice"
        objects = [{(line, seq) for line, seq, _ in LakeMemory({key: value}).rows()} for key, value in self.lake.objects.items()]
        for content in self.contents:
            if isinstance(content, Envelope):
                numbers = {(_line(content), seq) for seq in range(content.first, content.last + 1)}
                assert all(numbers <= one or not numbers & one for one in objects), "an envelope is in half of an object"
        for ident, verdict in self.done.items():
            content = self.contents[self.sent[ident]]
            if verdict is Verdict.ASIDE:
                assert ident in {letter.id for letter, _ in self.letters}
            elif isinstance(content, Notice):
                assert (_line(content), content.first, content.last) in self.ledger.notices
            else:
                assert isinstance(content, Envelope)
                payloads = {(line, seq): row["data"] for line, seq, row in self.lake.rows()}
                for seq, payload in enumerate(content.readings.payloads, content.first):
                    assert isinstance(payload, bytes)
                    assert payloads.get((_line(content), seq)) == payload.decode(), "a message succeeded, its readings are not there"

    def teardown(self) -> None:
        for actor in self.actors:
            actor.kill()
        if hasattr(self, "ledger"):
            self._drain()

    def _drain(self) -> None:
        """When all is well again, everything lands: nothing is stuck."""
        for effect in self.delayed:
            effect()
        self.now += 1000
        for round_ in range(2):
            messages = [message(text) for text in self.bodies]
            actor = Actor(self._function(messages, f"{self.runs + 1 + round_:032x}"))
            actor.finish()
            report: Report = actor.result[1]
            assert Verdict.FAILED not in {settled.verdict for settled in report.settled}, report
        self._check()
        kept = [content for content in self.contents if isinstance(content, Envelope) and not self._lost_conflict(content)]
        twin = Counter((_line(one), seq, payload) for one in kept for seq, payload in enumerate(one.readings.payloads, one.first))
        assert Counter((line, seq, row["data"].encode()) for line, seq, row in self.lake.rows()) == twin

    def _lost_conflict(self, content: Envelope) -> bool:
        return self.ledger.claims[_line(content), content.first].digest != content.digest()


def _line(content: Envelope | Notice) -> Line:
    return Line(content.device, content.stream, content.epoch)


TestLanding = LandingMachine.TestCase
TestLanding.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


class SmallMachine(LandingMachine):
    """Few envelopes, so that they meet more often."""

    bodies: ClassVar[list[str]] = BODIES[:2]


class OverwritingMachine(SmallMachine):
    """Keys can be overwritten: no `If-None-Match`."""

    overwrites = True


def _catches(machine: type[LandingMachine]) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=3000, stateful_step_count=30, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
            ),
        )  # fmt: skip


def test_the_machine_catches_keys_that_can_be_overwritten() -> None:
    _catches(OverwritingMachine)


def test_the_machine_catches_putting_although_a_claim_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Draft, "spoil", lambda self, reason: None)
    _catches(SmallMachine)


def test_the_machine_catches_taking_over_a_key_that_is_not_void(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(mine: Claim, old: Claim, *, ledger: FakeLedger, lake: FakeLake, now: Callable[[], float]) -> Result:
        if lake.head(old.key) is Commit.DATA:
            return Result(Outcome.DUPLICATE)
        return Result(Outcome.MINE if ledger.move(mine, old_key=old.key) else Outcome.FAILED)

    monkeypatch.setattr(protocol, "_take_over", hasty)
    _catches(SmallMachine)


def test_the_machine_catches_trusting_a_put_that_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def trusting(key: str, content: bytes, *, lake: FakeLake) -> Result:
        lake.create(key, content, Commit.DATA)
        return Result(Outcome.MINE)

    monkeypatch.setattr(protocol, "put", trusting)
    _catches(SmallMachine)
