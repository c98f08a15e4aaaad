"""Ports: what the adapters (intake, spool, uplink) promise each other. They meet here and nowhere else.

    intake --Batch--> Sink (spool) --Batch.replies--> intake
    uplink <--Border, Block-- Source (spool) <--delivered, quarantine-- uplink

Every implementation of a port passes the contract suite of that port (tests/contract).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from device_agent.wire.block import Payload, Run


class Verdict(Enum):
    """What a stream says before anything is read for it."""

    OPEN = "open"  # read
    BUSY = "busy"  # not now: the writer is behind; leave it in ZeroMQ, no pattern is read
    FULL = "full"  # the disk is full or failing: PULL and SUB are not read, REQ and DEALER are read and refused


class Replies(Protocol):
    """Where the readings of a batch are acknowledged. Called from the writer's thread: must not block, must not raise."""

    def committed(self, batch: Batch, first: int) -> None:
        """The batch is on disk, fsynced; its readings have the sequence numbers `first`, `first` + 1, ..."""

    def refused(self, batch: Batch, reason: str, *, first: int = 0, kept: int = 0) -> None:
        """Nothing of the batch was kept; or only its first `kept` readings, with the numbers `first`, `first` + 1, ...

        `reason` is for the client's eyes: one sentence.
        """


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings for one stream, received by one input in one turn."""

    stream: str
    run: Run
    size: int  # bytes of all payload frames
    replies: Replies | None = None  # None: the pattern has no acknowledgement, so the batch need not hurry to the disk
    tokens: Sequence[object] | None = None  # one a reading, for `replies`: whom to answer, and how


class Sink(Protocol):
    """The spool as the intake sees it. Called from the receiver's thread only."""

    def verdict(self, stream: str) -> Verdict:
        """Tell whether a reading for `stream` may be read now. Cheap: asked before each turn of each socket."""

    def why(self, stream: str) -> str:
        """One sentence for a refused client, while the verdict is FULL."""

    def max_reading(self, stream: str) -> int:
        """Largest reading in bytes (all frames) that the stream's log takes."""

    def put(self, batch: Batch) -> None:
        """Take a batch over. Never blocks and never fails; after an OPEN verdict one turn's batches always find room.

        Sooner or later either `batch.replies.committed` or `.refused` is called, once. Batches of a stream commit in the order of `put`.
        """

    def set_aside(self, stream: str, payload: Payload, reason: str) -> None:
        """Keep a reading that can never enter the log (too large), within the spool's cap, where people can look at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """A closed envelope, on disk for good: sequence numbers, id and content are final. Or a notice, if `reason` is set."""

    stream: str
    epoch: str
    first: int
    last: int
    time: int  # receive time of the first reading (of a notice: when it was made), microseconds since 1970 UTC
    size: int  # bytes of its data blocks; 0 for a notice
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A data block as the log holds it: `count` readings from sequence number `first`."""

    first: int
    count: int
    data: bytes


class Source(Protocol):
    """The spool as the uplink sees it. Safe from every thread.

    A border that was taken is in flight: nobody else gets it and it is not dropped, until it is settled by `delivered` or `quarantine`
    (number for number), or given back. Whatever is in flight at a crash is taken again after it, with the same id and content.
    """

    def take(self, stream: str, *, fresh: bool = False) -> Border | None:
        """Return the oldest closed envelope that nobody has, or with `fresh` the newest; None if there is none."""

    def read(self, border: Border) -> list[Block]:
        """Return the blocks of a taken border, in order, gapless from `first` to `last`; [] for a notice.

        A block that turns out damaged is left out: its numbers get a notice of their own and count as settled here. So the list may have
        gaps, and may be empty; then there is nothing to send.

        Raises:
            NotNow: the disk cannot be read; the border is still taken.
        """

    def delivered(self, border: Border, first: int, last: int) -> None:
        """The cloud has accepted the numbers `first` to `last` of the border. Losing this fact in a crash only causes a re-send."""

    def quarantine(self, border: Border, first: int, last: int, *, reason: str, body: str) -> None:
        """The cloud will never take these numbers: keep `body` with the reason, and tell the cloud by a notice."""

    def give_back(self, border: Border) -> None:
        """Put a taken border back in its old place: not now."""

    def sendable(self, stream: str, now: bool) -> None:  # it is a state that is reported, not a flag that selects behaviour
        """Report whether the uplink could send for `stream` right now; while it could not, linger does not close envelopes."""

    def wait(self, timeout: float) -> None:
        """Block until something can be taken that could not be before, or `timeout` seconds have passed, or `wake` was called."""

    def wake(self) -> None:
        """Let every `wait` return now."""
