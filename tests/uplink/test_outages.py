"""Long outages in simulated time: how often it is tried, what is reported, and how soon it is over."""

from __future__ import annotations

import random

from device_agent.config import StreamConfig, UplinkConfig
from device_agent.uplink.jobs import Send
from device_agent.uplink.verdicts import Cause, NotSent
from tests.fakes.spool import FakeSpool
from tests.uplink.simulation import LOST, Simulation
from tests.uplink.support import put

AWS = "https://sqs.eu-central-1.amazonaws.com/1/"
DAY = 86_400.0


def test_three_days_offline_cost_a_try_every_half_minute_and_end_within_a_minute() -> None:
    spool = FakeSpool("telemetry", "events")
    streams = [StreamConfig(name="telemetry", queue=AWS + "telemetry"), StreamConfig(name="events", queue=AWS + "events.fifo")]
    sim = Simulation(spool, streams)
    put(spool, "telemetry", b"x")
    put(spool, "events", b"x")
    end = sim.clock.time + 3 * DAY
    tries = 0
    while sim.clock.time < end:
        job = sim.next()
        if isinstance(job, Send):
            tries += 1
            sim.scheduler.done(job, LOST)
            assert spool.in_flight("telemetry") == []
        else:
            sim.clock.time += job.seconds
    assert 0.8 < tries / (2 * 3 * DAY / 30) < 1.2  # two queues, on average half the cap
    assert not spool.is_sendable("telemetry")
    assert sim.scheduler.status()["events"]["since"] < (1_800_000_000 + 1001) * 1e6
    began = sim.clock.time
    while not (spool.delivered_ranges("telemetry") and spool.delivered_ranges("events")):
        job = sim.next()
        if isinstance(job, Send):
            sim.scheduler.done(job, sim.accept(job))
        else:
            sim.clock.time += job.seconds
    assert sim.clock.time - began <= 60
    assert spool.is_sendable("telemetry")


def test_while_a_queue_fails_one_request_at_a_time_is_tried() -> None:
    spool = FakeSpool("telemetry", envelope=1)
    sim = Simulation(spool, [StreamConfig(name="telemetry", queue=AWS + "telemetry")])
    put(spool, "telemetry", *(b"x" for _ in range(100)))
    first = sim.next()
    assert isinstance(first, Send)
    sim.scheduler.done(first, LOST)
    sim.clock.time += 60
    assert isinstance(sim.next(), Send)
    assert not isinstance(sim.next(), Send)


def test_a_failed_request_pins_nothing_in_the_spool() -> None:
    spool = FakeSpool("telemetry", "events", "plain", envelope=5)
    streams = [
        StreamConfig(name="telemetry", queue=AWS + "q"),
        StreamConfig(name="events", queue=AWS + "e.fifo"),
        StreamConfig(name="plain", queue=AWS + "p.fifo", pack=False),
    ]
    sim = Simulation(spool, streams)
    for name in ("telemetry", "events", "plain"):
        put(spool, name, *(b"x" for _ in range(100)))
    for _ in streams:
        job = sim.next()
        assert isinstance(job, Send)
        sim.scheduler.done(job, LOST)
    assert all(spool.in_flight(one.name) == [] for one in streams)


def test_on_a_network_too_slow_for_a_full_request_smaller_ones_are_tried() -> None:
    spool = FakeSpool("telemetry", envelope=1)
    sim = Simulation(spool, [StreamConfig(name="telemetry", queue=AWS + "telemetry")])
    source = random.Random(7)
    put(spool, "telemetry", *(source.randbytes(40_000) for _ in range(40)))
    sizes = []
    for _ in range(200):
        job = sim.next()
        if not isinstance(job, Send):
            sim.clock.time += job.seconds
            continue
        sizes.append(job.size)
        sim.scheduler.done(job, sim.accept(job) if job.size < 200_000 else LOST)
        if spool.delivered_ranges("telemetry") == [(1, 40)]:
            break
    assert spool.delivered_ranges("telemetry") == [(1, 40)]
    assert sizes[0] > 500_000
    assert min(sizes) < 200_000


