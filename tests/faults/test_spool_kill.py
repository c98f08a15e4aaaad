"""kill -9, on the real file system: what was acknowledged before the kill is there after it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from device_agent.clock import SystemClock
from device_agent.config import SpoolConfig, StreamConfig
from device_agent.metrics import Metrics
from device_agent.spool.spool import Spool
from device_agent.wire import block
from device_agent.wire.limits import MIB

WRITER = """
import sys, threading
from tests.faults.test_spool_kill import opened
from device_agent.ports import Batch
from device_agent.wire.block import Run

class Told:
    def committed(self, batch, first):
        for number, payload in enumerate(batch.run.payloads, start=first):
            sys.stdout.write(f"{number} {payload.decode()}\\n")
        sys.stdout.flush()
        gate.release()
    def refused(self, batch, reason, *, first=0, kept=0):
        raise SystemExit(reason)

spool = opened(sys.argv[1])
spool.start()
spool.sendable("a", True)
gate, told, at = threading.Semaphore(4), Told(), 0
while True:
    gate.acquire()
    payloads = [f"{sys.argv[2]}-{at}-{one}".encode() for one in range(7)]
    spool.put(Batch("a", Run(at, True, payloads, None, None), 70, told))
    border = spool.take("a")
    if border is not None and at % 3:
        sys.stdout.write(f"delivered {border.first} {border.last}\\n")
        sys.stdout.flush()
        spool.delivered(border, border.first, border.last)
    elif border is not None:
        spool.give_back(border)
    at += 1
"""


def opened(directory: str) -> Spool:
    spool = Spool(
        SpoolConfig(directory=directory, max_bytes=8 * MIB, keep_free=0),
        [StreamConfig(name="a", queue="q", linger=0.0)],
        device="d", agent="a", clock=SystemClock(), metrics=Metrics(),
    )  # fmt: skip
    spool.open()
    return spool


def test_kill_9_loses_no_acknowledged_reading_and_uses_no_number_twice(tmp_path: Path) -> None:
    directory = str(tmp_path / "spool")
    acknowledged: dict[int, bytes] = {}
    delivered: set[int] = set()
    values = random.Random(1)
    for generation in range(8):
        command = [sys.executable, "-c", WRITER, directory, str(generation)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(values.uniform(0.0, 0.15))
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().split(b"\n")[:-1]  # the last line may be cut
        for line in lines:
            match line.split():
                case [b"delivered", first, last]:
                    delivered.update(range(int(first), int(last) + 1))
                case [number, payload]:
                    assert int(number) not in acknowledged
                    acknowledged[int(number)] = payload
        there = {}
        spool = opened(directory)
        try:
            taken = []
            while (border := spool.take("a")) is not None:
                taken.append(border)
                for one in spool.read(border):
                    there.update(enumerate(block.decode(one.data).payloads, start=one.first))
        finally:
            spool.close()
        for number, payload in acknowledged.items():
            assert there.get(number, payload if number in delivered else None) == payload
    assert len(acknowledged) > 500
