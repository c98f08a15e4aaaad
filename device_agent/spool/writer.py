"""The writer: the one thread that compresses, writes and syncs. Group commit over the batches that the receiver hands over.

Invariants
1. Batches of a stream are committed in the order of `put`; each is answered once, after its fdatasync, or refused with nothing of it kept.
2. A stream commits as soon as the writer is free if somebody waits for an answer, when `CHUNK` bytes wait, or when its oldest
   batch is `commit_interval` old; a stream with nothing to do is not touched. So while one fdatasync runs, clients gather for the next.
3. An open envelope is closed when its linger is over, the uplink could send, and no closed one waits to be taken; with the commit that
   is due about then, if there is one.
4. A stream that cannot be written keeps what it has, refuses what wants an answer, and is tried again after a back-off or when there may
   be room.
5. Callbacks to the receiver, and everything that touches the disk, run without the lock held. No busy loops: all waiting is on one
   Condition.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from device_agent import events
from device_agent.backoff import Backoff
from device_agent.clock import Clock
from device_agent.config import WhenFull
from device_agent.ports import Batch, Verdict
from device_agent.spool.appender import Full
from device_agent.spool.chunk import Item, cost
from device_agent.spool.stream import Stream
from device_agent.wire.limits import MIB

#: Bytes of waiting batches that make a commit at once, and that one commit takes at most.
CHUNK: Final = 2 * MIB
#: Bytes of waiting batches at which streams become BUSY.
HAND_OVER: Final = 8 * MIB
#: A stream that shares the writer with others becomes BUSY at this part of it, so that a flood leaves room for the others.
_OWN: Final = 3 / 4
_FIRST_RETRY: Final = 0.2
_LAST_RETRY: Final = 10.0
_NEVER: Final = math.inf
_STOPPING: Final = "the agent stops and its disk takes no readings"


@dataclass(slots=True, eq=False)
class Lane:
    """What the writer knows of one stream. Under the writer's lock, except `backoff`."""

    stream: Stream
    queue: deque[Item] = field(default_factory=deque)
    cost: int = 0  # of the queue, and of what is being written
    hurry: int = 0  # batches in the queue that wait for an answer, and of which nothing is on the disk yet
    sendable: bool = False
    chores: bool = True  # something is to be written, deleted or rewritten
    chores_at: float = 0.0  # not before
    blocked: str = ""  # why nothing can be written
    retry_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first=_FIRST_RETRY, cap=_LAST_RETRY))


