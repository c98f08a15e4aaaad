"""Spool and packer against a slow twin: however often an envelope is packed, with whatever in between, its id means the same readings.

The cloud tells repeats by their id, and sets the same id with other readings aside as a conflict: so an id, once on its way, may never
change what it stands for, whether a border is given back, partly delivered, cut off by a power cut, or packed again by the next process.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from device_agent import packer
from device_agent.config import WhenFull
from device_agent.packer import Message
from device_agent.ports import Border
from device_agent.wire import envelope
from device_agent.wire.block import Payload
from device_agent.wire.envelope import Envelope
from device_agent.wire.limits import KIB, MIB
from tests.spool.world import World

Content = tuple[int, int, list[Payload]]


class PackerMachine(RuleBasedStateMachine):
    """What was packed under each id, and which numbers the cloud has."""

    @initialize(
        seed=st.integers(0, 2**32),
        pack=st.booleans(),
        linger=st.sampled_from([0.0, 5.0]),
        envelope_size=st.sampled_from([8 * KIB, 64 * KIB]),
    )
    def begin(self, seed: int, pack: bool, linger: float, envelope_size: int) -> None:
        self.world = World(seed=seed, when_full=WhenFull.BLOCK, linger=linger, max_bytes=4 * MIB, max_envelope=envelope_size, pack=pack)
        self.stream = self.world.streams[0]
        self.meant: dict[str, Content] = {}
        self.arrived: set[int] = set()

    def packed(self, border: Border) -> list[Message]:
        """Pack a border, and hold every message against what its id meant before and what was acknowledged."""
        messages = packer.pack("board-7", "device-agent/0", self.stream, border, self.world.spool.read(border))
        acknowledged, number = self.world.twins["a"].acknowledged, border.first
        for message in messages:
            event = envelope.decode(message.body)
            assert isinstance(event, Envelope)
            assert (event.id, event.first, event.last) == (message.id, message.first, message.last)
            assert (message.first, message.last) == (number, number + len(event.readings.payloads) - 1), "in order, without a gap"
            content = (message.first, message.last, event.readings.payloads)
            assert self.meant.setdefault(message.id, content) == content, "an id that was on its way means something else now"
            for at, payload in enumerate(event.readings.payloads, message.first):
                assert acknowledged.get(at, payload) == payload, f"number {at} has other content than was acknowledged"
            number = message.last + 1
        assert number == border.last + 1, "all of the border is packed"
        assert self.stream.pack is False or len(messages) == 1
        return messages

    @rule(count=st.integers(1, 60), size=st.sampled_from([0, 10, 300]), replies=st.booleans())
    def put(self, count: int, size: int, replies: bool) -> None:
        self.world.put(count, size, replies=replies)

    @rule(seconds=st.sampled_from([0.0, 0.5, 6.0]))
    def later(self, seconds: float) -> None:
        self.world.later(seconds)

    @rule(fresh=st.booleans())
    def take_and_pack(self, fresh: bool) -> None:
        border = self.world.take(fresh=fresh)
        if border is not None:
            self.packed(border)

    @precondition(lambda self: self.world.flying)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        self.world.give_back(data.draw(st.sampled_from(self.world.flying)))

    @precondition(lambda self: self.world.flying)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        border = data.draw(st.sampled_from(self.world.flying))
        self.arrived.update(range(border.first, border.last + 1))
        self.world.deliver(border)

    @precondition(lambda self: self.world.flying)
    @rule(data=st.data())
    def deliver_a_part_and_give_back(self, data: st.DataObject) -> None:
        border = data.draw(st.sampled_from(self.world.flying))
        messages = self.packed(border)
        sent = messages[: data.draw(st.integers(0, len(messages) - 1))]
        for message in sent:
            numbers = range(message.first, message.last + 1)
            self.arrived.update(numbers)
            self.world.twins["a"].delivered.update(numbers)
            self.world.spool.delivered(border, message.first, message.last)
        self.world.give_back(border)

    @rule()
    def power_cut(self) -> None:
        self.world.restart()

    @rule()
    def stop_and_start(self) -> None:
        self.world.restart(orderly=True, cut=False)

    def teardown(self) -> None:
        """Send what is left: everything that was acknowledged has arrived under some id, and what arrived twice was the same."""
        if not hasattr(self, "world"):
            return
        for border in list(self.world.flying):
            self.world.give_back(border)
        for _ in range(2):  # an open envelope is closed when no closed one waits
            self.world.later(20.0)
            while (border := self.world.take()) is not None:
                for message in self.packed(border):
                    self.arrived.update(range(message.first, message.last + 1))
                self.world.deliver(border)
        assert self.world.twins["a"].acknowledged.keys() <= self.arrived


TestPacker = PackerMachine.TestCase
TestPacker.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)
