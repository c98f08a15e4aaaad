"""Measurement: what readings come to, in bytes, in an envelope of the size that a fleet's rate and linger make.

Not a guess: the readings are encoded by `wire`, as a board does it, and compressed as lines of the lake, as landing does it.
"""

from __future__ import annotations

import json
import random
import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from device_agent.wire import block, envelope
from device_agent.wire.block import Payload, Run
from device_agent.wire.limits import KIB, MAX_DECODED, MAX_READINGS

_DEVICE, _EPOCH, _AGENT = "board-1234", "0123456789abcdef", "device-agent/0.1.0"
_START = 1_790_000_000_000_000  # microseconds since 1970: any time will do
_LAKE_LEVEL = 1  # as `lambdas/landing/draft.py`
#: Readings of a first try, from which the size of a full envelope follows.
_TRIAL = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """One envelope: `readings` in it, bytes of its body as SQS counts them, and bytes a reading in the lake, compressed."""

    readings: int
    body: int
    lake: float

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.readings < 1 or self.body < 1 or self.lake <= 0:
            raise ValueError("an envelope has at least one reading, and bytes")

    @property
    def wire(self) -> float:
        """Bytes a reading on the way, everything included."""
        return self.body / self.readings


def sensor_readings(count: int, size: int, *, seed: int = 1) -> list[bytes]:
    """Return `count` readings of about `size` bytes, as sensors send them: a time, and as many slowly changing values as fit."""
    chance = random.Random(seed)  # noqa: S311  # the same readings each time
    values = [chance.uniform(0, 100) for _ in range(max(1, (size - 22) // 13))]
    readings = []
    for number in range(count):
        for at in range(len(values)):
            values[at] += chance.gauss(0, 0.1)
        text = f'{{"time":{_START // 1000 + number * 50},' + ",".join(f'"v{at:03}":{value:.2f}' for at, value in enumerate(values))
        readings.append(f"{text}}}".encode())
    return readings


def measure(readings: Sequence[bytes], *, rate: float, linger: float, limit: int = 64 * KIB) -> Sizes:
    """Return the sizes of the envelope that a stream closes at `rate` readings a second: after `linger` seconds, or full at `limit` bytes.

    Args:
        readings: samples, repeated as needed; the more of them, the less repetition helps compression.
        rate: readings a second of one stream.
        linger: seconds.
        limit: largest body, bytes.
    """
    due = max(1, round(rate * linger))
    count = min(due, MAX_READINGS, max(1, MAX_DECODED // (max(map(len, readings)) + 8)))
    trial = _encode(readings, min(count, _TRIAL), rate)
    if len(trial) > limit or count > _TRIAL:
        full = max(1, int(min(count, _TRIAL) * limit / len(trial)))
        count = min(count, full)
    while len(body := _encode(readings, count, rate)) > limit and count > 1:
        count = max(1, int(count * min(0.98, limit / len(body))))
    return Sizes(readings=count, body=len(body), lake=_lake_bytes(body) / count)


def _encode(readings: Sequence[bytes], count: int, rate: float) -> str:
    step = max(1, round(1e6 / rate))  # microseconds; at high rates several are received in one turn
    turn = max(1, round(rate / 1_000))
    runs = [
        Run(_START + at * step, True, [readings[number % len(readings)] for number in range(at, min(at + turn, count))])
        for at in range(0, count, turn)
    ]
    return envelope.encode_blocks(
        device=_DEVICE, stream="telemetry", epoch=_EPOCH, first=1_000_000, count=count, agent=_AGENT, time=_START, data=block.encode(runs)
    )


def _lake_bytes(body: str) -> int:
    """Bytes of an envelope's lines in an object, as landing writes them."""
    decoded = envelope.decode(body)
    assert isinstance(decoded, envelope.Envelope)
    lines = []
    for seq, (received, _, _, _, payload) in enumerate(decoded.readings.rows(), decoded.first):
        shared = f'"device":"{_DEVICE}","epoch":"{_EPOCH}","received":"{envelope.rfc3339(received)}","clock":"synced"'
        lines.append(f'{{"seq":{seq},{shared},"arrived":"2026-11-23T10:00:00.000000Z",{_value(payload)}}}\n')
    compressor = zlib.compressobj(_LAKE_LEVEL, zlib.DEFLATED, 31)
    return len(compressor.compress("".join(lines).encode())) + len(compressor.flush(zlib.Z_SYNC_FLUSH))


def _value(payload: Payload) -> str:
    assert isinstance(payload, bytes)
    try:
        return f'"data":{json.dumps(payload.decode())}'
    except UnicodeDecodeError:
        return f'"data_base64":"{b64encode(payload).decode()}"'
