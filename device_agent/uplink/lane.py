"""Lane: one stream on its way to its queue: which borders are taken, which message is next, what became of it.

Invariants:
- A border that was taken is in exactly one parcel until all its numbers are settled or it is given back.
- A message is in one place: still to be made, `_head` (next to go), `_again` (failed, goes before anything new), or in flight.
- On FIFO at most one message is in flight, and messages leave in the order of their numbers: nothing behind a failed one.
- A parcel of which nothing is settled and nothing in flight is given back when the lane waits, so that waiting pins nothing in the spool.

Not safe between threads: the scheduler's lock guards it.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from device_agent import events, packer
from device_agent.backoff import Backoff
from device_agent.config import StreamConfig
from device_agent.descriptors import is_short
from device_agent.errors import NotNow
from device_agent.metrics import StreamMetrics
from device_agent.packer import Message
from device_agent.ports import Border, Source
from device_agent.seldom import Seldom
from device_agent.uplink.verdicts import Cause, NotSent, Refused
from device_agent.wire.errors import EnvelopeError

#: So many messages refused in a row, none accepted, look like a wrong configuration rather than wrong messages: from here on messages are
#: tried again after the back-off instead. Before the first acceptance one is enough, so that no restart begins anew.
BRAKE: Final = 3
#: ... and after so many further tries in vain one refusal is believed, so that a row of wrong messages does not hold up a FIFO queue for
#: ever; each time after twice as many, so that a mistake that nobody mends for days costs a handful of quarantined messages.
PATIENCE: Final = (10, 1280)


@dataclass(slots=True, eq=False)
class Parcel:
    """A taken border whose messages are on their way."""

    border: Border
    messages: Iterator[Message]
    unpacked: int  # first number that no message was made of yet
    in_flight: int = 0
    settled: bool = False  # some number was delivered or quarantined: it cannot be given back whole
    made_all: bool = False
    unreadable: EnvelopeError | None = None  # no more messages can be made, and the rest is not in quarantine yet


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A message with where it came from."""

    lane: Lane
    parcel: Parcel
    message: Message


