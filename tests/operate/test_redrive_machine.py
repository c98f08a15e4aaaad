"""Redrive against a slow twin: two operators at once, crashes, refusals and lost answers at any call, letters buried again, time passing.

The twin is the list of all envelopes. On the way none is ever nowhere, and a redrive sends a group's letters in their order. At the
end each reading is in the lake once, state is that of the newest reading, and both queues are empty. Broken variants are caught.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from device_agent.operate.deadletters import DeadLetterQueue
from device_agent.operate.letters import Choice, Letter
from device_agent.wire import envelope
from device_agent.wire.envelope import Envelope
from lambdas.landing.batch import Landing
from lambdas.landing.messages import decoded
from lambdas.state import Applier
from tests.lambdas.fakes import FakeAside, FakeLake, FakeLedger, FakeStates, Fate, InlinePool, LakeMemory, LedgerMemory, StatesMemory
from tests.lambdas.samples import body, message
from tests.lambdas.stepping import Actor
from tests.operate.redrive_world import DEAD, DEDUPLICATION, SOURCE, Client, Queue, Stored

DEVICES = ("board-7", "board-8")
FATES = st.sampled_from([Fate.WELL] * 8 + [fate for fate in Fate if fate not in {Fate.WELL, Fate.DELAYED}])
Number = tuple[str, int]


def numbers(text: str) -> list[Number]:
    """(device, sequence number) of every reading of a body."""
    content = envelope.decode(text)
    assert isinstance(content, Envelope)
    return [(content.device, seq) for seq in range(content.first, content.last + 1)]


@dataclass
class Redrive:
    actor: Actor
    client: Client


class RedriveMachine(RuleBasedStateMachine):
    queue_of: ClassVar[type[DeadLetterQueue]] = DeadLetterQueue

    @initialize()
    def letters(self) -> None:
        """Two boards sent twelve envelopes of one or two readings each; the first eight of each are dead."""
        self.now = 1_795_000_000.0
        self.dead, self.source = Queue(), Queue()
        self.queues = {DEAD: self.dead, SOURCE: self.source}
        self.ledger, self.lake, self.states = LedgerMemory(), LakeMemory(), StatesMemory()
        self.runs = 0
        self.redrives: list[Redrive] = []
        self.all: list[Number] = []
        for device in DEVICES:
            first = 1
            for at in range(12):
                values = [f"{device} {first + more}".encode() for more in range(1 + at % 2)]
                text = body(first, list(values), device=device, stream="events", topics="door")
                self.all += numbers(text)
                queue = self.dead if at < 8 else self.source
                queue.take(Stored(f"{device}-{first}", text, f"{device}.events"))
                first += len(values)

    @rule(device=st.sampled_from([None, *DEVICES]))
    @precondition(lambda self: len(self.redrives) < 2)
    def begin(self, device: str | None) -> None:
        """An operator begins a redrive, of all letters or of one device's."""
        client: Any = None

        def function(gate: Callable[[str], Fate]) -> Any:
            nonlocal client
            client = Client(self.queues, lambda: self.now, gate)
            try:
                return self.queue_of(client, DEAD, wait=0).send_back(SOURCE, choice=Choice(device=device))
            except (ClientError, BotoCoreError):
                return None  # the command says so and ends

        self.redrives.append(Redrive(Actor(function), client))
        self._check()

    @rule(which=st.integers(0, 1), fates=st.lists(FATES, min_size=1, max_size=12))
    @precondition(lambda self: self.redrives)
    def go_on(self, which: int, fates: list[Fate]) -> None:
        """One redrive goes on for some calls."""
        redrive = self.redrives[which % len(self.redrives)]
        for fate in fates:
            if not redrive.actor.done:
                redrive.actor.step(fate)
                self._check()
        self.redrives = [one for one in self.redrives if not one.actor.done]

    @rule(seconds=st.sampled_from([1.0, DEDUPLICATION - 1, DEDUPLICATION + 1]))
    def time_passes(self, seconds: float) -> None:
        """What an operator held comes back, what SQS knew as a repetition is forgotten."""
        self.now += seconds

    @rule(many=st.integers(1, 6), buried=st.booleans())
    @precondition(lambda self: self.source.messages)
    def function_takes(self, many: int, buried: bool) -> None:
        """The function lands and applies the next messages, or fails until SQS buries them."""
        for _ in range(min(many, len(self.source.messages))):
            one = self.source.messages.pop(0)
            if buried:
                self.dead.take(one)
            else:
                self._land(one)
        self._check()

    def _land(self, one: Stored) -> None:
        self.runs += 1
        landing = Landing(
            ledger=FakeLedger(self.ledger), lake=FakeLake(self.lake), aside=FakeAside(), pool=InlinePool(),
            now=lambda: self.now, new_run=lambda: f"{self.runs:032x}",
        )  # fmt: skip
        arrivals = list(decoded([message(one.body, group=one.group)]))
        report = landing.land(arrivals, deadline=self.now + 30)
        applier = Applier(states=FakeStates(self.states), pool=InlinePool(), now=lambda: self.now)
        failed, _, _ = applier.apply(arrivals, report.settled, deadline=self.now + 30)
        assert not failed

    def _check(self) -> None:
        waiting = [number for queue in (self.dead, self.source) for one in queue.messages for number in numbers(one.body)]
        assert set(self._landed()) | set(waiting) == set(self.all), "an envelope is nowhere"
        for redrive in self.redrives:
            for device in DEVICES:
                places = [one.place for one in redrive.client.sent if one.group == f"{device}.events"]
                assert all(before < after for before, after in pairwise(places)), "a group's letters changed places"

    def _landed(self) -> Counter[Number]:
        return Counter((line.device, seq) for line, seq, _ in self.lake.rows())

    def teardown(self) -> None:
        if not hasattr(self, "redrives"):
            return
        for redrive in self.redrives:
            redrive.actor.kill()
        while self.dead.messages or self.source.messages:
            self.now += DEDUPLICATION + 1
            actor = Actor(lambda gate: self.queue_of(Client(self.queues, lambda: self.now, gate), DEAD, wait=0).send_back(SOURCE))
            actor.finish()
            assert (actor.result.failed, self.dead.messages) == (0, [])
            self._check()
            while self.source.messages:
                self._land(self.source.messages.pop(0))
        assert self._landed() == Counter(self.all), "each reading is in the lake, once"
        newest = {device: max(seq for of, seq in self.all if of == device) for device in DEVICES}
        kept = {device: value.place.seq for (device, _, _), value in self.states.values.items()}
        assert kept == newest, "state is that of the newest reading"


TestRedrive = RedriveMachine.TestCase
TestRedrive.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def catches(queue: type[DeadLetterQueue]) -> None:
    machine = type("Broken", (RedriveMachine,), {"queue_of": queue})
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=500, stateful_step_count=30, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
            ),
        )  # fmt: skip


def test_the_machine_catches_deleting_before_sending() -> None:
    class DeletesFirst(DeadLetterQueue):
        def _send(self, letter: Letter, target: str) -> None:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)
            super()._send(letter, target)

    catches(DeletesFirst)


def test_the_machine_catches_a_deduplication_id_that_is_not_the_letters_own() -> None:
    class OneForAll(DeadLetterQueue):
        def _send(self, letter: Letter, target: str) -> None:
            self._sqs.send_message(
                QueueUrl=target, MessageBody=letter.body, MessageGroupId=letter.group, MessageDeduplicationId=f"redrive-{letter.group}"
            )

    catches(OneForAll)


def test_the_machine_catches_another_order_within_a_group() -> None:
    class Backwards(DeadLetterQueue):
        def _receive(self, count: int) -> list[Letter]:
            return super()._receive(count)[::-1]

    catches(Backwards)
