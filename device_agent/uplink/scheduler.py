"""Scheduler: decides what goes into the next request, and what an answer means for the messages in it.

Invariants:
- Every message of a request gets exactly one verdict: delivered, quarantined, or to be sent again. Nothing else ends a message.
- FIFO: a request holds one message of a group, one request of a group is in flight, and after a failure the failed message goes first.
- A queue that failed gets one request at a time, after a back-off with full jitter; the other queues do not wait for it.
- `Source.sendable` says False from the first failure on, and True from the first success on (or when nothing is left to try with).

How: senders ask `next` for a job, do it, and bring the result to `done`. Both run under one lock and never touch the network. Queues take
turns, and so do the lanes (streams) of a queue. Simulated time and any order of answers drive it in the tests.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

from device_agent import events
from device_agent.backoff import Backoff
from device_agent.clock import Clock
from device_agent.config import StreamConfig, UplinkConfig
from device_agent.errors import ConfigError
from device_agent.metrics import Metrics, StreamMetrics
from device_agent.ports import Source
from device_agent.seldom import Seldom
from device_agent.uplink.bandwidth import Bandwidth
from device_agent.uplink.client import Verdict
from device_agent.uplink.jobs import Ask, Send, Wait
from device_agent.uplink.lane import Item, Lane, doubted
from device_agent.uplink.queue import Queue
from device_agent.uplink.standing import Standing
from device_agent.uplink.verdicts import Cause, NotSent, Refused
from device_agent.wire.limits import BILLING_UNIT, MAX_MESSAGE

#: Longest sleep of a sender with nothing to do. The spool wakes it; this is only a net below. Seconds.
IDLE: Final = 10.0
#: Reasons for which a queue's attributes cannot be read although messages may be sent.
_MAY_STILL_SEND: Final = frozenset({Cause.PERMISSION, Cause.REQUEST, Cause.UNKNOWN})


class Scheduler:
    """The uplink without threads and network."""

    def __init__(
        self, *, device: str, agent: str, config: UplinkConfig, streams: Sequence[StreamConfig], source: Source, clock: Clock,
        metrics: Metrics, backoff: type[Backoff] = Backoff,
    ) -> None:  # fmt: skip
        self._source, self._clock = source, clock
        self._lock = threading.Lock()
        self._bandwidth = Bandwidth(config.max_rate)
        self._queues: dict[str, Queue] = {}
        self._lanes: dict[str, Lane] = {}
        self._standing = Standing(source, clock)
        self._closed = False
        for stream in streams:
            delays = (backoff(first=min(config.backoff_first, config.backoff_cap), cap=config.backoff_cap) for _ in range(2))
            queue = self._queues.setdefault(
                stream.queue, Queue(url=stream.queue, fifo=stream.fifo, backoff=next(delays), seldom=Seldom(clock.monotonic))
            )
            try:
                lane = Lane(
                    stream, device=device, agent=agent, source=source, backoff=next(delays), seldom=Seldom(clock.monotonic),
                    metrics=metrics.streams.setdefault(stream.name, StreamMetrics()),
                )  # fmt: skip
            except ValueError as error:
                raise ConfigError(f"stream {stream.name}: {error}", key=("stream", stream.name)) from None
            queue.lanes.append(lane)
            self._lanes[stream.name] = lane

    def start(self) -> None:
        """Tell the source that all streams can be sent for, as far as is known."""
        with self._lock:
            for name in self._lanes:
                self._standing.report(name, sendable=True)

    # What goes next

    def next(self) -> Send | Ask | Wait:
        """Return the next job, or how long there is none. Every job must be brought to `done`."""
        with self._lock:
            if self._closed:
                return Wait(IDLE)
            now = self._clock.monotonic()
            delay = self._bandwidth.delay(now)
            if delay > 0:
                return Wait(min(delay, IDLE))
            soonest = IDLE
            for url in list(self._queues):
                queue = self._queues[url]
                job = self._of_queue(queue, now)
                if isinstance(job, Wait):
                    soonest = min(soonest, job.seconds)
                    continue
                self._queues[url] = self._queues.pop(url)  # to the end: its turn is over
                queue.in_flight += 1
                queue.asking = isinstance(job, Ask)
                if isinstance(job, Send):
                    self._bandwidth.spend(job.size, now)
                return job
            return Wait(soonest)

    def _of_queue(self, queue: Queue, now: float) -> Send | Ask | Wait:
        if queue.problem and (queue.in_flight or now < queue.not_before):
            return Wait(IDLE if queue.in_flight else queue.not_before - now)
        if queue.asking:
            return Wait(IDLE)
        soonest = IDLE
        ready: list[Lane] = []
        for lane in queue.lanes:
            if now < lane.not_before:
                soonest = min(soonest, lane.not_before - now)
            elif self._free(queue, lane):
                ready.append(lane)
        job = self._fill(queue, list(ready), now)
        if job is not None:
            return job
        if queue.unknown:
            return Ask(queue)  # before there is anything to send: whoever sets up a board sees now that queue or credentials are wrong
        for lane in ready:
            if now >= lane.not_before:  # nothing to try with: linger may close envelopes again, and the next one will tell
                self._lane_recovered(lane)
        return Wait(soonest)

    @staticmethod
    def _free(queue: Queue, lane: Lane) -> bool:
        """Whether the rules of message groups allow this lane to send."""
        if not queue.fifo:
            return True
        group = str(lane.group)
        if group in queue.groups:
            return False
        return queue.stuck.get(group, lane) is lane

    def _fill(self, queue: Queue, lanes: list[Lane], now: float) -> Send | Ask | None:
        """Fill a request, a message a lane in turns; the first message may be larger than the budget, since it must go some time."""
        items: list[Item] = []
        room = self._bandwidth.share(queue.budget)
        groups: set[str] = set()
        while lanes and len(items) < queue.entries:
            lane = lanes.pop(0)
            item = None if queue.fifo and lane.group in groups else self._fitting(queue, lane, now)
            if isinstance(item, Ask):
                if items:
                    break
                return item
            if item is None:
                continue
            if items and item.message.size > room:
                continue  # stays the lane's head: a smaller one of another lane may fit
            room -= item.message.size
            items.append(lane.pop())
            if queue.fifo:
                groups.add(str(lane.group))
            else:
                lanes.append(lane)
        if not items:
            return None
        queue.groups |= groups
        self._turn(queue, items[-1].lane)
        return Send(queue, tuple(items))

    @staticmethod
    def _turn(queue: Queue, last: Lane) -> None:
        """Let the next request begin with the lane behind the last one that got a place."""
        index = queue.lanes.index(last) + 1
        queue.lanes[:] = queue.lanes[index:] + queue.lanes[:index]

    def _fitting(self, queue: Queue, lane: Lane, now: float) -> Item | Ask | None:
        """Return the lane's next message that the queue can take at all; what it cannot is set aside."""
        while True:
            try:
                item = lane.peek()
            except NotSent as error:
                self._lane_failed(lane, error, now)
                return None
            if item is None:
                queue.stuck = {group: stuck for group, stuck in queue.stuck.items() if stuck is not lane}
                return None
            if queue.limit is None:
                return Ask(queue)
            if item.message.size <= queue.limit:
                return item
            if queue.limit_is_old(now):
                return Ask(queue)
            if self._too_large(queue, lane, now):
                return None

    def _too_large(self, queue: Queue, lane: Lane, now: float) -> bool:
        """Set aside the lane's head, which the queue does not take; return whether the lane waits now."""
        item = lane.pop()
        refusal = Refused(Cause.SIZE, f"the message has {item.message.size} bytes, and the queue {queue.url} takes {queue.limit}")
        try:
            lane.refused(item, refusal)
        except NotSent as error:
            self._again(queue, [item])
            self._lane_failed(lane, error, now)
            return True
        if lane.braked:
            self._lane_failed(lane, doubted(refusal), now)
        return lane.braked

    # What became of it

    def done(self, job: Send | Ask, result: list[Verdict] | int | NotSent | Refused) -> None:
        """Bring the result of a job: see `Send` and `Ask`."""
        with self._lock:
            if self._closed:
                return  # its borders were given back; the re-send has the same id
            now = self._clock.monotonic()
            job.queue.in_flight -= 1
            was = job.queue.problem
            if isinstance(job, Ask):
                job.queue.asking = False
                self._asked(job.queue, result, now)
                self._source.wake()
            else:
                self._count(job, accepted=isinstance(result, list))
                job.queue.groups -= {str(item.lane.group) for item in job.items}
                self._answered(job, result, now)
            if was or job.queue.problem or any(lane.problem for lane in job.queue.lanes):
                self._source.wake()  # other senders sleep by an older state

    def _asked(self, queue: Queue, result: list[Verdict] | int | NotSent | Refused, now: float) -> None:
        if isinstance(result, int):
            queue.learned(result, now)
            self._recovered(queue)
        elif isinstance(result, NotSent) and result.cause not in _MAY_STILL_SEND:
            self._failed(queue, result, now)
        else:
            queue.learned(MAX_MESSAGE, now)  # asking may be forbidden where sending is allowed; if it is not, sending says so

    def _answered(self, job: Send, result: list[Verdict] | int | NotSent | Refused, now: float) -> None:
        queue = job.queue
        if isinstance(result, NotSent | Refused) and result.splits and len(job.items) > 1:
            queue.split(result, count=len(job.items), size=job.size)
            self._again(queue, list(job.items))
        elif isinstance(result, Refused):
            self._judged(job, [result], now)
        elif isinstance(result, list):
            self._judged(job, result, now)
        else:
            error = result if isinstance(result, NotSent) else NotSent(Cause.UNKNOWN, "the transport gave no verdict")
            self._again(queue, list(job.items))
            self._failed(queue, error, now)

    def _judged(self, job: Send, result: list[Verdict], now: float) -> None:
        """Take the verdicts message by message."""
        queue = job.queue
        queue.sent(len(job.items))
        accepted: set[Lane] = set()
        failures: dict[Lane, tuple[list[Item], NotSent]] = {}
        brakes: dict[Lane, NotSent] = {}
        # what was accepted first: of a message beside one that was accepted a refusal is believed
        for item, verdict in sorted(zip(job.items, result, strict=True), key=lambda pair: pair[1] is not None):
            lane = item.lane
            if isinstance(verdict, NotSent):
                failures.setdefault(lane, ([], verdict))[0].append(item)
                continue
            queue.stuck.pop(str(lane.group), None)
            if verdict is None:
                lane.accepted(item)
                if not lane.braked:
                    accepted.add(lane)
                continue
            if verdict.cause is Cause.SIZE:
                queue.limit, queue.ceiling = None, max(queue.ceiling, job.size)
            try:
                lane.refused(item, verdict)
            except NotSent as failure:
                failures.setdefault(lane, ([], failure))[0].append(item)
                continue
            if lane.braked:
                brakes[lane] = doubted(verdict)
        self._recovered(queue)
        for lane in accepted:
            self._lane_recovered(lane)
        for lane, (items, error) in failures.items():
            self._again(queue, items)
            self._lane_failed(lane, error, now)
        for lane, error in brakes.items():
            self._lane_failed(lane, error, now)

    def _again(self, queue: Queue, items: list[Item]) -> None:
        for lane in {item.lane: None for item in items}:
            if queue.fifo:
                queue.stuck[str(lane.group)] = lane
            lane.again([item for item in items if item.lane is lane])

    def _failed(self, queue: Queue, error: NotSent, now: float) -> None:
        queue.failed(error, now)
        for lane in queue.lanes:
            self._standing.report(lane.stream.name, sendable=False)
            lane.give_back()

    def _recovered(self, queue: Queue) -> None:
        if queue.problem:
            events.uplink_resumes(queue=queue.url)
        queue.answered()
        for lane in queue.lanes:
            if not lane.problem:
                self._standing.report(lane.stream.name, sendable=True)

    def _lane_failed(self, lane: Lane, error: NotSent, now: float) -> None:
        lane.failed(error, now)
        self._standing.report(lane.stream.name, sendable=False)

    def _lane_recovered(self, lane: Lane) -> None:
        lane.succeeded()
        self._standing.report(lane.stream.name, sendable=True)

    @staticmethod
    def _count(job: Send, *, accepted: bool) -> None:
        metrics = job.items[0].lane.metrics  # a request that streams share is counted once
        metrics.requests += 1
        if accepted:
            metrics.billed_requests += max(1, -(-job.size // BILLING_UNIT))

    # The end, and how it stands

    def settled(self, since: float) -> bool:
        """Whether nothing is in flight and nothing can be sent but for streams that cannot be sent for since before `since` (monotonic)."""
        with self._lock:
            for queue in self._queues.values():
                if queue.in_flight > queue.asking:
                    return False
                for lane in queue.lanes:
                    stuck = self._standing.stuck(lane.stream.name, since)
                    if not stuck and (lane.problem or lane.peek() is not None):
                        return False
            return True

    def close(self) -> None:
        """Give back what is not settled and take no more results."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for lane in self._lanes.values():
                    lane.give_back_all()

    def status(self) -> dict[str, dict[str, Any]]:
        """Return a dictionary a stream: see `Standing.of`."""
        with self._lock:
            now = self._clock.monotonic()
            return {lane.stream.name: self._standing.of(queue, lane, now) for queue in self._queues.values() for lane in queue.lanes}
