"""Whatever fails, in whatever order answers come: everything arrives, FIFO groups in order, and no id ever stands for two contents."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from device_agent.config import StreamConfig, UplinkConfig
from device_agent.ports import Border
from device_agent.uplink.jobs import Send
from device_agent.uplink.verdicts import Cause, NotSent
from device_agent.wire import envelope
from device_agent.wire.envelope import Envelope
from device_agent.wire.limits import MAX_BATCH_ENTRIES, MAX_MESSAGE
from tests.fakes.spool import FakeSpool
from tests.uplink.simulation import LOST, Simulation, refusal
from tests.uplink.support import put

AWS = "https://sqs.eu-central-1.amazonaws.com/1/"
STREAMS = (
    StreamConfig(name="telemetry", queue=AWS + "telemetry"),
    StreamConfig(name="more", queue=AWS + "telemetry"),
    StreamConfig(name="plain", queue=AWS + "plain", pack=False),
    StreamConfig(name="events", queue=AWS + "events.fifo"),
    StreamConfig(name="alarms", queue=AWS + "events.fifo"),
    StreamConfig(name="steps", queue=AWS + "steps.fifo", pack=False),
    StreamConfig(name="left", queue=AWS + "shared.fifo", group="{device}"),
    StreamConfig(name="right", queue=AWS + "shared.fifo", group="{device}"),
)
NAMES = [one.name for one in STREAMS]
SENDERS = 4


class UplinkMachine(RuleBasedStateMachine):
    """The real scheduler against a cloud and a network that do whatever they like."""

    def __init__(self) -> None:
        super().__init__()
        self.spool = FakeSpool(*NAMES, envelope=3)
        self.sim = Simulation(self.spool, STREAMS, UplinkConfig(backoff_first=0.2, backoff_cap=5.0))
        self.flying: list[Send] = []
        self.late: list[Send] = []  # given up by the agent, but still on their way to SQS
        self.put = dict.fromkeys(NAMES, 0)
        self.refused: set[tuple[str, int]] = set()
        self.failed: dict[tuple[str, str | None], str] = {}  # by group: id of the message that must go first

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 8))
    def a_batch_is_committed(self, name: str, count: int) -> None:
        put(self.spool, name, *(b"%s %d" % (name.encode(), self.put[name] + number) for number in range(count)))
        self.put[name] += count

    @precondition(lambda self: len(self.flying) < SENDERS)
    @rule()
    def a_sender_asks(self) -> None:
        job = self.sim.next()
        if isinstance(job, Send):
            self.flying.append(job)
            for item in job.items if job.queue.fifo else ():
                first = self.failed.pop((job.queue.url, item.message.group), item.message.id)
                assert item.message.id == first, "something of the group went before the failed message"

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def a_request_is_answered(self, data: st.DataObject) -> None:
        job = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        fates = data.draw(
            st.lists(st.sampled_from(["ok", "ok", "ok", "fails", "unnamed"]), min_size=len(job.items), max_size=len(job.items))
        )
        result = [
            self.sim.accept_one(job, index) if fate == "ok" else NotSent(Cause.SERVICE, fate) for index, fate in enumerate(fates)
        ]  # fmt: skip
        self.sim.scheduler.done(job, result)
        self.note_failures(job, [isinstance(verdict, NotSent) for verdict in result])

    def note_failures(self, job: Send, failed: list[bool]) -> None:
        if job.queue.fifo:
            self.failed |= {
                (job.queue.url, item.message.group): item.message.id for item, bad in zip(job.items, failed, strict=True) if bad
            }  # fmt: skip

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), accepted=st.booleans(), late=st.booleans())
    def an_answer_is_lost(self, data: st.DataObject, accepted: bool, late: bool) -> None:
        job = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        if accepted:
            self.sim.accept(job)
        elif late:
            self.late.append(job)
        self.sim.scheduler.done(job, LOST)
        self.note_failures(job, [True] * len(job.items))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def a_request_is_refused_for_its_content(self, data: st.DataObject) -> None:
        job = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        if len(job.items) == 1:
            message = job.items[0].message
            self.refused |= {(job.items[0].lane.stream.name, number) for number in range(message.first, message.last + 1)}
            self.sim.refused.add(message.body)
        self.sim.scheduler.done(job, refusal())
        if len(job.items) > 1:
            self.note_failures(job, [True] * len(job.items))

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def a_request_arrives_late(self, data: st.DataObject) -> None:
        job = self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))
        self.sim.accept(job)

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.sim.clock.time += seconds

    @rule()
    def the_agent_crashes(self) -> None:
        self.late += self.flying
        self.flying = []
        self.failed = {}
        self.sim.boot()
        for name in NAMES:
            for border in self.spool.in_flight(name):
                self.spool.give_back(border)

    @invariant()
    def requests_keep_the_rules(self) -> None:
        groups = [(job.queue.url, item.message.group) for job in self.flying for item in job.items if job.queue.fifo]
        assert len(set(groups)) == len(groups), "two messages of a group are in flight"
        ids = [(item.lane.stream.name, item.message.id) for job in self.flying for item in job.items]
        assert len(set(ids)) == len(ids), "a message is in flight twice"
        held = {(border.stream, border.epoch, border.first) for name in NAMES for border in self.spool.in_flight(name)}
        for job in self.flying:
            borders = [item.parcel.border for item in job.items]
            loose = [one for one in borders if (one.stream, one.epoch, one.first) not in held]
            # a message that was accepted before a crash and is sent again may come after the rest of its border: see below
            assert all(self.settled(one) for one in loose), "a border was given back while a message of it is in flight"
            assert 1 <= len(job.items) <= MAX_BATCH_ENTRIES
            assert job.size <= MAX_MESSAGE

    def settled(self, border: Border) -> bool:
        return any(first <= border.first and border.last <= last for first, last in self.spool.delivered_ranges(border.stream))

    @invariant()
    def groups_are_in_order_and_ids_have_one_content(self) -> None:
        contents: dict[tuple[str, str], str] = {}
        newest: dict[str, int] = {}
        seen = set()
        for one in self.sim.sqs.accepted:
            event = envelope.decode(one.body)
            assert contents.setdefault((event.stream, event.id), event.digest()) == event.digest()
            if one.group is None or not isinstance(event, Envelope) or (event.stream, event.id) in seen:
                continue
            seen.add((event.stream, event.id))
            assert event.first > newest.get(event.stream, 0), f"{event.stream} {event.first} came after {newest[event.stream]}"
            newest[event.stream] = event.last

    def teardown(self) -> None:
        """The network comes back: everything is accepted, or was refused for what it is."""
        for job in self.flying:
            self.sim.scheduler.done(job, LOST)
        self.flying = []
        self.sim.run()
        arrived = {
            (event.stream, number)
            for one in self.sim.sqs.accepted
            if isinstance(event := envelope.decode(one.body), Envelope)
            for number in range(event.first, event.last + 1)
        }
        for name in NAMES:
            wanted = {(name, number) for number in range(1, self.put[name] + 1)}
            assert wanted <= arrived | self.refused
            assert self.spool.in_flight(name) == []
            assert self.spool.is_sendable(name)
            if self.put[name]:
                assert self.spool.delivered_ranges(name) == [(1, self.put[name])]
        self.groups_are_in_order_and_ids_have_one_content()
        assert all(said["state"] == "ok" for said in self.sim.scheduler.status().values())


TestUplinkMachine = UplinkMachine.TestCase
TestUplinkMachine.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)  # fmt: skip


def test_a_message_that_was_accepted_before_a_crash_may_be_sent_again_last() -> None:
    """The rest of its border settles the border, since the spool knows of the first time; the message itself goes on, and harms nobody."""
    machine = UplinkMachine()

    def answered(fails: set[int]) -> None:
        machine.a_sender_asks()
        job = machine.flying.pop()
        numbers = [item.message.first for item in job.items]
        result = [
            NotSent(Cause.SERVICE, "simulated") if number in fails else machine.sim.accept_one(job, index)
            for index, number in enumerate(numbers)
        ]  # fmt: skip
        machine.sim.scheduler.done(job, result)

    machine.a_batch_is_committed("plain", 6)
    answered({3, 5})
    machine.the_agent_crashes()
    answered({6})  # accepted before the crash; 4 and 5 are now
    assert machine.spool.delivered_ranges("plain") == [(1, 6)]
    machine.time_passes(1.0)
    machine.a_sender_asks()
    assert [item.message.first for item in machine.flying[0].items] == [6]
    machine.requests_keep_the_rules()
    machine.teardown()
