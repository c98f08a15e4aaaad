"""Batch: one invocation lands what it was given. Steps 1 to 3 of the protocol, around those of `protocol`.

Promises
1. Nothing in a message makes it raise: each message gets a verdict of its own.
2. A message is LANDED or DUPLICATE only if its envelope is in exactly one data object, or its notice in the ledger.
3. Memory is bounded by the window of undecided lines and the compressed objects, whatever the batch decodes to.
4. It stops taking messages in time to put what it has: the rest fail, and come back to a later invocation.

How: messages are decoded and rendered in the caller's thread while a pool of threads talks to the ledger; an envelope's lines are written
to its stream's draft as soon as its claim is known to be mine. At the end each draft is put, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from math import ceil

from device_agent.wire import ledger as keys
from device_agent.wire.envelope import Envelope, Notice
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.ledger import Line
from lambdas.landing import protocol, rows
from lambdas.landing.draft import Draft
from lambdas.landing.messages import Arrival, Aside, Message
from lambdas.landing.ports import Claim, Known, Lake, Ledger, NotNow, Unknown
from lambdas.landing.protocol import Outcome, Result

#: Beyond the function's deadline, for answers still on their way. Only saves work.
LEASE_MARGIN = 30
#: DynamoDB may forget a claim then; close-day has folded it long before, or an alarm has gone off for a month.
CLAIM_DAYS = 60
#: What cannot be decoded is set aside when it is received so often: twice more, in case this function was older than the device.
PATIENCE = 3
#: Bytes of rendered lines that may wait for their claims.
WINDOW = 64 * 2**20

_NO_TIME = "no time left in this invocation"


class Verdict(Enum):
    """What the source queue is told: the first three succeed, FAILED comes back."""

    LANDED = "landed"
    DUPLICATE = "duplicate"
    ASIDE = "aside"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Settled:
    """The verdict on one message; for landed and duplicate envelopes with the ordinal of their epoch."""

    verdict: Verdict
    reason: str = ""
    ordinal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Verdicts in the order of the messages, and what an operator counts."""

    settled: list[Settled]
    readings: int
    objects: int
    notices: int
    conflicts: int
    undecodable: int


@dataclass(slots=True, kw_only=True)
class _Entry:
    """One envelope (or notice) and every message of the batch that carries it."""

    line: Line
    content: Claim | Notice
    draft: Draft | None  # None: a notice
    lines: bytes
    messages: list[int]
    ordinal: int = 0
    result: Result = field(default_factory=lambda: Result(Outcome.UNKNOWN))


class Landing:
    """Lands batches, one after the other or from several threads: nothing of a batch outlives it."""

    def __init__(
        self, *, ledger: Ledger, lake: Lake, aside: Aside, pool: Executor, now: Callable[[], float], new_run: Callable[[], str],
    ) -> None:  # fmt: skip
        """Take the ports, threads for the ledger, the wall clock in seconds since 1970, and random ids of 32 hexadecimal digits."""
        self.ledger = ledger
        self.lake = lake
        self.aside = aside
        self.pool = pool
        self.now = now
        self.new_run = new_run

    def land(self, arrivals: Iterable[Arrival], *, deadline: float) -> Report:
        """Land a batch. `deadline`: when this function will be cut off, seconds since 1970; a third of what is left is kept for the end."""
        return _Invocation(self, deadline=deadline).run(arrivals)


