"""The events function against a slow twin: a FIFO queue, two invocations at a time, crashes and lost answers anywhere, any redelivery.

The twin applies every message once, one after the other, in the order of the queue. State never goes backwards on the way, and ends where
the twin's does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from device_agent.wire.envelope import Envelope
from lambdas import latest, state
from lambdas.landing.batch import Landing
from lambdas.landing.messages import Arrival, Message, decoded
from lambdas.latest import Applied, Place
from lambdas.state import Applier
from tests.lambdas.fakes import (
    FakeAside,
    FakeLake,
    FakeLedger,
    FakeStates,
    Fate,
    InlinePool,
    LakeMemory,
    LedgerMemory,
    Network,
    StatesMemory,
)
from tests.lambdas.samples import E2, E3, body, message, notice
from tests.lambdas.stepping import Actor

MOSTLY_WELL = st.sampled_from([Fate.WELL] * 8 + [fate for fate in Fate if fate not in {Fate.WELL, Fate.DELAYED}])


def queue() -> list[Message]:
    """Two groups: a device whose log was renewed twice (with one late message of an old epoch and poison), and one that lost readings."""

    def one(text: str, group: str) -> Message:
        return message(text, group=group)

    b7, b8 = "board-7.events", "board-8.events"
    return [
        one(body(1, [b"a1", b"b2", b"a3"], topics=["a", "b", "a"], stream="events"), b7),
        one(body(1, [b"x1"], topics="x", stream="events", device="board-8"), b8),
        one(body(4, [b"b4"], topics="b", stream="events"), b7),
        one(body(1, [b"A1"], topics="a", stream="events", epoch=E2), b7),
        one("rubbish", b7),
        one(notice(2, 8, stream="events", device="board-8"), b8),
        one(body(5, [b"late", b"late"], topics=["a", "only-old"], stream="events"), b7),
        one(body(9, [b"x9", b"y10"], topics=["x", "y"], stream="events", device="board-8"), b8),
        one(body(1, [b"B1"], topics="b", stream="events", epoch=E3), b7),
        one(body(2, [b"none"], stream="events", epoch=E3), b7),
    ]


Values = dict[tuple[str, str], tuple[Place, bytes]]


def twin(messages: list[Message]) -> tuple[dict[str, Place], Values]:
    """Apply every message once, in order, in the most obvious way."""
    epochs: dict[str, list[str]] = {}
    positions: dict[str, Place] = {}
    values: Values = {}
    for arrival in decoded(messages):
        content = arrival.content
        if not isinstance(content, Envelope):
            continue
        seen = epochs.setdefault(content.device, [])
        if content.epoch not in seen:
            seen.append(content.epoch)
        ordinal = seen.index(content.epoch) + 1
        if ordinal < len(seen):
            continue
        positions[content.device] = Place(ordinal, content.last)
        for seq, (_, _, topic, _, payload) in enumerate(content.readings.rows(), content.first):
            assert isinstance(payload, bytes)
            values[content.device, topic or ""] = (Place(ordinal, seq), payload)
    return positions, values


@dataclass
class Flight:
    actor: Actor
    batch: list[Message]


class StateMachine(RuleBasedStateMachine):
    """At most two invocations: the second is there because the first one's messages became visible again."""

    @initialize()
    def full_queue(self) -> None:
        self.ledger, self.lake, self.states = LedgerMemory(), LakeMemory(), StatesMemory()
        self.letters: list[tuple[Message, str]] = []
        self.now, self.runs = 1_795_000_000.0, 0
        self.all = queue()
        self.queue = list(self.all)
        self.flights: list[Flight] = []
        self.receives = dict.fromkeys((one.id for one in self.all), 0)
        self.seen: tuple[dict[tuple[str, str], Place], dict[tuple[str, str, str], Place]] = ({}, {})

    def _receive(self, size: int) -> list[Message]:
        batch = []
        for one in self.queue[:size]:
            self.receives[one.id] += 1
            batch.append(Message(id=one.id, body=one.body, arrived=one.arrived, receives=self.receives[one.id], group=one.group))
        return batch

    @rule(size=st.integers(1, 10))
    @precondition(lambda self: len(self.flights) < 2 and self.queue)
    def invoke(self, size: int) -> None:
        """The first messages of the queue are delivered, although another invocation may still have them."""
        batch = self._receive(size)
        self.runs += 1
        self.flights.append(Flight(Actor(self._function(batch, f"{self.runs:032x}")), batch))
        self._harvest()

    def _function(self, batch: list[Message], run: str) -> Callable[[Callable[[str], Fate]], tuple[list[int], list[Applied], list[str]]]:
        def function(gate: Callable[[str], Fate]) -> tuple[list[int], list[Applied], list[str]]:
            network = Network(gate)
            landing = Landing(
                ledger=FakeLedger(self.ledger, network),
                lake=FakeLake(self.lake, network),
                aside=FakeAside(self.letters, network),
                pool=InlinePool(),
                now=lambda: self.now,
                new_run=lambda: run,
            )
            arrivals: list[Arrival] = list(decoded(batch))
            deadline = self.now + 60
            report = landing.land(arrivals, deadline=deadline)
            applier = Applier(states=FakeStates(self.states, network), pool=InlinePool(), now=lambda: self.now)
            return applier.apply(arrivals, report.settled, deadline=deadline)

        return function

    @rule(which=st.integers(0, 1), fates=st.lists(MOSTLY_WELL, min_size=1, max_size=12))
    @precondition(lambda self: self.flights)
    def step(self, which: int, fates: list[Fate]) -> None:
        flight = self.flights[which % len(self.flights)]
        for fate in fates:
            if not flight.actor.done:
                flight.actor.step(fate)
                self._check()
        self._harvest()

    @rule(which=st.integers(0, 1))
    @precondition(lambda self: self.flights)
    def go_on(self, which: int) -> None:
        self.flights[which % len(self.flights)].actor.finish()
        self._harvest()

    @rule()
    def time_passes(self) -> None:
        self.now += 100

    def _harvest(self) -> None:
        for flight in [flight for flight in self.flights if flight.actor.done]:
            self.flights.remove(flight)
            if flight.actor.error is None:
                failed, _, _ = flight.actor.result
                self._answered(flight.batch, set(failed))
        self._check()

    def _answered(self, batch: list[Message], failed: set[int]) -> None:
        stopped: set[str] = set()
        for index, one in enumerate(batch):
            if index in failed:
                stopped.add(one.group)
            else:
                assert one.group not in stopped, "a message succeeded behind a failed one of its group"
                self.queue = [kept for kept in self.queue if kept.id != one.id]

    def _check(self) -> None:
        positions = {key: position.place for key, position in self.states.positions.items()}
        values = {key: value.place for key, value in self.states.values.items()}
        for before, after in zip(self.seen, (positions, values), strict=True):
            assert all(after[key] >= place for key, place in before.items()), "state went backwards"
        self.seen = (positions, values)

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        for flight in self.flights:
            flight.actor.kill()
        for _ in range(8):  # poison needs three receives
            self.now += 1000
            if self.queue:
                self.flights = []
                self.invoke(10)
                for flight in list(self.flights):
                    flight.actor.finish()
                self._harvest()
        assert not self.queue, "a group is stuck"
        positions, values = twin(self.all)
        assert {device: position.place for (device, _), position in self.states.positions.items()} == positions
        assert {(device, topic): (one.place, one.payload) for (device, _, topic), one in self.states.values.items()} == values


