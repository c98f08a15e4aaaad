"""Small helpers of the uplink's tests."""

from __future__ import annotations

from device_agent.config import StreamConfig, UplinkConfig
from device_agent.ports import Batch
from device_agent.wire import envelope
from device_agent.wire.block import Payload, Run
from device_agent.wire.envelope import Envelope, Notice
from tests.fakes.spool import FakeSpool

#: Back-off and timeouts for tests.
FAST = UplinkConfig(senders=3, connect_timeout=2.0, read_timeout=0.5, backoff_first=0.01, backoff_cap=0.05)
TIME = 1_790_000_000_000_000


def put(spool: FakeSpool, stream: str, *payloads: Payload) -> None:
    """One batch, which the fake spool makes one envelope (or several)."""
    spool.put(Batch(stream, Run(TIME, True, list(payloads)), sum(map(len, payloads))))


def stream(queue: str, name: str | None = None, **settings: object) -> StreamConfig:
    """A stream named like its queue."""
    return StreamConfig(name=name or queue.rpartition("/")[2].removesuffix(".fifo"), queue=queue, **settings)  # type: ignore[arg-type]


def envelopes(bodies: list[str]) -> list[Envelope | Notice]:
    """Decoded bodies."""
    return [envelope.decode(body) for body in bodies]


def payloads(bodies: list[str]) -> list[Payload]:
    """Payloads of all readings in bodies, in order."""
    return [payload for one in envelopes(bodies) if isinstance(one, Envelope) for payload in one.readings.payloads]
