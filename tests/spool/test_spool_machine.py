"""The spool against its slow twin: random actions, power cuts at any operation, every acknowledged reading still there."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from device_agent.config import WhenFull
from device_agent.wire.limits import KIB
from tests.spool.disk import PowerCut
from tests.spool.world import ROOT, World


class SpoolMachine(RuleBasedStateMachine):
    world: World

    @initialize(
        seed=st.integers(0, 2**32),
        when_full=st.sampled_from(WhenFull),
        linger=st.sampled_from([0.0, 5.0]),
        preallocates=st.booleans(),
        pack=st.booleans(),
    )
    def begin(self, seed: int, when_full: WhenFull, linger: float, preallocates: bool, pack: bool) -> None:
        self.world = World(seed=seed, when_full=when_full, linger=linger, max_bytes=420 * KIB, pack=pack)
        self.world.disk.preallocates = preallocates

    @rule(count=st.integers(1, 40), size=st.sampled_from([0, 10, 100, 1500]), replies=st.booleans())
    def put(self, count: int, size: int, replies: bool) -> None:
        self.world.put(count, size, replies=replies)

    @rule(count=st.integers(1, 3))
    def put_large(self, count: int) -> None:
        self.world.put(count, self.world.spool.max_reading("a"))

    @rule()
    def turn(self) -> None:
        self.world.turn()

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0]))
    def later(self, seconds: float) -> None:
        self.world.later(seconds)

    @rule(now=st.booleans())
    def online(self, now: bool) -> None:
        self.world.online(now)

    @rule(fresh=st.booleans())
    def take(self, fresh: bool) -> None:
        self.world.take(fresh=fresh)

    @precondition(lambda self: self.world.flying)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        self.world.deliver(data.draw(st.sampled_from(self.world.flying)))

    @precondition(lambda self: self.world.flying)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        self.world.give_back(data.draw(st.sampled_from(self.world.flying)))

    @precondition(lambda self: self.world.flying)
    @rule(data=st.data())
    def quarantine(self, data: st.DataObject) -> None:
        self.world.quarantine(data.draw(st.sampled_from(self.world.flying)))

    @rule()
    def deliver_everything(self) -> None:
        for border in list(self.world.flying):
            self.world.deliver(border)
        while (taken := self.world.take()) is not None:
            self.world.deliver(taken)

    @rule()
    def power_cut(self) -> None:
        self.world.restart()

    @rule(after=st.integers(0, 30), count=st.integers(1, 60), size=st.sampled_from([10, 1500]))
    def power_cut_while_writing(self, after: int, count: int, size: int) -> None:
        self.world.disk.cut_at = self.world.disk.count + after
        try:
            self.world.put(count, size)
            self.world.later(2.0)
        except PowerCut:
            pass
        self.world.restart()

    @rule(after=st.integers(0, 30))
    def power_cut_while_opening(self, after: int) -> None:
        self.world.disk.power_cut(self.world.random)
        self.world.disk.cut_at = after
        try:
            self.world.restart(cut=False)
            self.world.disk.cut_at = None
        except PowerCut:
            self.world.restart()

    @rule(cut=st.booleans())
    def stop_and_start(self, cut: bool) -> None:
        self.world.restart(orderly=True, cut=cut)

    @invariant()
    def nothing_is_lost(self) -> None:
        self.world.check()

    @invariant()
    def the_cap_holds(self) -> None:
        assert self.world.disk.under(ROOT) <= self.world.config.max_bytes
        assert self.world.disk.peak <= self.world.config.max_bytes


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)
