"""What SQS refuses for good: a mistake in the configuration costs a handful of envelopes, and a disk that takes none of them loses none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from device_agent.config import UplinkConfig
from device_agent.uplink.jobs import Send
from device_agent.wire.envelope import NOTICE_TYPE
from tests.fakes.spool import FakeSpool
from tests.fakes.sqs import FakeSqs, Fault
from tests.fakes.sqs.model import Sqs, SqsError
from tests.uplink.conftest import Start
from tests.uplink.simulation import Simulation
from tests.uplink.support import payloads, put, stream

Eventually = Callable[[Callable[[], bool]], None]
NAMES = ("telemetry", "events.fifo")
SLOW = UplinkConfig(backoff_first=5.0, backoff_cap=60.0)


class OnlyNotices(Sqs):
    """A queue that refuses all but notices."""

    def send(self, name: str, entry: Mapping[str, Any]) -> dict[str, str]:
        if NOTICE_TYPE not in entry["MessageBody"]:
            raise SqsError("InvalidMessageContents")
        return super().send(name, entry)


@pytest.mark.parametrize("name", NAMES)
def test_a_queue_that_takes_less_than_the_envelopes_costs_a_handful_of_them(
    name: str, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    """A backlog of 30 MB went into the quarantine within two seconds, and most of it out again at the other end: that has its own cap."""
    key = name.removesuffix(".fifo")
    spool = FakeSpool(key, envelope=1)
    put(spool, key, *(bytes([number]) * 8_000 + bytes(range(256)) * 20 for number in range(60)))
    uplink = start(spool, stream(sqs.create(name, MaximumMessageSize="1024"), pack=False), config=SLOW)
    eventually(lambda: uplink.status()[key]["state"] == "backing off")
    assert "takes 1024" in uplink.status()[key]["problem"]
    assert len(spool.quarantined) <= 5
    assert not spool.is_sendable(key)


def test_notices_that_are_accepted_do_not_hide_that_all_else_is_refused() -> None:
    spool, where = FakeSpool("telemetry", envelope=1), "https://sqs.eu-central-1.amazonaws.com/1/telemetry"
    sim = Simulation(spool, [stream(where)], SLOW)
    sim.sqs = OnlyNotices(clock=sim.clock.monotonic)
    sim.sqs.create_queue("telemetry", where, {})
    put(spool, "telemetry", *(b"%d" % number for number in range(200)))
    end = sim.clock.time + 60
    while sim.clock.time < end:
        job = sim.next()
        if isinstance(job, Send):
            sim.scheduler.done(job, sim.accept(job))
        else:
            sim.clock.time += max(job.seconds, 0.001)
    assert sim.sqs.accepted, "notices are sent all the while"
    assert len(spool.quarantined) <= 60  # a request of ten at each of a few tries


@pytest.mark.parametrize("name", NAMES)
def test_while_the_disk_takes_no_quarantine_the_refused_message_waits_and_its_neighbours_have_their_verdicts(
    name: str, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    """It was taken for a bug: the verdicts behind it were not heard, and the message was forgotten until the next start."""
    key = name.removesuffix(".fifo")
    spool = FakeSpool(key, envelope=1)
    spool.unwritable = "No space left on device"
    sqs.script(Fault("entries", "InvalidMessageContents", entries=(0,), times=None))
    put(spool, key, *(b"%d" % number for number in range(20)))
    uplink = start(spool, stream(sqs.create(name)))
    eventually(lambda: "No space left on device" in uplink.status()[key]["problem"])
    sqs.heal()
    spool.unwritable = ""
    eventually(lambda: spool.delivered_ranges(key) == [(1, 20)] and not spool.in_flight(key))  # a request under way may still be refused
    arrived = payloads(sqs.bodies(name))
    assert len(set(arrived)) + len(spool.quarantined) == 20  # a request that times out on a busy machine is sent again
    assert key == "telemetry" or arrived == sorted(arrived, key=int)
    eventually(lambda: uplink.status()[key]["state"] == "ok")
