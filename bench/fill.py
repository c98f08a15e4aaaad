"""Makes a backlog quickly: through the Spool itself, without ZeroMQ; and opens one to see how long that takes.

    python -m bench.fill write FOLDER FILE COUNT    readings of the producer's file, as often as needed; prints what was written
    python -m bench.fill open FOLDER                prints the seconds that `Spool.open` took

`FOLDER` is the spool's directory; settings as in `board`, so that the agent takes it over.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from bench.board import STREAM
from bench.readings import read
from device_agent import board
from device_agent.agent import AGENT
from device_agent.clock import SystemClock
from device_agent.config import SpoolConfig, StreamConfig
from device_agent.metrics import Metrics
from device_agent.ports import Batch, Verdict
from device_agent.spool.spool import Spool
from device_agent.wire.block import Payload, Run

_BATCH: Final = 2048  # readings
_BATCH_BYTES: Final = 512 * 1024
_PAUSE: Final = 0.002
_CAP: Final = 4 * 2**30


def _spool(folder: Path, metrics: Metrics) -> Spool:
    config = SpoolConfig(directory=str(folder), max_bytes=_CAP, keep_free=2**20, commit_interval=0.1)
    stream = StreamConfig(name=STREAM, queue="http://127.0.0.1/123456789012/telemetry", linger=0.1)
    return Spool(config, [stream], device="bench", agent=AGENT, clock=SystemClock(), metrics=metrics, machine=board.fingerprint())


def write(folder: Path, file: Path, count: int) -> None:
    """Write a backlog."""
    readings = read(file)
    average = max(1, sum(map(len, readings)) // len(readings))
    size = max(1, min(_BATCH, _BATCH_BYTES // average))
    clock, metrics = SystemClock(), Metrics()
    spool = _spool(folder, metrics)
    spool.open()
    spool.start()
    spool.sendable(STREAM, now=False)
    endless = cycle(readings)
    left = count
    while left:
        while spool.verdict(STREAM) is not Verdict.OPEN:
            time.sleep(_PAUSE)
        payloads: list[Payload] = list(islice(endless, min(size, left)))
        spool.put(Batch(STREAM, Run(clock.now(), True, payloads), sum(map(len, payloads))))
        left -= len(payloads)
    spool.stop()
    spool.close()
    counters = metrics.streams[STREAM]
    print(json.dumps({"committed": counters.committed, "written": counters.written_bytes, "envelopes": counters.closed}))


def measure(folder: Path) -> None:
    """Time `Spool.open`."""
    spool = _spool(folder, Metrics())
    begin = time.perf_counter()
    spool.open()
    print(json.dumps({"seconds": time.perf_counter() - begin}))
    spool.close()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        measure(Path(sys.argv[2]))