def test_of_a_border_that_is_half_delivered_only_the_other_half_goes_again() -> None:
    for queue in ("plain", "plain.fifo"):
        spool = FakeSpool("plain")
        sim = Simulation(spool, [StreamConfig(name="plain", queue=AWS + queue, pack=False)])
        put(spool, "plain", *(b"%d" % number for number in range(10)))
        sent: list[int] = []
        for turn in range(200):
            job = sim.next()
            if not isinstance(job, Send):
                sim.clock.time += job.seconds
                continue
            sent += [item.message.first for item in job.items]
            fails = turn % 2 == 0
            result = [
                NotSent(Cause.SERVICE, "x") if fails and item.message.first % 3 == 0 else sim.accept_one(job, index)
                for index, item in enumerate(job.items)
            ]
            sim.scheduler.done(job, result)
        assert spool.delivered_ranges("plain") == [(1, 10)]
        assert len(sim.sqs.accepted) == 10
        assert all(sent.count(number) == 1 for number in range(1, 11) if number % 3)


def test_a_group_that_fails_does_not_hold_up_the_others() -> None:
    spool = FakeSpool("a", "b", envelope=1)
    sim = Simulation(spool, [StreamConfig(name=name, queue=AWS + "e.fifo") for name in ("a", "b")])
    for name in ("a", "b"):
        put(spool, name, *(b"x" for _ in range(10)))
    for _ in range(200):
        job = sim.next()
        if not isinstance(job, Send):
            if spool.delivered_ranges("b") == [(1, 10)]:
                break
            sim.clock.time += job.seconds
            continue
        result = [
            NotSent(Cause.SERVICE, "x") if item.lane.stream.name == "a" else sim.accept_one(job, index)
            for index, item in enumerate(job.items)
        ]
        sim.scheduler.done(job, result)
    assert spool.delivered_ranges("b") == [(1, 10)]
    assert spool.delivered_ranges("a") == []
    assert spool.is_sendable("b")
    assert not spool.is_sendable("a")


def test_a_backlog_drains_at_half_the_rate_at_least_while_live_data_flows() -> None:
    spool = FakeSpool("telemetry", envelope=1)
    sim = Simulation(spool, [StreamConfig(name="telemetry", queue=AWS + "telemetry")], UplinkConfig(senders=1))
    put(spool, "telemetry", *(b"old" for _ in range(1000)))
    first_live = 1001
    waits: list[int] = []
    waiting: dict[int, int] = {}
    turn = 0
    while True:
        turn += 1
        put(spool, "telemetry", *(b"live" for _ in range(5)))  # half of what ten entries a request can carry
        for number in range(first_live, first_live + 5):
            waiting[number] = turn
        first_live += 5
        job = sim.next()
        assert isinstance(job, Send)
        for item in job.items:
            born = waiting.pop(item.message.first, None)
            if born is not None:
                waits.append(turn - born)
        sim.scheduler.done(job, sim.accept(job))
        ranges = spool.delivered_ranges("telemetry")
        if ranges and ranges[0][1] >= 1000:
            break
    assert turn <= 210
    assert max(waits) <= 1
    assert len(waiting) <= 5


def test_a_stream_that_floods_does_not_starve_another() -> None:
    spool = FakeSpool("loud", "quiet", "own", envelope=1)
    streams = [
        StreamConfig(name="loud", queue=AWS + "shared"), StreamConfig(name="quiet", queue=AWS + "shared"),
        StreamConfig(name="own", queue=AWS + "own"),
    ]  # fmt: skip
    sim = Simulation(spool, streams)
    put(spool, "loud", *(b"x" for _ in range(500)))
    put(spool, "quiet", b"x")
    put(spool, "own", b"x")
    for _ in range(2):
        job = sim.next()
        assert isinstance(job, Send)
        sim.scheduler.done(job, sim.accept(job))
    assert spool.delivered_ranges("quiet") == [(1, 1)]
    assert spool.delivered_ranges("own") == [(1, 1)]
