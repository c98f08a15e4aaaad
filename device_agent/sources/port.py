"""Port: what a source is, and what it gets. Every kind passes one contract suite (tests/sources/test_contract.py).

docs/sources.md has a source of forty lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from device_agent.errors import NotNow

__all__ = ["Away", "Deliver", "NotNow", "Place", "Settled", "Source", "Taken"]


class Away(NotNow):
    """Nobody answers: the network, or the other side does not run."""


class Taken(NotNow):
    """The address to listen on is in use. `check --online` asks whether by the agent itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """What all sources of a configuration share."""

    device: str  # its id
    directory: Path  # where they may keep what they must know after a restart; made when one does


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a message."""

    token: object  # what `offer` got
    taken: bool  # it is on disk, fsynced
    seq: int = 0  # its sequence number, if it was taken
    again: bool = False  # not taken, and may be another time; else never
    reason: str = ""  # why it was not taken, one sentence


class Deliver(Protocol):
    """The way to the disk and back. For the thread of its source only, but for `stop`."""

    @property
    def room(self) -> int:
        """Messages that may be offered now: the window, less what is under way."""

    @property
    def under_way(self) -> int:
        """Messages that were offered and are not settled."""

    @property
    def stopping(self) -> bool:
        """Whether the source is to take nothing more."""

    @property
    def finished(self) -> bool:
        """Whether the source is to return: it is stopping, and nothing is under way, or the time for that is over."""

    def offer(self, token: object, payload: bytes, *, topic: str | None = None) -> None:
        """Pass a message on; `settled` returns its `token`. While there is no `room`, only what the other side cannot hold back.

        It leaves at the next `settled` or `wait` at the latest, together with others that were offered until then.

        Args:
            token: whatever the source knows the message by.
            payload: any bytes.
            topic: routes and labels the reading, at most 256 bytes in UTF-8; None: it has none. With a longer one the message is refused,
                or, of an input that `insists` (see `SourceConfig`), is a reading of two frames without a topic: nobody could be told.
        """

    def settled(self) -> Sequence[Settled]:
        """Return what became of messages since the last call; never blocks.

        An input that `insists` sees `again` only at a stop, and after `give_back`.
        """

    def give_back(self) -> None:
        """Offer no more what found no room so far: `settled` returns it with `again`, also to an input that `insists`."""

    def wait(self, descriptors: Sequence[int], timeout: float | None, *, writing: Sequence[int] = ()) -> frozenset[int]:
        """Block until a message is settled, the source is to stop, a descriptor can be used, or `timeout` seconds are over.

        Args:
            descriptors: to be read from.
            timeout: seconds; None: for ever.
            writing: to be written to.

        Returns:
            The descriptors that can be used.
        """

    @property
    def descriptors(self) -> tuple[int, int]:
        """For a loop of the source's own: one becomes readable when a message may be settled, the other when the source is to stop.

        The first is edge-triggered (ZMQ_FD, zmq_getsockopt(3)): call `settled` after each `offer`, too.
        """


class Source(ABC):
    """One input that is not ZeroMQ. Made for each run anew."""

    def __init__(self) -> None:
        """Begin without a connection."""
        self._known: dict[str, Any] = {"peers": 0}
        #: Called when it has its connection, or listens; the keeper's.
        self.on_stand: Callable[[], None] = lambda: None

    @abstractmethod
    def run(self, deliver: Deliver) -> None:
        """Take messages until `deliver.stopping`, acknowledge them until `deliver.finished`, and return.

        Raises:
            NotNow: it cannot go on (the broker is away, the password is wrong); `run` is called again on a new one after a pause.
        """

    def probe(self) -> str | None:
        """Look at the other side once, for `device-agent check --online`, and say in one sentence what is there; None: cannot be tried.

        Called on a new source in a thread of its own, and maybe while an agent runs with the same settings: takes no message, changes
        nothing at the other side, and keeps away from the session and the address of that agent. Ends after some 10 seconds.

        Raises:
            NotNow: as from `run`; `Away` if nobody answers, `Taken` if the address to listen on is in use.
        """
        return None

    def knows(self, **known: Any) -> None:
        """Say how it is: `peers` (connections), `endpoints` and what else people may want to see in `status`."""
        self._known = self._known | known

    def status(self) -> dict[str, Any]:
        """Return what `knows` was told; also from other threads."""
        return self._known