TestState = StateMachine.TestCase
TestState.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


def _catches(machine: type[StateMachine]) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=1500, stateful_step_count=25, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
            ),
        )  # fmt: skip


def test_the_machine_catches_a_group_that_goes_on_behind_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: Applier, arrivals: list[Arrival], settled: list[object], *, deadline: float) -> object:
        failed = []
        for index, (arrival, verdict) in enumerate(zip(arrivals, settled, strict=True)):
            try:
                self._one(arrival, verdict, [], deadline=deadline)
            except (state.NotNow, state.Unknown):
                failed.append(index)
        return failed, [], []

    monkeypatch.setattr(Applier, "apply", careless)
    _catches(StateMachine)


def test_the_machine_catches_epochs_that_overtake(monkeypatch: pytest.MonkeyPatch) -> None:
    real = latest.Position

    def by_number_alone(**fields: object) -> latest.Position:
        place = fields.pop("place")
        assert isinstance(place, Place)
        return real(place=Place(1, place.seq), **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(latest, "Position", by_number_alone)
    _catches(StateMachine)


def test_a_crash_between_position_and_values_is_made_good_by_the_redelivery() -> None:
    machine = StateMachine()
    machine.full_queue()
    machine.invoke(1)
    [flight] = machine.flights
    while flight.actor.operation != "put value":
        flight.actor.step()
    flight.actor.kill()
    assert machine.states.positions
    assert not machine.states.values
    machine.teardown()


def test_poison_is_set_aside_and_nothing_else() -> None:
    machine = StateMachine()
    machine.full_queue()
    machine.teardown()
    assert [(letter.body, reason) for letter, reason in machine.letters] == [("rubbish", "body is not JSON")]
