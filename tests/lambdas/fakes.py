"""Small real ledgers, lakes and state tables in memory, whose every operation can be refused, lost, delayed or be the last one.

Each operation asks `gate` for its fate first. `tests/lambdas/stepping.py` makes gates that a test opens one by one.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from device_agent.wire import ledger
from device_agent.wire.envelope import Notice
from device_agent.wire.ledger import VOID, Line
from device_agent.wire.ranges import Ranges
from lambdas.closing.parts import folded
from lambdas.closing.ports import Bookmark, Entry, Part, Told
from lambdas.landing.messages import Message
from lambdas.landing.ports import Claim, Commit, Known, NotNow, Unknown
from lambdas.latest import Latest, Place, Position, Standing, seen_late, standing

Answer = TypeVar("Answer")


class Crash(BaseException):
    """The function is gone: killed, out of time, out of memory."""


class Fate(Enum):
    WELL = "well"
    REFUSED = "refused"
    LOST_BEFORE = "not applied, answer lost"
    LOST_AFTER = "applied, answer lost"
    DELAYED = "answer lost, applied some time later"
    CRASH_BEFORE = "crash, not applied"
    CRASH_AFTER = "crash, applied"


Gate = Callable[[str], Fate]


def open_gate(_operation: str) -> Fate:
    return Fate.WELL


@dataclass
class Network:
    """Between a port and its memory: fates are carried out here."""

    gate: Gate = open_gate
    delayed: list[Callable[[], Any]] = field(default_factory=list)

    def ask(self, name: str, question: Callable[[], Answer]) -> Answer:
        """A question changes nothing, so all that can happen to it is an answer or none."""
        fate = self.gate(name)
        if fate is Fate.WELL:
            return question()
        if fate in {Fate.CRASH_BEFORE, Fate.CRASH_AFTER}:
            raise Crash
        raise NotNow(fate.value)

    def change(self, name: str, effect: Callable[[], Answer]) -> Answer:
        fate = self.gate(name)
        if fate is Fate.REFUSED:
            raise NotNow(fate.value)
        if fate is Fate.CRASH_BEFORE:
            raise Crash
        if fate is Fate.LOST_BEFORE:
            raise Unknown(fate.value)
        if fate is Fate.DELAYED:
            self.delayed.append(effect)
            raise Unknown(fate.value)
        answer = effect()
        if fate is Fate.LOST_AFTER:
            raise Unknown(fate.value)
        if fate is Fate.CRASH_AFTER:
            raise Crash
        return answer


@dataclass
class LedgerMemory:
    claims: dict[tuple[Line, int], Claim] = field(default_factory=dict)
    notices: dict[tuple[Line, int, int], Notice] = field(default_factory=dict)
    epochs: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    parts: dict[Line, dict[int, Part]] = field(default_factory=dict)
    bookmarks: dict[tuple[int, int], Bookmark] = field(default_factory=dict)

    def folded(self, line: Line) -> Ranges:
        return folded(self.parts.get(line, {}).values())


@dataclass
class FakeLedger:
    memory: LedgerMemory = field(default_factory=LedgerMemory)
    network: Network = field(default_factory=Network)

    def known(self, line: Line) -> Known:
        return self.network.ask("known", lambda: self._known(line))

    def _known(self, line: Line) -> Known:
        epochs = self.memory.epochs.get((line.device, line.stream), [])
        ordinal = epochs.index(line.epoch) + 1 if line.epoch in epochs else None
        return Known(ordinal, self.memory.folded(line))

    def register(self, line: Line) -> int:
        return self.network.change("register", lambda: self._register(line))

    def _register(self, line: Line) -> int:
        epochs = self.memory.epochs.setdefault((line.device, line.stream), [])
        if line.epoch not in epochs:
            epochs.append(line.epoch)
        return epochs.index(line.epoch) + 1

    def claim(self, claim: Claim) -> Claim | None:
        return self.network.change("claim", lambda: self._claim(claim))

    def _claim(self, claim: Claim) -> Claim | None:
        old = self.memory.claims.setdefault((claim.line, claim.first), claim)
        return None if old is claim else old

    def move(self, claim: Claim, *, old_key: str) -> bool:
        return self.network.change("move", lambda: self._move(claim, old_key))

    def _move(self, claim: Claim, old_key: str) -> bool:
        old = self.memory.claims.get((claim.line, claim.first))
        if old is None or old.key not in {old_key, claim.key}:
            return False
        self.memory.claims[claim.line, claim.first] = claim
        return True

    def notice(self, notice: Notice, *, arrived: int) -> bool:
        return self.network.change("notice", lambda: self._notice(notice))

    def _notice(self, notice: Notice) -> bool:
        line = Line(notice.device, notice.stream, notice.epoch)
        old = self.memory.notices.setdefault((line, notice.first, notice.last), notice)
        return old.digest() == notice.digest()


@dataclass
class FakeClosing:
    """The ledger as closing sees it. Every answer is a copy: what is read may be old when it is used."""

    memory: LedgerMemory = field(default_factory=LedgerMemory)
    network: Network = field(default_factory=Network)
    last_wins: bool = False  # a broken ledger, to see that the tests notice

    def entries(self, shard: int, *, after: str = "") -> Iterator[Entry]:
        return iter(self.network.ask("entries", lambda: self._entries(shard, after)))

    def _entries(self, shard: int, after: str) -> list[Entry]:
        found = []
        for (device, stream), epochs in self.memory.epochs.items():
            mark = f"{shard:02d}|{device}|{stream}"
            if ledger.shard(device) == shard and mark > after:
                found.append(Entry(mark, tuple(Line(device, stream, epoch) for epoch in epochs)))
        return sorted(found, key=lambda entry: entry.mark)

    def parts(self, line: Line) -> list[Part]:
        return self.network.ask("parts", lambda: sorted(self.memory.parts.get(line, {}).values(), key=lambda part: part.number))

    def claims(self, line: Line, first: int, last: int) -> Iterator[Claim]:
        return iter(self.network.ask("claims", lambda: [claim for claim in self._claims(line) if first <= claim.first <= last]))

    def _claims(self, line: Line) -> list[Claim]:
        return sorted((claim for (at, _), claim in self.memory.claims.items() if at == line), key=lambda claim: claim.first)

    def newest(self, line: Line) -> Claim | None:
        return self.network.ask("newest", lambda: next(reversed(self._claims(line)), None))

    def notices(self, line: Line) -> Iterator[Told]:
        found = [Told(one.first, one.last, one.reason, one.time / 1e6) for (at, _, _), one in self.memory.notices.items() if at == line]
        return iter(self.network.ask("notices", lambda: sorted(found)))

    def write(self, line: Line, part: Part) -> bool:
        return self.network.change("write", lambda: self._write(line, part))

    def _write(self, line: Line, part: Part) -> bool:
        stored = self.memory.parts.setdefault(line, {})
        old = stored.get(part.number)
        if not self.last_wins and (old.version if old else 0) != part.version - 1:
            return False
        stored[part.number] = Part(part.number, Ranges(part.ranges), part.version)
        return True

    def bookmark(self, bucket: int, buckets: int) -> Bookmark:
        return self.network.ask("bookmark", lambda: self.memory.bookmarks.get((bucket, buckets), Bookmark("", "")))

    def set_bookmark(self, bucket: int, buckets: int, bookmark: Bookmark) -> None:
        self.network.change("set bookmark", lambda: self._set_bookmark((bucket, buckets), bookmark))

    def _set_bookmark(self, key: tuple[int, int], bookmark: Bookmark) -> None:
        self.memory.bookmarks[key] = max(bookmark, self.memory.bookmarks.get(key, Bookmark("", "")))


@dataclass
class LakeMemory:
    objects: dict[str, tuple[bytes, Commit]] = field(default_factory=dict)

    def rows(self) -> list[tuple[Line, int, dict[str, Any]]]:
        """Return (line, seq, row) of every row of every data object."""
        found = []
        for key, (body, commit) in self.objects.items():
            assert (commit is Commit.VOID) == (body == VOID), key
            for text in gzip.decompress(body).decode("ascii").splitlines():
                row = json.loads(text)
                found.append((Line(row["device"], key.split("=")[1].split("/")[0], row["epoch"]), row["seq"], row))
        return found


@dataclass
class FakeLake:
    memory: LakeMemory = field(default_factory=LakeMemory)
    network: Network = field(default_factory=Network)
    overwrites: bool = False  # a broken lake, to see that the tests notice

    def head(self, key: str) -> Commit | None:
        return self.network.ask("head", lambda: self.memory.objects[key][1] if key in self.memory.objects else None)

    def create(self, key: str, body: bytes, commit: Commit) -> bool:
        return self.network.change(f"create {commit.value}", lambda: self._create(key, body, commit))

    def _create(self, key: str, body: bytes, commit: Commit) -> bool:
        if key in self.memory.objects and not (self.overwrites and commit is Commit.DATA):
            return False
        self.memory.objects[key] = (body, commit)
        return True


@dataclass
class FakeListing:
    """Lists all keys at the first question and never again: it is old at all later ones."""

    memory: LakeMemory = field(default_factory=LakeMemory)
    network: Network = field(default_factory=Network)
    listed: dict[tuple[str, str, str], Commit] | None = None

    def decided(self, stream: str, day: str, run: str) -> Commit | None:
        if self.listed is None:
            self.listed = self.network.ask("list", self._list)
        return self.listed.get((stream, day, run))

    def _list(self) -> dict[tuple[str, str, str], Commit]:
        return {ledger.split_lake_key(key): commit for key, (_, commit) in self.memory.objects.items()}


@dataclass
class FakeAside:
    letters: list[tuple[Message, str]] = field(default_factory=list)
    network: Network = field(default_factory=Network)

    def set_aside(self, message: Message, reason: str) -> None:
        self.network.change("set aside", lambda: self.letters.append((message, reason)))


@dataclass
class StatesMemory:
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    values: dict[tuple[str, str, str], Latest] = field(default_factory=dict)


@dataclass
class FakeStates:
    memory: StatesMemory = field(default_factory=StatesMemory)
    network: Network = field(default_factory=Network)

    def advance(self, position: Position) -> Standing:
        return self.network.change("advance", lambda: self._advance(position))

    def _advance(self, position: Position) -> Standing:
        kept = self.memory.positions.get((position.device, position.stream))
        if kept is not None and seen_late(position, kept):
            return Standing.SUPERSEDED
        found = standing(position.place, kept.place if kept else Place(0, 0))
        if found is Standing.ADVANCED:
            self.memory.positions[position.device, position.stream] = position
        return found

    def put(self, latest: Latest) -> bool:
        return self.network.change("put value", lambda: self._put(latest))

    def _put(self, latest: Latest) -> bool:
        key = (latest.device, latest.stream, latest.topic or "")
        kept = self.memory.values.get(key)
        if kept is not None and kept.place >= latest.place:
            return False
        self.memory.values[key] = latest
        return True


class InlinePool(Executor):
    """Runs at once, in the caller's thread: every order of steps is then the test's choice."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # as every executor does; a Crash goes through
            future.set_exception(error)
        return future
