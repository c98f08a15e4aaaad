"""Idempotent Receiver of state: the latest value of every topic, and how far each stream has been applied.

Promises
1. Everything is ordered by (ordinal of the epoch, sequence number): state never goes backwards. Clocks do not order anything.
2. A superseded epoch, and what is older than the stream's position (a replay), changes nothing.
   Nor does an epoch with a higher ordinal whose readings are older than the position's, by clocks that can be believed on both sides:
   it was seen late (a redrive from the dead-letter queue), not made late. That is all that a clock may do: veto a change of epochs.
3. Applying twice, or again after a crash at any point, ends in the same state.

How: the position moves first, conditionally; then each topic's last value is put, conditionally. A crash between them leaves the position
at this very envelope, so its repetition puts the values again; a later envelope of the group cannot come before that has succeeded.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from device_agent.wire.block import Payload
from device_agent.wire.envelope import Envelope

#: A board's clock may be ahead of the queue's by so much and still be believed, microseconds.
CLOCK_AHEAD = 300 * 1_000_000
#: Topics of one envelope whose values are kept, newest first: a topic per reading must not cost a write per reading (or time out for ever).
MAX_TOPICS = 1_000


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A point in the order of a stream."""

    ordinal: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A stream of a device has been applied up to here."""

    device: str
    stream: str
    epoch: str
    place: Place
    received: int  # of the last reading, microseconds since 1970
    believed: int | None  # the same, if the board's clock was synchronised and not ahead of the queue's


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The newest reading of a topic."""

    device: str
    stream: str
    topic: str | None
    place: Place
    received: int
    synced: bool
    client: str | None
    payload: Payload


class Standing(Enum):
    """What an envelope is to the position of its stream."""

    ADVANCED = "advanced"
    REPEATED = "repeated"  # the position stands at this very envelope
    LATE = "late"  # same epoch, older
    SUPERSEDED = "superseded"  # older epoch, or one that was seen late


class States(Protocol):
    """The state table. Every method may raise `NotNow` or `Unknown`; repeating it is harmless."""

    def advance(self, position: Position) -> Standing:
        """Move the position if this one is newer; else change nothing and say how it stands."""

    def put(self, latest: Latest) -> bool:
        """Keep the reading unless the kept one is as new or newer; tell whether it was kept."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying an envelope came to: values that changed, topics beyond `MAX_TOPICS`."""

    standing: Standing
    changed: int = 0
    skipped: int = 0


def standing(mine: Place, kept: Place) -> Standing:
    """Compare a place with the one that is kept."""
    if mine > kept:
        return Standing.ADVANCED
    if mine == kept:
        return Standing.REPEATED
    return Standing.LATE if mine.ordinal == kept.ordinal else Standing.SUPERSEDED


def seen_late(mine: Position, kept: Position) -> bool:
    """Tell whether mine is of another epoch, and older than the one that is kept, by clocks that are believed."""
    if mine.place.ordinal <= kept.place.ordinal or mine.believed is None or kept.believed is None:
        return False
    return mine.believed < kept.believed


def apply(envelope: Envelope, *, ordinal: int, arrived: int, states: States, pool: Executor) -> Applied:
    """Apply a landed envelope, which SQS took at `arrived` (microseconds since 1970).

    Raises:
        NotNow, Unknown: nothing later of its group may be applied.
    """
    received = envelope.readings.received[-1]
    position = Position(
        device=envelope.device,
        stream=envelope.stream,
        epoch=envelope.epoch,
        place=Place(ordinal, envelope.last),
        received=received,
        believed=received if envelope.readings.synced[-1] and received <= arrived + CLOCK_AHEAD else None,
    )
    found = states.advance(position)
    if found in {Standing.LATE, Standing.SUPERSEDED}:
        return Applied(found)
    values, skipped = latest(envelope, ordinal=ordinal)
    return Applied(found, sum(pool.map(states.put, values)), skipped)


def latest(envelope: Envelope, *, ordinal: int) -> tuple[list[Latest], int]:
    """Return the last reading of each topic, newest first and at most `MAX_TOPICS`, and how many topics are left out."""
    readings = envelope.readings
    last = {
        topic or "": row for row, topic in enumerate(readings.topics)
    }  # a reading without a topic and one with an empty one share a key
    rows = sorted(last.values(), reverse=True)
    values = [
        Latest(
            device=envelope.device,
            stream=envelope.stream,
            topic=readings.topics[row],
            place=Place(ordinal, envelope.first + row),
            received=readings.received[row],
            synced=readings.synced[row],
            client=readings.clients[row],
            payload=readings.payloads[row],
        )
        for row in rows[:MAX_TOPICS]
    ]
    return values, len(rows) - len(values)
