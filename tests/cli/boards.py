"""A spool on the real file system, as an agent leaves it behind, for the commands that look into it."""

from __future__ import annotations

import time
from pathlib import Path

from device_agent import packer
from device_agent.clock import SystemClock
from device_agent.config import SpoolConfig, StreamConfig
from device_agent.metrics import Metrics
from device_agent.ports import Batch
from device_agent.spool.spool import Spool
from device_agent.spool.writer import GATHER
from device_agent.wire.block import Payload, Run
from device_agent.wire.limits import MIB

CONFIG = """\
[device]
id = "board-7"
[aws]
region = "eu-central-1"
endpoint_url = "{endpoint}"
[spool]
directory = "{folder}/spool"
max_bytes = "4 MiB"
[uplink]
connect_timeout = "500ms"
read_timeout = "500ms"
[[input]]
name = "sensors"
pattern = "pull"
bind = ["ipc://{folder}/sensors"]
stream = "telemetry"
[[stream]]
name = "telemetry"
queue = "{endpoint}/123456789012/telemetry"
[[stream]]
name = "events"
queue = "{endpoint}/123456789012/events.fifo"
linger = "0s"
"""


class Board:
    """Its folder, its config file, and the spool while it is open."""

    def __init__(self, folder: Path, *, endpoint: str = "http://127.0.0.1:1") -> None:
        self.folder, self.directory, self.config = folder, folder / "spool", folder / "agent.toml"
        self.config.write_text(CONFIG.format(folder=folder, endpoint=endpoint), encoding="utf-8")
        self.streams = {
            "telemetry": StreamConfig(name="telemetry", queue=f"{endpoint}/123456789012/telemetry", linger=0.0),
            "events": StreamConfig(name="events", queue=f"{endpoint}/123456789012/events.fifo", linger=0.0),
        }
        self.spool = self.open()

    def open(self) -> Spool:
        config = SpoolConfig(directory=str(self.directory), max_bytes=4 * MIB)
        self.spool = Spool(
            config, list(self.streams.values()), device="board-7", agent="device-agent/0", clock=SystemClock(), metrics=Metrics()
        )
        self.spool.open()
        for name in self.streams:
            self.spool.sendable(name, True)
        return self.spool

    def put(self, stream: str, *payloads: Payload, topic: str | None = None) -> None:
        run = Run(time.time_ns() // 1000, True, list(payloads), topic, None)
        self.spool.put(Batch(stream, run, sum(map(len, payloads)), Ignored(), [None] * len(payloads)))
        for _ in range(2):  # commit, then close the envelope
            while (due := self.spool.writer.turn()) < GATHER:  # it waits for those who were answered just before
                time.sleep(due)

    def refuse(self, stream: str, reason: str = "MessageTooLong: raise MaximumMessageSize") -> str:
        """Let the cloud refuse the oldest envelope; return the id of its file."""
        border = self.spool.take(stream)
        assert border is not None
        (message,) = packer.pack("board-7", "device-agent/0", self.streams[stream], border, self.spool.read(border))
        self.spool.quarantine(border, border.first, border.last, reason=reason, body=message.body)
        return f"{stream}/{border.epoch}-{border.first}-{border.last}"

    def close(self) -> None:
        self.spool.stop()
        self.spool.close()

    def segment(self, stream: str) -> Path:
        """The first file of a stream's log."""
        return min((self.directory / "streams" / stream).glob("*/*.log"))


class Ignored:
    """Answers that nobody waits for."""

    def committed(self, batch: Batch, first: int) -> None: ...

    def refused(self, batch: Batch, reason: str) -> None:
        raise AssertionError(reason)
