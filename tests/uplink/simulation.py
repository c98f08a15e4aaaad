"""The scheduler without threads and network: simulated time, a simulated cloud, answers in any order."""

from __future__ import annotations

from collections.abc import Sequence

from device_agent.config import StreamConfig, UplinkConfig
from device_agent.metrics import Metrics
from device_agent.ports import Source
from device_agent.uplink import verdicts
from device_agent.uplink.client import Verdict
from device_agent.uplink.jobs import Ask, Send, Wait
from device_agent.uplink.scheduler import Scheduler
from device_agent.uplink.verdicts import Cause, NotSent, Refused
from tests.fakes.sqs.model import Sqs, SqsError

LOST = NotSent(Cause.NETWORK, "simulated")


class SimulatedClock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.time = 1000.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> int:
        return int((1_800_000_000 + self.time) * 1e6)

    def synced(self) -> bool:
        return True


class Simulation:
    """One agent's scheduler over a source, and SQS as `Sqs` models it."""

    def __init__(self, source: Source, streams: Sequence[StreamConfig], config: UplinkConfig | None = None) -> None:
        self.clock = SimulatedClock()
        self.sqs = Sqs(clock=self.clock.monotonic)
        self.source, self.streams = source, streams
        self.config = config or UplinkConfig()
        self.metrics = Metrics()
        self.refused: set[str] = set()  # bodies: what SQS refuses it always refuses
        for one in streams:
            name = one.queue.rpartition("/")[2]
            self.sqs.create_queue(name, one.queue, {"FifoQueue": "true"} if one.fifo else {})
        self.boot()

    def boot(self) -> None:
        """Start an agent, as after a crash: nothing of the old one is left."""
        self.scheduler = Scheduler(
            device="board-7", agent="test/0", config=self.config, streams=self.streams, source=self.source, clock=self.clock,
            metrics=self.metrics,
        )  # fmt: skip
        self.scheduler.start()

    def next(self) -> Send | Wait:
        """The next job that sends; questions for limits are answered at once."""
        while isinstance(job := self.scheduler.next(), Ask):
            self.scheduler.done(job, 1_048_576)
        return job

    def accept(self, job: Send) -> list[Verdict]:
        """What SQS does with a request when nothing goes wrong."""
        return [self.accept_one(job, index) for index in range(len(job.items))]

    def accept_one(self, job: Send, index: int) -> Verdict:
        """The same for one message."""
        message = job.items[index].message
        if message.body in self.refused:
            return refusal()
        entry = {"MessageBody": message.body, "MessageGroupId": message.group, "MessageDeduplicationId": message.deduplication_id}
        try:
            self.sqs.send(job.queue.url.rpartition("/")[2], entry)
        except SqsError as error:
            return verdicts.entry(error.code, error.message, sender_fault=error.sender_fault)
        return None

    def run(self, *, most: int = 100_000) -> float:
        """Let one sender work until nothing is left to do; return the time that it took."""
        began = self.clock.time
        idle = 0
        for _ in range(most):
            job = self.next()
            if isinstance(job, Send):
                self.scheduler.done(job, self.accept(job))
                idle = 0
                continue
            idle += 1
            if idle > 20:  # longer than the longest back-off
                return self.clock.time - began
            self.clock.time += job.seconds
        raise AssertionError("it does not come to an end")


def refusal() -> Refused:
    """SQS says that it is the message."""
    verdict = verdicts.request("InvalidMessageContents", "simulated", status=400)
    assert isinstance(verdict, Refused)
    return verdict
