"""What the queue refuses costs no acknowledged reading: only a message that is itself wrong is set aside, and nothing set aside gives way.

The public report: https://github.com/aws/aws-sdk-js/issues/3187 (`SenderFault: true`, `InvalidParameterValue`, "not valid for this queue
type", of every message). Here each such message went to quarantine, and a full quarantine deleted its oldest files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from device_agent.config import UplinkConfig, WhenFull
from device_agent.errors import NotNow
from device_agent.ports import Border, Verdict
from device_agent.uplink import verdicts
from device_agent.uplink.jobs import Send
from device_agent.uplink.verdicts import Cause, NotSent, Refused
from device_agent.wire.limits import KIB
from tests.fakes.spool import FakeSpool
from tests.fakes.sqs import FakeSqs, Fault
from tests.spool.world import ROOT, World
from tests.uplink.conftest import Start, _credentials, eventually, sqs, start
from tests.uplink.simulation import Simulation
from tests.uplink.support import payloads, put, stream

__all__ = ["_credentials", "eventually", "sqs", "start"]  # fixtures

Eventually = Callable[[Callable[[], bool]], None]
NAMES = ("telemetry", "events.fifo")

#: Codes that SQS, KMS and emulators send with `SenderFault: true`, and that say nothing of one message's size or characters.
NOT_THE_MESSAGE = [
    "InvalidParameterValue", "AWS.SimpleQueueService.InvalidParameterValue", "com.amazonaws.sqs#InvalidParameterValueException",
    "InvalidParameter", "InvalidParameterCombination", "InvalidAttributeName", "InvalidAttributeValue", "MissingParameter",
    "KMS.DisabledException", "KMS.InvalidStateException", "KMS.InvalidKeyUsageException", "KMS.KeyUnavailableException",
    "KMS.XksKeyNotFoundException", "KmsInvalidKeyUsage", "Kms.SomethingNew", "com.amazonaws.kms#DependencyTimeoutException",
    "KMSDryRunOperation", "SomethingNew", "com.example#Whatever", "", "400", "UnsupportedOperation", "InvalidAddress", "InvalidSecurity",
]  # fmt: skip


@pytest.mark.parametrize("code", NOT_THE_MESSAGE)
def test_what_is_not_said_of_the_message_itself_is_retried(code: str) -> None:
    for sender_fault in (True, False):
        assert not isinstance(verdicts.entry(code, "no", sender_fault=sender_fault), Refused)
    for status in (400, 403, 404, 500):
        assert not isinstance(verdicts.request(code, "no", status=status), Refused)


@pytest.mark.parametrize("code", ["KMS.KeyUnavailableException", "com.amazonaws.kms#DisabledException", "KmsWhatever"])
def test_every_code_of_kms_says_to_look_at_the_key(code: str) -> None:
    assert verdicts.cause_of(code, status=400) is Cause.KEY


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidMessageContents", "The message contains characters outside the allowed set."),
        ("MessageTooLong", ""),
        ("AWS.SimpleQueueService.BatchRequestTooLong", ""),
        ("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."),
    ],
)
def test_size_and_characters_are_the_messages_own_fault(code: str, message: str) -> None:
    """Where the limit cannot be read, SQS and emulators tell it in words (https://github.com/floci-io/floci/issues/894)."""
    assert isinstance(verdicts.entry(code, message, sender_fault=True), Refused)
    assert not isinstance(verdicts.entry(code, message, sender_fault=False), Refused)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("KMS.DisabledException", "arn must be shorter than 20"),
        ("AccessDenied", "Message must be shorter than 1024 bytes."),
        ("InvalidParameterValue", "Value for parameter MessageGroupId is invalid. Reason: The group must be shorter than 128 characters."),
    ],
)
def test_what_is_too_long_but_not_the_message_is_retried(code: str, message: str) -> None:
    assert not isinstance(verdicts.entry(code, message, sender_fault=True), Refused)
    assert not isinstance(verdicts.request(code, message, status=400), Refused)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("code", ["InvalidParameterValue", "KMS.KeyUnavailableException", "SomethingNew"])