class Writer:
    """Owns the segment files of all streams."""

    def __init__(self, *, streams: Iterable[Stream], clock: Clock, interval: float, when_full: WhenFull, aside: Callable[[], None]) -> None:
        """Make a writer that does not run yet.

        Args:
            streams: opened before `start`.
            clock: for durations.
            interval: seconds that batches without replies may wait.
            when_full: what happens at the cap.
            aside: called in the writer's thread, after each turn, to keep what was set aside.
        """
        self._clock, self._interval, self._when_full, self._aside = clock, interval, when_full, aside
        self._lanes = {stream.config.name: Lane(stream) for stream in streams}
        self._wake = threading.Condition()
        self._stopping = False
        self._aside_waits = False
        self._thread: threading.Thread | None = None
        self.failed: BaseException | None = None

    # The receiver's side

    def verdict(self, name: str) -> Verdict:
        """See `Sink.verdict`. Reads numbers that the writer changes: a moment late is good enough."""
        lane = self._lanes[name]
        if lane.blocked:
            return Verdict.FULL
        if lane.cost >= HAND_OVER * (_OWN if len(self._lanes) > 1 else 1):
            return Verdict.BUSY
        waiting = sum(one.cost for one in self._lanes.values() if not one.blocked)
        return Verdict.BUSY if waiting >= HAND_OVER else Verdict.OPEN

    def why(self, name: str) -> str:
        """See `Sink.why`."""
        return self._lanes[name].blocked or "the spool takes no readings for now"

    def put(self, batch: Batch) -> None:
        """See `Sink.put`."""
        lane = self._lanes[batch.stream]
        item = Item(batch, self._clock.monotonic())
        with self._wake:
            before = lane.cost
            lane.cost += cost(batch)
            lane.queue.append(item)
            lane.hurry += batch.replies is not None
            if len(lane.queue) == 1 or batch.replies is not None or before < CHUNK <= lane.cost:
                self._wake.notify()

    def chores(self, name: str) -> None:
        """There is something to write, delete or rewrite for a stream."""
        with self._wake:
            self._lanes[name].chores = True
            self._wake.notify()

    def set_aside(self) -> None:
        """There is something to keep aside."""
        with self._wake:
            self._aside_waits = True
            self._wake.notify()

    def sendable(self, name: str, now: bool) -> None:
        """See `Source.sendable`."""
        lane = self._lanes[name]
        if lane.sendable != now:
            with self._wake:
                lane.sendable = now
                self._wake.notify()

    def taken(self, name: str) -> None:
        """Somebody took an envelope: the open one may be next to close."""
        stream = self._lanes[name].stream
        if stream.open_since() is not None and not stream.waiting():
            with self._wake:
                self._wake.notify()

    # Life

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Commit everything that was put, close the open envelopes, and end the thread; without a thread do it here."""
        if self._thread is None:
            self.finish()
            return
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()
        self._thread = None

    def _run(self) -> None:
        try:
            while self._waits():
                self.turn()
            self.finish()
        except BaseException as error:  # noqa: BLE001  # a bug must not leave the agent reading what nobody writes: `alive` tells it
            self.failed = error
            events.spool_writer_died(error)

    def _waits(self) -> bool:
        """Wait until something is due; False when the thread is to end."""
        with self._wake:
            while not self._stopping:
                due = self._due(self._clock.monotonic())
                if due <= 0:
                    return True
                self._wake.wait(None if due == _NEVER else due)
            return False

    # The writer's side; also called directly by tests, without a thread

    def turn(self) -> float:
        """Do what is due now; return the seconds until something is due again (infinity: until somebody calls)."""
        if self._aside_waits:
            self._aside_waits = False
            self._aside()
        now = self._clock.monotonic()
        for lane in self._lanes.values():
            if lane.chores and now >= lane.chores_at:
                self._tidy(lane, now)
            if lane.blocked:
                self._blocked(lane, now)
            elif self._lane_due(lane, now) <= 0:
                self._write(lane, now)
        with self._wake:
            return self._due(self._clock.monotonic())

    def finish(self) -> None:
        """Commit what was put and close the open envelopes, as far as the disk takes it; refuse the rest."""
        self._aside()
        for lane in self._lanes.values():
            now = self._clock.monotonic()
            self._tidy(lane, now)
            if lane.blocked:
                lane.retry_at = now
                self._blocked(lane, now)
            while lane.queue and not lane.blocked:
                self._write(lane, now)
            if not lane.blocked and lane.stream.open_since() is not None:
                self._commit(lane, [], now, close=True)
            self._tidy(lane, now)
            self._abandon(lane)

    def _abandon(self, lane: Lane) -> None:
        with self._wake:
            items, lane.queue = list(lane.queue), deque()
            lane.cost = lane.hurry = 0
        for item in items:
            if item.batch.replies is not None and not item.done:
                item.batch.replies.refused(item.batch, lane.blocked or _STOPPING)
        if items:
            events.spool_unsaved(lane.stream.config.name, sum(item.left for item in items), lane.blocked)

    def _due(self, now: float) -> float:
        """Seconds until something is due. Under the lock."""
        if self._aside_waits:
            return 0.0
        return min((self._lane_due(lane, now) for lane in self._lanes.values()), default=_NEVER)

    def _lane_due(self, lane: Lane, now: float) -> float:
        chores = max(0.0, lane.chores_at - now) if lane.chores else _NEVER
        if lane.blocked:
            return 0.0 if lane.hurry else min(chores, max(0.0, lane.retry_at - now))
        if lane.hurry or lane.cost >= CHUNK:
            return 0.0
        try:
            readings = lane.queue[0].since + self._interval - now
        except IndexError:
            readings = _NEVER
        return max(0.0, min(chores, readings, self._linger(lane, now)))

    def _linger(self, lane: Lane, now: float) -> float:
        """Seconds until the open envelope should be closed."""
        since = lane.stream.open_since()
        if since is None or not lane.sendable or lane.stream.waiting():
            return _NEVER
        return since + lane.stream.config.linger - now

    def _write(self, lane: Lane, now: float) -> bool:
        """Commit what waits, up to a chunk; return whether the disk took it."""
        items, size = [], 0
        with self._wake:
            while lane.queue and size < CHUNK:
                item = lane.queue.popleft()
                lane.hurry -= _hurries(item)
                size += cost(item.batch)
                items.append(item)
        since = lane.stream.open_since()
        if since is None:
            since = items[0].since if items else now
        # a border that is due before the next commit would be goes with this one
        soon = min(self._interval, lane.stream.config.linger) / 2
        close = lane.sendable and since + lane.stream.config.linger <= now + soon and not lane.stream.waiting()
        return self._commit(lane, items, now, close=close or (self._stopping and not lane.queue))

    def _commit(self, lane: Lane, items: list[Item], now: float, *, close: bool) -> bool:
        taken = True
        while True:
            try:
                lane.stream.commit(items, close=close)
            except Full as full:
                if self._when_full is WhenFull.DROP_OLDEST and self._sacrifice(lane):
                    continue
                if self._when_full is WhenFull.DROP_NEWEST:
                    items = self._answer(lane, items)
                    waits = self._drop(lane, items, str(full))
                    if waits:
                        self._block(lane, str(full), now)
                    return not waits
                taken = False
                self._block(lane, str(full), now)
            except OSError as error:
                taken = False
                self._block(lane, f"writing to the disk fails: {error.strerror or error}", now)
            break
        self._put_back(lane, self._answer(lane, items))
        if not taken:
            self._refuse(lane)
        return taken

    def _answer(self, lane: Lane, items: list[Item]) -> list[Item]:
        """Acknowledge what is wholly on the disk; return the rest."""
        left, done = [], 0
        for item in items:
            if item.left:
                left.append(item)
                continue
            done += cost(item.batch)
            if item.batch.replies is not None:
                item.batch.replies.committed(item.batch, item.first)
        with self._wake:
            lane.cost -= done
        return left

    def _put_back(self, lane: Lane, items: list[Item]) -> None:
        if items:
            with self._wake:
                lane.queue.extendleft(reversed(items))
                lane.hurry += sum(map(_hurries, items))

    def _refuse(self, lane: Lane) -> None:
        """Tell everybody who waits for an answer that there is none to wait for; a batch that is partly on the disk waits on."""
        with self._wake:
            items = [item for item in lane.queue if _hurries(item)]
            lane.queue = deque(item for item in lane.queue if not _hurries(item))
            lane.cost -= sum(cost(item.batch) for item in items)
            lane.hurry = 0
        for item in items:
            assert item.batch.replies is not None
            item.batch.replies.refused(item.batch, lane.blocked)

    def _block(self, lane: Lane, reason: str, now: float) -> None:
        if not lane.blocked:
            events.spool_blocked(lane.stream.config.name, reason)
        lane.blocked = reason
        lane.retry_at = now + lane.backoff.failed()

    def _blocked(self, lane: Lane, now: float) -> None:
        """Find out whether a blocked stream can be written again."""
        if lane.hurry:
            self._refuse(lane)
        if now < lane.retry_at:
            return
        try:
            lane.stream.present.appender.make_room()
        except (Full, OSError) as error:
            self._block(lane, str(error) if isinstance(error, Full) else f"writing to the disk fails: {error.strerror or error}", now)
            return
        if self._write(lane, now):
            lane.blocked = ""
            lane.backoff.succeeded()
            events.spool_unblocked(lane.stream.config.name)

    def _sacrifice(self, lane: Lane) -> bool:
        """Make room by dropping the oldest envelopes."""
        try:
            if not lane.stream.sacrifice():
                return False
            lane.stream.chores()
        except (Full, OSError) as error:
            self._chore_failed(lane, error, self._clock.monotonic())
            return False
        return True

    def _drop(self, lane: Lane, items: list[Item], reason: str) -> bool:
        """Drop the newest: unacknowledged readings use their numbers, the others are refused and use none.

        Return whether a batch that wants an answer is partly on the disk: it can be neither, and waits.
        """
        kept = []
        for item in items:
            if item.batch.replies is None:
                lane.stream.present.appender.drop(item.left)
            elif item.done:
                kept.append(item)
            else:
                item.batch.replies.refused(item.batch, reason)
        with self._wake:
            lane.cost -= sum(cost(item.batch) for item in items if item not in kept)
        self._put_back(lane, kept)
        return bool(kept)

    def _tidy(self, lane: Lane, now: float) -> None:
        lane.chores = False
        try:
            lane.stream.chores()
        except (Full, OSError) as error:
            self._chore_failed(lane, error, now)
        else:
            if lane.blocked:
                lane.retry_at = now  # there may be room now

    def _chore_failed(self, lane: Lane, error: Exception, now: float) -> None:
        events.spool_chore_failed(lane.stream.config.name, error)
        lane.chores, lane.chores_at = True, now + lane.backoff.failed()


def _hurries(item: Item) -> bool:
    return item.batch.replies is not None and not item.done
