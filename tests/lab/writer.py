"""A spool under load in a process of its own: `python -m tests.lab.writer DIRECTORY LOG SEED [--no-sync]`.

Puts batches that want an answer as fast as it takes them, and takes, reads and delivers envelopes meanwhile, so that segments come and go.
Every commit is appended to LOG, with O_APPEND, outside the file system whose power is cut: `a <first> <count>` and, for what the cloud has,
`d <first> <last>`. The payload of a reading is a function of its sequence number and of SEED, so that a log of numbers says it all: the
numbers are known when a batch is put, because every batch wants an answer and only one is on its way. Ends when the disk fails.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from hashlib import blake2b

from device_agent.clock import SystemClock
from device_agent.config import SpoolConfig, StreamConfig
from device_agent.metrics import Metrics
from device_agent.ports import Batch
from device_agent.spool.files import RealFiles
from device_agent.spool.spool import Spool
from device_agent.wire.block import Payload, Run
from device_agent.wire.limits import MIB

STREAM = "events"


class Forgetful(RealFiles):
    """The deliberate break: nothing is ever synced."""

    def datasync(self, fd: int) -> None:
        """Claim that it was."""

    def sync_directory(self, path: str) -> None:
        """Claim that it was."""


def payload(seq: int) -> bytes:
    """What the reading with this number holds: incompressible, of varying size."""
    digest = blake2b(b"%d" % seq, digest_size=64).digest()
    return b"%d " % seq + digest * (1 + digest[0] % 8 if digest[1] else 500)


def make(directory: str, *, files: RealFiles | None = None) -> Spool:
    """Return a small spool that rolls its segments often; not open yet."""
    config = SpoolConfig(directory=directory, max_bytes=4 * MIB, keep_free=0, commit_interval=0.05)
    streams = [StreamConfig(name=STREAM, queue="https://q/1/events.fifo", linger=0.01, max_envelope=16_384)]
    return Spool(config, streams, device="board", agent="lab/0", clock=SystemClock(), metrics=Metrics(), files=files, machine="board")


class Load:
    """Replies that log, and the next batch."""

    def __init__(self, spool: Spool, log: int, seed: int) -> None:
        self._spool, self._log, self._random = spool, log, random.Random(seed)
        self.next = spool.status()["streams"][STREAM]["next"]
        self._answered = threading.Event()

    def committed(self, batch: Batch, first: int) -> None:
        """See `Replies`."""
        count = len(batch.run)
        assert first == self.next, f"numbers jump from {self.next} to {first}"
        os.write(self._log, b"a %d %d\n" % (first, count))
        self.next = first + count
        self._answered.set()

    def refused(self, batch: Batch, reason: str) -> None:
        """See `Replies`."""
        self._answered.set()

    def put(self) -> None:
        """Put a batch and wait for its answer."""
        count = self._random.choice((1, 1, 5, 50))
        payloads: list[Payload] = [payload(seq) for seq in range(self.next, self.next + count)]
        self._answered.clear()
        self._spool.put(Batch(STREAM, Run(SystemClock().now(), True, payloads), sum(len(one) for one in payloads), self, [None] * count))
        self._answered.wait(120)

    def deliver(self) -> None:
        """Take an envelope or a few, and say that the cloud has them."""
        for _ in range(self._random.randint(0, 4)):
            border = self._spool.take(STREAM)
            if border is None:
                return
            if self._random.random() < 0.1:
                self._spool.give_back(border)
                continue
            self._spool.read(border)
            os.write(self._log, b"d %d %d\n" % (border.first, border.last))  # before: it may be settled on disk at once
            self._spool.delivered(border, border.first, border.last)


def main() -> None:
    directory, log, seed = sys.argv[1:4]
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    spool = make(directory, files=Forgetful() if "--no-sync" in sys.argv else None)
    spool.open()
    spool.start()
    spool.sendable(STREAM, True)
    load = Load(spool, descriptor, int(seed))
    print("ready", flush=True)
    while True:
        load.put()
        load.deliver()


if __name__ == "__main__":
    main()