def test_a_wrong_setting_of_the_queue_costs_nothing(name: str, code: str, sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    key = name.removesuffix(".fifo")
    spool = FakeSpool(key, envelope=1)
    put(spool, key, *(b"%02d" % number for number in range(30)))
    sqs.script(Fault("entries", code, sender_fault=True, entries=range(10), times=None))
    uplink = start(spool, stream(sqs.create(name)))
    eventually(lambda: code.rpartition(".")[2].removesuffix("Exception") in uplink.status()[key]["problem"])
    eventually(lambda: len(sqs.requests) > 8)
    sqs.heal()
    eventually(lambda: spool.delivered_ranges(key) == [(1, 30)])
    assert not spool.quarantined
    assert sorted(payloads(sqs.bodies(name))) == [b"%02d" % number for number in range(30)]


@pytest.mark.parametrize("name", NAMES)
def test_even_a_refusal_of_content_is_hardly_believed_of_message_after_message(name: str) -> None:
    """One is set aside, then a few, each after twice as many tries: a row of really wrong ones does not hold up a FIFO queue for ever."""
    key = name.removesuffix(".fifo")
    spool = FakeSpool(key, envelope=1)
    put(spool, key, *(b"%02d" % number for number in range(40)))
    sim = Simulation(spool, [stream(f"https://sqs.eu-central-1.amazonaws.com/1/{name}")], UplinkConfig(backoff_first=1.0, backoff_cap=60.0))
    refusal = verdicts.entry("InvalidMessageContents", "no", sender_fault=True)
    tries = 0
    while tries < 80:
        job = sim.next()
        if isinstance(job, Send):
            notices = [item.parcel.border.reason for item in job.items]
            tries += not all(notices)
            sim.scheduler.done(job, [None if notice else refusal for notice in notices])
        else:
            sim.clock.time += job.seconds
    assert len(spool.quarantined) == 4, "at once, and after 10, 20 and 40 tries"
    assert "of message after message" in sim.scheduler.status()[key]["problem"]
    sim.run()
    assert spool.delivered_ranges(key) == [(1, 40)]


def test_a_refusal_beside_an_acceptance_is_believed_at_once() -> None:
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", *(b"%02d" % number for number in range(10)))
    sim = Simulation(spool, [stream("https://sqs.eu-central-1.amazonaws.com/1/telemetry")], UplinkConfig())
    refusal = verdicts.entry("InvalidMessageContents", "no", sender_fault=True)
    while not isinstance(job := sim.next(), Send):
        sim.clock.time += job.seconds
    assert len(job.items) == 10
    sim.scheduler.done(job, [refusal, refusal, *[None] * 8])
    assert [entry[1] for entry in spool.quarantined] == [job.items[0].message.first, job.items[1].message.first]


def test_what_is_said_of_each_message_with_its_number_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The error of a full quarantine names the message, so that each try has another text."""
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", *(b"%02d" % number for number in range(40)))
    sim = Simulation(
        spool, [stream("https://sqs.eu-central-1.amazonaws.com/1/telemetry")], UplinkConfig(backoff_first=0.1, backoff_cap=0.1)
    )
    began, tries = sim.clock.time, 0
    while sim.clock.time < began + 180:
        job = sim.next()
        if isinstance(job, Send):
            tries += 1
            sim.scheduler.done(job, [NotSent(Cause.ASIDE, f"{tries}: the quarantine is full")] * len(job.items))
        else:
            sim.clock.time += max(job.seconds, 0.01)
    assert tries > 1000
    assert len([record for record in caplog.records if "cannot send" in record.message]) in range(2, 6)


# A full quarantine


def refused(world: World, border: Border, *, size: int = 3000) -> None:
    """The uplink's part: SQS will never take the border."""
    world.spool.quarantine(border, border.first, border.last, reason="InvalidMessageContents", body="x" * size)
    world.flying.remove(border)
    if not border.reason:
        world.twins[border.stream].delivered.update(range(border.first, border.last + 1))


def fill(world: World) -> Border:
    """Refuse envelope after envelope; return the first one that the quarantine has no room for, still taken."""
    for _ in range(200):
        world.commit(2)
        while (border := world.take()) is not None:
            try:
                refused(world, border)
            except NotNow:
                return border
        world.turn()
    raise AssertionError("the quarantine took everything")


def kept(world: World, stream: str = "a") -> list[str]:
    return sorted(world.disk.directories[f"{ROOT}/quarantine/{stream}"].current)


def bodies(world: World) -> Iterator[str]:
    for inode in world.disk.directories[f"{ROOT}/quarantine/a"].current.values():
        yield json.loads(bytes(inode.current))["body"]


def test_a_full_quarantine_stops_the_stream_and_deletes_nothing() -> None:
    world = World()
    border = fill(world)
    before = kept(world)
    assert len(before) == 512 * KIB // 8 // 4096
    with pytest.raises(NotNow, match=r"quarantine is full.*quarantine ls"):
        refused(world, border)
    assert kept(world) == before
    assert all(body == "x" * 3000 for body in bodies(world)), "whole"
    world.turn()
    assert world.spool.verdict("a") is Verdict.FULL
    assert "quarantine is full" in world.spool.status()["streams"]["a"]["why"]
    world.commit(1)
    assert world.twins["a"].refused == 1, "whoever waits for an answer is told at once"
    world.check()


def test_it_goes_on_by_itself_when_people_have_made_room() -> None:
    world = World()
    border = fill(world)
    world.turn()
    first = kept(world)[0]
    world.disk.unlink(f"{ROOT}/quarantine/a/{first}")
    refused(world, border)
    world.turn()
    world.later(11.0)
    assert world.spool.verdict("a") is Verdict.OPEN
    world.commit(1)
    assert world.twins["a"].refused == 0
    world.check()


def test_it_goes_on_when_the_queue_takes_the_message_after_all() -> None:
    world = World()
    border = fill(world)
    world.turn()
    assert world.spool.verdict("a") is Verdict.FULL
    world.deliver(border)
    world.later(11.0)
    assert world.spool.verdict("a") is Verdict.OPEN


def test_what_a_stopped_stream_holds_in_memory_is_on_the_disk_after_a_stop() -> None:
    world = World()
    border = fill(world)
    world.turn()
    world.put(3, replies=False)
    world.turn()
    assert world.spool.verdict("a") is Verdict.FULL
    numbers = world.spool.status()["streams"]["a"]["next"]
    world.restart(orderly=True)
    assert world.spool.status()["streams"]["a"]["next"] == numbers + 3
    assert border.first in {one.first for one in iter(world.take, None)}, "and the refused one is still to be sent"


def test_drop_newest_refuses_and_drops_what_comes_while_it_is_full() -> None:
    world = World(when_full=WhenFull.DROP_NEWEST)
    border = fill(world)
    world.commit(1)
    assert world.twins["a"].refused == 1
    world.put(4, replies=False)
    world.later(2.0)
    assert world.metrics.streams["a"].dropped == 4
    world.deliver(border)
    world.commit(1)
    assert world.twins["a"].refused == 1
    world.check()


def test_drop_oldest_lets_the_oldest_of_the_same_stream_give_way() -> None:
    world = World(("a", "b"), max_bytes=1024 * KIB, when_full=WhenFull.DROP_OLDEST)
    world.commit(2, stream="b")
    other = world.take("b")
    assert other is not None
    refused(world, other)
    order = []
    for _ in range(100):
        world.commit(2)
        while (border := world.take()) is not None:
            if border.reason:
                world.deliver(border)
            else:
                refused(world, border)
                order.append(border.first)
        world.turn()
    numbers = sorted(int(name.split("-")[1]) for name in kept(world))
    assert 1 < len(numbers) < len(order)
    assert numbers == order[-len(numbers) :], "the oldest gave way"
    assert len(kept(world, "b")) == 1, "another stream's stay"


def test_what_nobody_was_promised_gives_way_first() -> None:
    """Oversize readings of PULL and SUB, and half-written ends."""
    world = World()
    for _ in range(30):
        world.spool.set_aside("a", b"x" * 2000, "too large")
        world.turn()
    assert all(name.startswith("oversize-") for name in kept(world))
    border = fill(world)
    assert not any(name.startswith("oversize-") for name in kept(world))
    before = kept(world)
    world.spool.set_aside("a", b"x" * 2000, "too large")
    world.turn()
    assert kept(world) == before
    world.give_back(border)


def test_a_message_larger_than_the_quarantine_is_never_kept_without_its_bytes() -> None:
    world = World()
    world.commit(2)
    border = world.take()
    assert border is not None
    with pytest.raises(NotNow, match=r"raise spool\.max_bytes"):
        refused(world, border, size=512 * KIB // 8)
    refused(world, border, size=40 * KIB)
    assert [len(body) for body in bodies(world)] == [40 * KIB]


def test_copies_of_damaged_acknowledged_readings_stay_too() -> None:
    world = World()
    world.commit(5)
    path = next(one for one in world.disk.directories if "/000001-" in one)
    name = next(name for name in world.disk.directories[path].current if name.endswith(".log"))
    world.commit(5)
    world.spool.stop()
    world.spool.close()
    data = world.disk.directories[path].current[name].current
    data[200] ^= 0xFF
    world.restart(cut=False)
    copies = sorted(world.disk.directories[f"{ROOT}/quarantine/damaged.log"].current)
    assert copies
    assert not any(copy.endswith("-torn.json") for copy in copies)
    fill(world)
    assert sorted(world.disk.directories[f"{ROOT}/quarantine/damaged.log"].current) == copies
