"""One stream of the spool: the logs of its epochs, of which the last is written. Adds to them what the cap and a crash demand.

Invariants
1. Envelopes of former epochs are taken before those of the present one (`fresh`: after).
2. A segment is unlinked only after the journal that says why has been synced, and never while a notice is still to be written.
"""

from __future__ import annotations

import contextlib
from typing import Any

from device_agent import events
from device_agent.config import StreamConfig
from device_agent.ports import Block, Border
from device_agent.spool.budget import PAGE, Share, pages
from device_agent.spool.chunk import Feed, Item
from device_agent.spool.files import Files
from device_agent.spool.opening import Epoch, Setting, open_epochs
from device_agent.spool.overflow import ends_in_readings, sacrifice
from device_agent.spool.room import Full


class Stream:
    """Commits and chores belong to the writer's thread; the rest is safe from every thread."""

    def __init__(self, *, config: StreamConfig, share: Share, directory: str, files: Files) -> None:
        self.config, self.share = config, share
        self._directory, self._files = directory, files
        self._epochs: tuple[Epoch, ...] = ()  # replaced, never changed, so that readers need no lock

    def open(self, setting: Setting) -> None:
        """Open its logs. Raises OSError."""
        for epoch in open_epochs(self._directory, setting):
            self._epochs += (epoch,)

    def close(self) -> None:
        """Do what the uplink has left to do since the writer ended, and close the files."""
        try:
            self.chores()
            for epoch in self._epochs:
                epoch.journal.sync()
        except (Full, OSError) as error:
            events.spool_chore_failed(self.config.name, error)  # it is done at the next start; some envelopes may be sent again
        for epoch in self._epochs:
            epoch.close()

    @property
    def present(self) -> Epoch:
        """The log that is written."""
        return self._epochs[-1]

    @property
    def used(self) -> int:
        """Bytes that its logs take; the present one's directory and journal do not count, since they have their own part of the cap."""
        return sum(epoch.log.used for epoch in self._epochs) + sum(PAGE + pages(epoch.journal.size) for epoch in self._epochs[:-1])

    # Readers

    def take(self, *, fresh: bool) -> Border | None:
        """See `Source.take`."""
        for epoch in reversed(self._epochs) if fresh else self._epochs:
            border = epoch.log.take(fresh=fresh)
            if border is not None:
                return border
        return None

    def read(self, border: Border) -> list[Block]:
        """See `Source.read`."""
        epoch = self.find(border)
        if epoch is None:
            raise LookupError(f"stream {border.stream} has no epoch {border.epoch}")
        return epoch.log.read(border)

    def find(self, border: Border) -> Epoch | None:
        """Return the log that a border is of; None: it is finished and gone."""
        return next((epoch for epoch in self._epochs if epoch.log.epoch == border.epoch), None)

    def waiting(self) -> bool:
        """Whether something waits to be taken."""
        return any(epoch.log.waiting() for epoch in self._epochs)

    def open_since(self) -> float | None:
        """Monotonic time of the first reading of the open envelope, if there is one."""
        envelope = self.present.appender.open
        return None if envelope is None else envelope.since

    # Writer

    def commit(self, items: list[Item], *, close: bool) -> None:
        """Bring items to the disk; they count in `done` how far it came, also when Full or OSError is raised."""
        appender = self.present.appender
        appender.commit(Feed(items, appender.following), close=close)

    def chores(self) -> None:
        """Write notices, keep the journals, delete what is done with. Raises Full or OSError; to be called again then."""
        for epoch in self._epochs:
            sync = False
            if epoch.log.owed() or (epoch is self.present and epoch.appender.jump):
                epoch.appender.commit(Feed([], epoch.appender.next), close=False)
                sync = True  # or what a notice speaks for would be taken again after a crash
            dead = epoch.log.dead()
            if epoch.journal.wants_rewrite:
                epoch.journal.rewrite(epoch.log.snapshot)
            if dead or sync:
                epoch.journal.sync()
            for segment in dead:
                with contextlib.suppress(FileNotFoundError):  # somebody was faster
                    self._files.unlink(segment.path)
                epoch.log.forget(segment)
        for epoch in self._epochs[:-1]:
            if epoch.log.finished():
                self._remove(epoch)

    def _remove(self, epoch: Epoch) -> None:
        """Delete the log of a former epoch."""
        epoch.journal.sync()
        self._epochs = tuple(one for one in self._epochs if one is not epoch)
        epoch.close()
        for found in self._files.list(epoch.log.directory):
            self._files.unlink(f"{epoch.log.directory}/{found.name}")
        self._files.remove_directory(epoch.log.directory)

    def sacrifice(self) -> bool:
        """Drop the oldest envelopes that nobody has; True if a segment can be deleted now."""
        for epoch in self._epochs:
            if sacrifice(epoch.log, self._files):
                return True
            if epoch is not self.present and ends_in_readings(epoch.log, epoch.appender.next):
                epoch.appender.supersede()
                if sacrifice(epoch.log, self._files):
                    return True
        return False

    def status(self) -> dict[str, Any]:
        """Return what `Spool.status` says of a stream."""
        logs = [epoch.log.status(epoch.appender.next - 1) for epoch in self._epochs]
        times = [log["oldest"] for log in logs if log["oldest"] is not None]
        return {
            "epoch": self.present.log.epoch,
            "next": self.present.appender.following,
            "segments": sum(log["segments"] for log in logs),
            "bytes": sum(log["bytes"] for log in logs),
            "share": self.share.limit,
            "backlog_envelopes": sum(log["envelopes"] for log in logs),
            "backlog_envelopes_exact": all(log["exact"] for log in logs),
            "backlog_readings": sum(log["readings"] for log in logs),
            "in_flight": sum(log["flights"] for log in logs),
            "oldest_undelivered": min(times, default=None),
        }