class _Invocation:
    def __init__(self, landing: Landing, *, deadline: float) -> None:
        start = landing.now()
        self._landing = landing
        self._run = landing.new_run()
        self._day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=start)).date().isoformat()  # read once: one key a stream
        self._enough = deadline - max(0.0, deadline - start) / 3
        self._lease = ceil(deadline) + LEASE_MARGIN
        self._expires = int(start) + CLAIM_DAYS * 86_400
        self._drafts: dict[str, Draft] = {}
        self._known: dict[Line, Future[Known]] = {}
        self._newest: dict[tuple[str, str], Future[Known]] = {}  # of each device and stream: the last one of `_known`
        self._entries: dict[tuple[Line, str, str], _Entry] = {}
        self._claims: dict[tuple[Line, str], Future[Result]] = {}
        self._pending: dict[Future[Result], _Entry] = {}
        self._waiting = 0  # bytes of lines in `_pending`
        self._messages: list[Message] = []
        self._settled: list[Settled] = []
        self._undecodable: list[tuple[int, str]] = []

    def run(self, arrivals: Iterable[Arrival]) -> Report:
        for arrival in arrivals:
            index = len(self._messages)
            self._messages.append(arrival.message)
            self._settled.append(Settled(Verdict.FAILED, _NO_TIME))
            if self._landing.now() < self._enough:
                self._try(index, arrival)
                self._collect(limit=WINDOW)
        self._collect(limit=0)
        objects = self._put()
        conflicts = self._settle()
        self._set_aside([*self._undecodable, *conflicts])
        return self._report(objects=objects, conflicts=len(conflicts))

    # Taking: decode, render, and hand the claim to the pool

    def _try(self, index: int, arrival: Arrival) -> None:
        try:
            self._take(index, arrival)
        except Exception as error:  # noqa: BLE001  # a bug of ours, or memory: this message must not bury the good ones beside it
            self._settled[index] = Settled(Verdict.FAILED, f"landing broke down: {type(error).__name__}")

    def _take(self, index: int, arrival: Arrival) -> None:
        content = arrival.content
        if isinstance(content, EnvelopeError):
            self._undecodable.append((index, str(content)))
            return
        line = Line(content.device, content.stream, content.epoch)
        digest = content.digest()
        twin = self._entries.get((line, content.id, digest))
        if twin is not None:
            twin.messages.append(index)
            return
        entry = self._entry(content, line, digest, index, arrival.message.arrived)
        self._entries[line, content.id, digest] = entry
        if line not in self._known:
            before = self._newest.get((line.device, line.stream))
            self._known[line] = self._newest[line.device, line.stream] = self._landing.pool.submit(self._look_up, line, before)
        # The pool is first in, first out, so whoever waits for a future in it waits for a thread that is at it.
        rival = self._claims.get((line, content.id))
        future = self._claims[line, content.id] = self._landing.pool.submit(self._decide, entry, arrival.message.arrived, rival)
        self._pending[future] = entry
        self._waiting += len(entry.lines)

    def _entry(self, content: Envelope | Notice, line: Line, digest: str, index: int, arrived: int) -> _Entry:
        if isinstance(content, Notice):
            return _Entry(line=line, content=content, draft=None, lines=b"", messages=[index])
        draft = self._drafts.get(line.stream)
        if draft is None:
            draft = self._drafts[line.stream] = Draft(keys.lake_key(line.stream, self._day, self._run))
        claim = Claim(
            line=line, first=content.first, last=content.last, digest=digest, key=draft.key, lease=self._lease, expires=self._expires
        )
        # Rendered before it is claimed: what is claimed can be put.
        return _Entry(line=line, content=claim, draft=draft, lines=rows.lines(content, arrived=arrived), messages=[index])

    # In the pool

    def _look_up(self, line: Line, before: Future[Known] | None) -> Known:
        if before is not None:
            # Epochs get their ordinals in the order of the messages: a new epoch must not overtake the one before it because of an error.
            before.result()
        self._hurry()
        known = self._landing.ledger.known(line)
        return known if known.ordinal is not None else Known(self._landing.ledger.register(line), known.folded)

    def _hurry(self) -> None:
        if self._landing.now() >= self._enough:  # a ledger that answers slowly must not eat the time for putting what is mine
            raise NotNow(_NO_TIME)

    def _decide(self, entry: _Entry, arrived: int, rival: Future[Result] | None) -> Result:
        if rival is not None:
            wait([rival])  # of two contents for one id in a batch, the first one's claim comes first
        try:
            known = self._known[entry.line].result()
            entry.ordinal = known.ordinal or 0
            self._hurry()
            if isinstance(entry.content, Notice):
                stands = self._landing.ledger.notice(entry.content, arrived=arrived)
                return Result(Outcome.DUPLICATE) if stands else Result(Outcome.CONFLICT, "another notice stands for these numbers")
            if known.folded.covers(entry.content.first, entry.content.last):
                return Result(Outcome.DUPLICATE)
        except (NotNow, Unknown) as error:
            return Result(Outcome.FAILED, str(error))  # before any claim
        return protocol.claim(entry.content, ledger=self._landing.ledger, lake=self._landing.lake, now=self._landing.now)

    # Collecting: what is mine goes into its draft

    def _collect(self, *, limit: int) -> None:
        """Wait for claims, oldest first, until fewer than `limit` bytes of lines wait for theirs; with 0 for all of them."""
        while self._pending and self._waiting >= limit:
            future = next(iter(self._pending))
            self._decided(self._pending.pop(future), future)

    def _decided(self, entry: _Entry, future: Future[Result]) -> None:
        try:
            entry.result = future.result()
        except Exception as error:  # noqa: BLE001  # a bug of ours: a claim may stand, and the other streams must not pay for it
            entry.result = Result(Outcome.UNKNOWN, f"landing broke down: {type(error).__name__}")
        if entry.draft is not None:
            if entry.result.outcome is Outcome.MINE:
                entry.draft.add(entry.lines, count=entry.content.last - entry.content.first + 1)
            elif entry.result.outcome is Outcome.UNKNOWN:
                entry.draft.spoil(entry.result.reason)
        self._waiting -= len(entry.lines)
        entry.lines = b""

    # The end: put, settle, set aside

    def _put(self) -> list[Draft]:
        """Put every draft that has lines; return those that are data now, and spoil the others."""
        drafts = [draft for draft in self._drafts.values() if draft.readings and not draft.spoilt]
        put = [self._landing.pool.submit(protocol.put, draft.key, draft.finish(), lake=self._landing.lake) for draft in drafts]
        for draft, future in zip(drafts, put, strict=True):
            try:
                result = future.result()
            except Exception as error:  # noqa: BLE001  # a bug of ours: unknown is the safe verdict
                result = Result(Outcome.UNKNOWN, f"landing broke down: {type(error).__name__}")
            if result.outcome is not Outcome.MINE:
                draft.spoil(result.reason)
        return [draft for draft in drafts if not draft.spoilt]

    def _settle(self) -> list[tuple[int, str]]:
        """Give every message of every entry its verdict; return the conflicts."""
        conflicts = []
        for entry in self._entries.values():
            settled = self._verdict(entry)
            for index in entry.messages:
                self._settled[index] = settled
                if entry.result.outcome is Outcome.CONFLICT:
                    conflicts.append((index, entry.result.reason))
        return conflicts

    def _verdict(self, entry: _Entry) -> Settled:
        outcome, reason = entry.result.outcome, entry.result.reason
        if outcome is Outcome.DUPLICATE:
            return Settled(Verdict.LANDED if entry.draft is None else Verdict.DUPLICATE, ordinal=entry.ordinal)
        if outcome is Outcome.MINE and entry.draft is not None and not entry.draft.spoilt:
            return Settled(Verdict.LANDED, ordinal=entry.ordinal)
        return Settled(Verdict.FAILED, reason or (entry.draft.spoilt if entry.draft else ""))

    def _set_aside(self, letters: list[tuple[int, str]]) -> None:
        """Move what no later attempt could land to the dead-letter queue; what cannot be moved, or is not yet to be, fails."""
        young = {index for index, _ in self._undecodable if self._messages[index].receives < PATIENCE}
        sent = {
            index: self._landing.pool.submit(self._landing.aside.set_aside, self._messages[index], reason)
            for index, reason in letters
            if index not in young
        }
        for index, reason in letters:
            self._settled[index] = Settled(Verdict.FAILED, reason)
            if index in sent:
                self._settled[index] = self._sent(sent[index], reason)

    @staticmethod
    def _sent(future: Future[None], reason: str) -> Settled:
        try:
            future.result()
        except Exception as error:  # noqa: BLE001  # whatever it was, the message stays where it is
            return Settled(Verdict.FAILED, f"{reason}; and it cannot be set aside: {type(error).__name__} {error}")
        return Settled(Verdict.ASIDE, reason)

    def _report(self, *, objects: list[Draft], conflicts: int) -> Report:
        return Report(
            settled=self._settled,
            readings=sum(draft.readings for draft in objects),
            objects=len(objects),
            notices=sum(entry.draft is None for entry in self._entries.values()),
            conflicts=conflicts,
            undecodable=len(self._undecodable),
        )
