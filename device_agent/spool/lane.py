"""Lane: the batches of one stream that wait for the writer, when something is due, and who is told what became of them.

Invariants
1. `cost` and `hurry` count what is in `queue` and in the writer's hands; both change under the writer's lock, callbacks run without it.
2. A batch is answered once: by `answer` when it is wholly on the disk, by `refuse` when nothing of it is, by `abandon` in any case.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

from device_agent import events
from device_agent.backoff import Backoff
from device_agent.ports import Batch
from device_agent.spool.chunk import Item, cost
from device_agent.spool.stream import Stream
from device_agent.wire.limits import MIB

#: Bytes of waiting batches that make a commit at once, and that one commit takes at most.
CHUNK: Final = 2 * MIB
_FIRST_RETRY: Final = 0.2
_LAST_RETRY: Final = 10.0
NEVER: Final = math.inf
_STOPPING: Final = "the agent stops and its disk takes no readings"


@dataclass(frozen=True, slots=True)
class Unsaved:
    """Readings that a spool had taken from a program that gets no answer, and that its disk did not take until the end."""

    batch: Batch
    why: str


@dataclass(slots=True, eq=False)
class Lane:
    """What the writer knows of one stream. Changed under the writer's lock, except what only its thread uses."""

    stream: Stream
    lock: threading.Condition
    queue: deque[Item] = field(default_factory=deque)
    cost: int = 0  # of the queue, and of what is being written
    hurry: int = 0  # readings in the queue that wait for an answer, in batches of which nothing is on the disk yet
    crowd: int = 1  # readings that wanted an answer about when the last commit ended: as many may want one again
    patience: float = 0.0  # until then a commit waits for the crowd
    sendable: bool = False
    chores: bool = True  # something is to be written, deleted or rewritten
    chores_at: float = 0.0  # not before
    blocked: str = ""  # why nothing can be written
    retry_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first=_FIRST_RETRY, cap=_LAST_RETRY))

    def due(self, now: float, interval: float) -> float:
        """Seconds until something is due; batches without replies wait `interval`. Under the lock, or from the writer's thread."""
        chores = max(0.0, self.chores_at - now) if self.chores else NEVER
        if self.blocked:
            return 0.0 if self.hurry else min(chores, max(0.0, self.retry_at - now))
        if self.hurry >= self.crowd or self.cost >= CHUNK:
            return 0.0
        if self.hurry:
            chores = min(chores, self.patience - now)
        try:
            readings = self.queue[0].since + interval - now
        except IndexError:
            readings = NEVER
        return max(0.0, min(chores, readings, self.linger(now)))

    def linger(self, now: float) -> float:
        """Seconds until the open envelope should be closed."""
        since = self.stream.open_since()
        if since is None or not self.sendable or self.stream.waiting():
            return NEVER
        return since + self.stream.config.linger - now

    def chunk(self) -> list[Item]:
        """Take what waits out of the queue, up to a chunk."""
        items, size = [], 0
        with self.lock:
            while self.queue and size < CHUNK:
                item = self.queue.popleft()
                self.hurry -= _hurries(item)
                size += cost(item.batch)
                items.append(item)
        return items

    def answer(self, items: list[Item]) -> list[Item]:
        """Acknowledge what is wholly on the disk; return the rest."""
        left, done, answered = [], 0, 0
        for item in items:
            if item.left:
                left.append(item)
                continue
            done += cost(item.batch)
            if item.batch.replies is not None:
                answered += len(item.batch.run)
                item.batch.replies.committed(item.batch, item.first)
        with self.lock:
            self.cost -= done
            self.crowd = max(1, answered + self.hurry)
        return left

    def put_back(self, items: list[Item]) -> None:
        """What is left of a chunk is the first of the next."""
        if items:
            with self.lock:
                self.queue.extendleft(reversed(items))
                self.hurry += sum(map(_hurries, items))

    def refuse(self) -> None:
        """Tell everybody who waits for an answer that there is none to wait for; a batch that is partly on the disk waits on."""
        with self.lock:
            items = [item for item in self.queue if _hurries(item)]
            self.queue = deque(item for item in self.queue if not _hurries(item))
            self.cost -= sum(cost(item.batch) for item in items)
            self.hurry = 0
        for item in items:
            assert item.batch.replies is not None
            item.batch.replies.refused(item.batch, self.blocked)

    def block(self, reason: str, now: float) -> None:
        """The disk takes nothing: try again later."""
        if not self.blocked:
            events.spool_blocked(self.stream.config.name, reason)
        self.blocked = reason
        self.retry_at = now + self.backoff.failed()

    def abandon(self) -> list[Unsaved]:
        """At the end: refuse what the disk did not take, acknowledge the part that it took, and return what nobody waits for."""
        with self.lock:
            items, self.queue = list(self.queue), deque()
            self.cost = self.hurry = 0
        for item in items:
            if item.batch.replies is not None:
                item.batch.replies.refused(item.batch, self.blocked or _STOPPING, first=item.first, kept=item.done)
        rest = [replace(item.batch, run=item.batch.run.part(slice(item.done, None))) for item in items if item.batch.replies is None]
        return [Unsaved(batch, self.blocked) for batch in rest]


def _hurries(item: Item) -> int:
    return item.left if item.batch.replies is not None and not item.done else 0
