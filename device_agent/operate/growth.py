"""Limits: which quota a growing fleet meets first, and what to change there. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from device_agent.operate import cost, prices
from device_agent.operate.cost import Fleet
from device_agent.wire.ledger import SHARDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One quota: how much of it a fleet uses, in the quota's own unit, and what to do before it is reached."""

    name: str
    used: float
    most: float
    remedy: str

    @property
    def share(self) -> float:
        """1 is the limit."""
        return self.used / self.most


def limits(fleet: Fleet, *, concurrency: int = 50) -> list[Limit]:
    """Return all limits, the nearest first. `concurrency`: the mapping's maximum (infra/stages.py)."""
    return sorted(_limits(fleet, concurrency), key=lambda limit: limit.share, reverse=True)


def _limits(fleet: Fleet, concurrency: int) -> Iterator[Limit]:
    busy = fleet.invocations * fleet.duration
    yield Limit(
        name="invocations at a time, of the stage", used=busy, most=concurrency,
        remedy="raise archive_concurrency or state_concurrency in infra/stages.py, up to 1,000; then a longer linger",
    )  # fmt: skip
    yield Limit(
        name="invocations at a time, of the account", used=busy, most=prices.LAMBDA_CONCURRENCY,
        remedy="ask AWS for more Lambda concurrency; split the fleet over several stages",
    )  # fmt: skip
    # The window holds messages only until a batch is full, so the mapping's concurrency bounds what waits in it.
    waiting = min(fleet.envelopes * (0 if fleet.fifo else 20), concurrency * fleet.batch)
    yield Limit(
        name="messages in flight", used=waiting + fleet.envelopes * fleet.duration, most=prices.IN_FLIGHT,
        remedy="a longer linger makes fewer, fuller envelopes; a shorter window in infra/functions.py; a second queue",
    )  # fmt: skip
    writes = fleet.envelopes * (2 + fleet.topics if fleet.fifo else 1)
    yield Limit(
        name="writes a second, of a table", used=writes, most=prices.TABLE_WRITES_A_SECOND,
        remedy="a longer linger; ask AWS for a higher table quota, and warm the table's throughput before the fleet grows",
    )  # fmt: skip
    yield Limit(
        name="writes a second, of one device's partition", used=fleet.envelopes / fleet.devices,
        most=prices.PARTITION_WRITES_A_SECOND, remedy="a longer linger, or several streams on that device",
    )  # fmt: skip
    # All devices start anew within ten minutes (a roll-out with new cards): each epoch is one write to the registry.
    yield Limit(
        name="registry, if all devices begin an epoch within 10 minutes", used=fleet.devices / 600,
        most=SHARDS * prices.PARTITION_WRITES_A_SECOND, remedy="roll out over an hour; what is throttled comes back by itself",
    )  # fmt: skip
    yield Limit(
        name="objects a second, of one stream and day", used=fleet.invocations, most=prices.PUTS_A_SECOND,
        remedy="more envelopes a batch, or several streams: S3 counts by prefix",
    )  # fmt: skip
    yield Limit(
        name="seconds of the longest look for gaps", used=cost.reading(fleet, cost.MOST_UNFOLDED) / cost.BUCKETS,
        most=prices.LAMBDA_SECONDS, remedy="more closing_buckets in infra/stages.py; a longer linger makes fewer claims",
    )  # fmt: skip
    if fleet.fifo:
        yield Limit(
            name="FIFO calls a second", used=fleet.envelopes, most=prices.FIFO_CALLS_A_SECOND,
            remedy="a longer linger; telemetry without an order goes to the standard queue; a queue for each part of the fleet",
        )  # fmt: skip
