"""The writer: the one thread that compresses, writes and syncs. Group commit over the batches that the receiver hands over.

Invariants
1. Batches of a stream are committed in the order of `put`; each is answered once, after its fdatasync, or refused with nothing of it kept.
2. A stream commits when as many readings want an answer as did when its last commit ended, or some do and that was a moment ago (`_WAIT`
   times as long as it took, `GATHER` at most); when `CHUNK` bytes wait; or when its oldest batch is `commit_interval` old. A stream with
   nothing to do is not touched. So clients gather for the next fdatasync while one runs, and those it answered have time to come back;
   one client never waits.
3. An open envelope is closed when its linger is over, the uplink could send, and no closed one waits to be taken; with the commit that
   is due about then, if there is one.
4. A stream that cannot be written keeps what it has, refuses what wants an answer, and is tried again after a back-off or when there may
   be room.
5. Callbacks to the receiver, and everything that touches the disk, run without the lock held. No busy loops: all waiting is on one
   Condition.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from device_agent import events
from device_agent.clock import Clock
from device_agent.config import WhenFull
from device_agent.ports import Batch, Verdict
from device_agent.spool.chunk import Item, cost
from device_agent.spool.lane import CHUNK, NEVER, Lane, Unsaved
from device_agent.spool.room import Full
from device_agent.spool.stream import Stream
from device_agent.wire.limits import MIB

#: Bytes of waiting batches at which streams become BUSY.
HAND_OVER: Final = 8 * MIB
#: Seconds that a commit waits at most for clients that the one before has answered. Worth it where a sync is quick: 64 REQ clients got a
#: third more answers out of a quarter of the syncs, and one to sixteen as many as without (`bench/acks.py`).
GATHER: Final = 0.001
_WAIT: Final = 4
#: A stream that shares the writer with others becomes BUSY at this part of it, so that a flood leaves room for the others.
_OWN: Final = 3 / 4


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
        self._wake = threading.Condition()
        self._lanes = {stream.config.name: Lane(stream, self._wake) for stream in streams}
        self._stopping = False
        self.unsaved: list[Unsaved] = []  # once it has ended
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
            waited, hurried = lane.cost, lane.hurry
            lane.cost += cost(batch)
            lane.queue.append(item)
            if batch.replies is not None:
                lane.hurry += len(batch.run)
            first = len(lane.queue) == 1 or hurried == 0 < lane.hurry
            if first or hurried < lane.crowd <= lane.hurry or waited < CHUNK <= lane.cost:
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
                self._wake.wait(None if due == NEVER else due)
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
            elif lane.due(now, self._interval) <= 0:
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
            self.unsaved += lane.abandon()

    def _due(self, now: float) -> float:
        """Seconds until something is due. Under the lock."""
        if self._aside_waits:
            return 0.0
        return min((lane.due(now, self._interval) for lane in self._lanes.values()), default=NEVER)

    def _write(self, lane: Lane, now: float) -> bool:
        """Commit what waits, up to a chunk; return whether the disk took it."""
        items = lane.chunk()
        since = lane.stream.open_since()
        if since is None:
            since = items[0].since if items else now
        # a border that is due before the next commit would be goes with this one
        soon = min(self._interval, lane.stream.config.linger) / 2
        close = lane.sendable and since + lane.stream.config.linger <= now + soon and not lane.stream.waiting()
        return self._commit(lane, items, now, close=close or (self._stopping and not lane.queue))

    def _commit(self, lane: Lane, items: list[Item], now: float, *, close: bool) -> bool:
        taken, began = True, self._clock.monotonic()
        while True:
            try:
                lane.stream.commit(items, close=close)
            except Full as full:
                if self._when_full is WhenFull.DROP_OLDEST and self._sacrifice(lane):
                    continue
                if self._when_full is WhenFull.DROP_NEWEST:
                    items = lane.answer(items)
                    waits = self._drop(lane, items, str(full))
                    if waits:
                        lane.block(str(full), now)
                    return not waits
                taken = False
                lane.block(str(full), now)
            except OSError as error:
                taken = False
                lane.block(f"writing to the disk fails: {error.strerror or error}", now)
            break
        ended = self._clock.monotonic()
        lane.patience = ended + min(_WAIT * (ended - began), GATHER)
        lane.put_back(lane.answer(items))
        if not taken:
            lane.refuse()
        return taken

    def _blocked(self, lane: Lane, now: float) -> None:
        """Find out whether a blocked stream can be written again."""
        if lane.hurry:
            lane.refuse()
        if now < lane.retry_at:
            return
        try:
            lane.stream.present.appender.make_room()
        except (Full, OSError) as error:
            lane.block(str(error) if isinstance(error, Full) else f"writing to the disk fails: {error.strerror or error}", now)
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
        lane.put_back(kept)
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
            elif self._when_full is WhenFull.BLOCK:
                self._stop(lane, now)

    def _stop(self, lane: Lane, now: float) -> None:
        """Block a stream of which a refused message finds no room in the quarantine, before the next reading is read for it."""
        try:
            lane.stream.present.appender.admit()
        except Full as full:
            lane.block(str(full), now)

    def _chore_failed(self, lane: Lane, error: Exception, now: float) -> None:
        events.spool_chore_failed(lane.stream.config.name, error)
        lane.chores, lane.chores_at = True, now + lane.backoff.failed()
