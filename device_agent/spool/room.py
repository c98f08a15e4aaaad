"""Room: what the cap, the file system and the quarantine leave to one stream, asked before each new segment and each commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from device_agent.config import WhenFull
from device_agent.spool.budget import Share
from device_agent.wire.limits import MIB


class Full(Exception):  # noqa: N818  # "not now": there is no room, and somebody else must make some
    """Nothing may be written; `str()` says why, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Safe from every thread, as its parts are."""

    stream: str
    share: Share
    when_full: WhenFull
    used: Callable[[], int]  # bytes that the stream takes on the disk, as its share counts them
    free: Callable[[], int]  # bytes of the file system beyond `keep_free`
    stopped: Callable[[], str]  # why a refused message stops the stream: the quarantine has no room for it; "" if none does

    def fits(self, size: int) -> bool:
        """Whether the cap leaves `size` more bytes."""
        return self.used() + size <= self.share.limit

    def ask(self, size: int, *, control: bool) -> None:
        """Ask for a segment of `size` bytes. The last part of the share is for borders and notices (`control`).

        Raises:
            Full: the cap, or the file system, has no room.
        """
        share = self.share
        reserve = 0 if control or self.when_full is WhenFull.DROP_OLDEST else share.segment
        if not self.fits(size + reserve):
            raise Full(
                f"the spool is full: stream {self.stream} has {self.used() / MIB:.1f} of its {share.limit / MIB:.1f} MiB on disk, and "
                f"beside the room kept for notices another segment of {share.segment / MIB:.1f} MiB does not fit"
            )
        if not control and self.free() < size:
            raise Full("the spool is full: the file system has no more room than spool.keep_free leaves to others")

    def admit(self) -> None:
        """Ask whether readings may be written at all.

        Raises:
            Full: the stream is stopped. `drop-oldest` stops none: readings in the quarantine are its oldest, and give way there.
        """
        why = "" if self.when_full is WhenFull.DROP_OLDEST else self.stopped()
        if why:
            raise Full(why)