class Lane:
    """The state of one stream."""

    def __init__(
        self, stream: StreamConfig, *, device: str, agent: str, source: Source, metrics: StreamMetrics, backoff: Backoff, seldom: Seldom
    ) -> None:
        self.stream, self.metrics = stream, metrics
        self.group = packer.group_id(stream.group, device=device, stream=stream.name, fifo=stream.fifo)
        self.backoff = backoff
        self.not_before = float("-inf")  # monotonic
        self.problem = ""  # why it waits, one sentence
        self._device, self._agent, self._source = device, agent, source
        self._head: Item | None = None
        self._again: deque[Item] = deque()
        self._open: dict[bool, Parcel | None] = {False: None, True: None}  # by "fresh"
        self._fresh_next = False
        self._flying: dict[int, Item] = {}  # by id() of the item
        self._refused_in_row = BRAKE - 1
        self._in_vain = 0  # tries since a refusal was believed
        self._patience = PATIENCE[0]
        self._seldom = seldom
        self._cause: Cause | None = None  # of the problem

    # What goes next

    def peek(self) -> Item | None:
        """Return the message that goes next, without taking it away; None if there is none. `NotSent`: the disk cannot be read now."""
        if self._head is None:
            self._head = self._again.popleft() if self._again else self._pull()
        return self._head

    def pop(self) -> Item:
        """Take what `peek` showed; it is in flight now."""
        item = self._head
        assert item is not None
        self._head = None
        item.parcel.in_flight += 1
        self._flying[id(item)] = item
        return item

    def _pull(self) -> Item | None:
        """Make the next message: on standard queues fresh and old in turns, so that neither waits for the other."""
        if self.stream.fifo:
            return self._from(fresh=False)
        side, self._fresh_next = self._fresh_next, not self._fresh_next
        return self._from(fresh=side) or self._from(fresh=not side)

    def _from(self, *, fresh: bool) -> Item | None:
        while True:
            parcel = self._open[fresh] = self._open[fresh] or self._take(fresh=fresh)
            if parcel is None:
                return None
            message = self._make(parcel)
            if message is not None:
                return Item(self, parcel, message)
            self._open[fresh] = None  # all of it is on its way

    def _take(self, *, fresh: bool) -> Parcel | None:
        border = self._source.take(self.stream.name, fresh=fresh)
        if border is None:
            return None
        try:
            blocks = self._source.read(border)
        except NotNow as error:
            self._source.give_back(border)
            raise _not_now(error, Cause.DISK) from None
        return Parcel(border, packer.messages(self._device, self._agent, self.stream, border, blocks), border.first)

    def _make(self, parcel: Parcel) -> Message | None:
        try:
            if parcel.unreadable is not None:
                raise parcel.unreadable
            message = next(parcel.messages, None)
        except EnvelopeError as error:
            self._unreadable(parcel, error)
            message = None
        if message is None:
            parcel.made_all = True
        else:
            parcel.unpacked = message.last + 1
        return message

    def _unreadable(self, parcel: Parcel, error: EnvelopeError) -> None:
        """Set aside what the log took for sound and nobody can decode (`pack = false` must). `NotSent`: the disk cannot take it now."""
        border = parcel.border
        reason = f"the data blocks cannot be decoded: {error}"
        parcel.unreadable = error
        try:
            body = base64.b64encode(b"".join(one.data for one in self._source.read(border))).decode()
            self._source.quarantine(border, parcel.unpacked, border.last, reason=reason, body=body)
        except NotNow as failure:
            raise _not_now(failure, Cause.ASIDE) from None
        parcel.settled = True
        self.metrics.quarantined += border.last - parcel.unpacked + 1
        events.quarantined(stream=self.stream.name, first=parcel.unpacked, last=border.last, reason=reason)

    # What became of it

    def accepted(self, item: Item) -> None:
        """SQS has the message."""
        message = item.message
        self._land(item)
        item.parcel.settled = True
        self._source.delivered(item.parcel.border, message.first, message.last)
        if not item.parcel.border.reason:  # a notice only says what was refused
            self.metrics.sent += message.last - message.first + 1
            self._refused_in_row, self._in_vain, self._patience = 0, 0, PATIENCE[0]
        self.metrics.sent_messages += 1
        self.metrics.sent_bytes += message.size

    def refused(self, item: Item, reason: Refused) -> None:
        """SQS will never have the message: quarantine. `NotSent`: not now, for the disk does not take it, or no refusal is believed."""
        message = item.message
        if self.braked and self._in_vain < self._patience:
            raise doubted(reason)
        try:
            self._source.quarantine(item.parcel.border, message.first, message.last, reason=str(reason), body=message.body)
        except NotNow as error:
            raise _not_now(error, Cause.ASIDE) from None
        self._land(item)
        item.parcel.settled = True
        self.metrics.quarantined += message.last - message.first + 1
        events.quarantined(stream=self.stream.name, first=message.first, last=message.last, reason=str(reason))
        if self.braked:
            self._in_vain, self._patience = 0, min(2 * self._patience, PATIENCE[1])
        self._refused_in_row += 1

    @property
    def braked(self) -> bool:
        """Whether so many were refused in a row that it is hardly the messages' fault."""
        return self._refused_in_row >= BRAKE

    def again(self, items: list[Item]) -> None:
        """The messages go once more, later, before anything new."""
        for item in items:
            self._land(item)
        self._again.extendleft(reversed(items))
        self.metrics.retried_messages += len(items)
        self.give_back()

    def give_back(self) -> None:
        """Give back all parcels of which nothing is settled or in flight."""
        waiting = [*self._again, *([self._head] if self._head is not None else [])]
        parcels = {id(parcel): parcel for parcel in [*(item.parcel for item in waiting), *self._open.values()] if parcel is not None}
        for parcel in parcels.values():
            if not parcel.settled and not parcel.in_flight:
                self._forget(parcel)
                self._source.give_back(parcel.border)

    def give_back_all(self) -> None:
        """At the end: give back whatever is not settled, in flight or not."""
        items = [*self._again, *self._flying.values(), *([self._head] if self._head is not None else [])]
        parcels = {id(parcel): parcel for parcel in [*(item.parcel for item in items), *self._open.values()] if parcel is not None}
        for parcel in parcels.values():
            self._source.give_back(parcel.border)
        self._head = None
        self._again.clear()
        self._flying.clear()
        self._open = {False: None, True: None}

    def failed(self, error: NotSent, now: float) -> None:
        """Wait a while, and say why, unless that was said just now: the numbers of messages make each error another text."""
        if self._cause is not error.cause or (self.problem != str(error) and self._seldom.due(error.cause)):
            events.uplink_waits(queue=self.stream.queue, streams=[self.stream.name], problem=str(error))
        self.not_before = now + self.backoff.failed()
        self.problem, self._cause = str(error), error.cause
        self._in_vain += error.cause is Cause.EVERY

    def succeeded(self) -> None:
        """Nothing to wait for."""
        self.backoff.succeeded()
        self.not_before = float("-inf")
        self.problem, self._cause = "", None

    @property
    def in_flight(self) -> int:
        """Messages in flight."""
        return len(self._flying)

    @property
    def oldest(self) -> int | None:
        """Receive time of the oldest envelope in flight, microseconds since 1970."""
        return min((item.parcel.border.time for item in self._flying.values()), default=None)

    def _land(self, item: Item) -> None:
        del self._flying[id(item)]
        item.parcel.in_flight -= 1

    def _forget(self, parcel: Parcel) -> None:
        self._again = deque(item for item in self._again if item.parcel is not parcel)
        if self._head is not None and self._head.parcel is parcel:
            self._head = None
        for fresh, other in self._open.items():
            if other is parcel:
                self._open[fresh] = None


def _not_now(error: NotNow, cause: Cause) -> NotSent:
    """Return what is told of a disk that does not do its part; without file descriptors it is not the disk's fault."""
    return NotSent(Cause.FILES if is_short(error) else cause, str(error))


def doubted(reason: Refused) -> NotSent:
    """Return what is told while it is hardly the messages' fault."""
    return NotSent(Cause.EVERY, str(reason))
