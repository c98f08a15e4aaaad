"""Value Object: the figures, their goals and where these come from (docs/performance.md), and what a measurement becomes.

{"figures": {name: {"value": ..., "goal": ..., "unit": ..., "met": true|false, ...}}, "machine": ...}
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure should reach: at least, or at most, `value`."""

    value: float
    unit: str
    at_least: bool
    says: str  # what is measured, against what: one line for the table

    def met_by(self, value: float) -> bool:
        """Tell whether a value reaches it; what is not a number never does."""
        return value >= self.value if self.at_least else value <= self.value

    @property
    def sign(self) -> str:
        """How the goal is written before its value."""
        return ">=" if self.at_least else "<="


def _least(value: float, unit: str, says: str) -> Goal:
    return Goal(value=value, unit=unit, at_least=True, says=says)


def _most(value: float, unit: str, says: str) -> Goal:
    return Goal(value=value, unit=unit, at_least=False, says=says)


#: In the order in which they are printed.
GOALS: Final[dict[str, Goal]] = {
    "durable_ingest_ratio": _least(1.0, "x", "PULL to disk with fsync, against a bare pyzmq loop that receives and discards"),
    "device_path_ratio": _least(0.7, "x", "ZeroMQ to disk to accepted by SQS, against the same bare loop"),
    "cpu_per_reading_us": _most(0.4, "us", "CPU time of all threads of the agent a reading, on the device path"),
    "vs_send_message": _least(300, "x", "the device path, against boto3 send_message a reading, same endpoint"),
    "vs_send_message_batch": _least(60, "x", "the device path, against boto3 send_message_batch of ten, same endpoint"),
    "ack_p99_over_fsync": _most(2.0, "x", "p99 of REQ to durable reply, less 1 ms, against p99 of a bare 4 KiB fdatasync"),
    "ack_sharing": _least(1.0, "x", "64 REQ clients, against the smaller of 20 x one client and 0.6 x a bare ROUTER echo"),
    "write_amplification_full": _most(0.3, "B/B", "bytes written at the block device a payload byte, at full rate"),
    "pages_per_commit_slow": _most(1.1, "x", "pages written at the block device a commit, 10 readings a second, against a bare fdatasync"),
    "sqs_requests_over_floor": _most(1.25, "x", "requests billed at full rate, against compressed bytes x 4/3 / 64 KiB"),
    "rss_idle_mib": _most(60, "MiB", "peak memory of the agent, idle"),
    "rss_full_mib": _most(112, "MiB", "peak memory of the agent at full rate"),
    "rss_backlog_mib": _most(112, "MiB", "peak memory of the agent with a backlog, opened and drained"),
    "idle_cpu_percent": _most(0.5, "%", "of one core, one input, no traffic"),
    "open_backlog_s": _most(1.0, "s", "opening a backlog, page cache dropped where that is allowed"),
    "drain_ratio": _least(0.5, "x", "readings a second out of a backlog, live data in time, against the device path"),
    "source_amqp_ratio": _least(0.7, "x", "RabbitMQ's queue to disk, against pika that receives and acknowledges"),
    "source_mqtt_ratio": _least(0.7, "x", "Mosquitto's session to disk, against paho that receives and acknowledges"),
    "source_stomp_ratio": _least(0.7, "x", "ActiveMQ's queue to disk, against stomp.py that receives and acknowledges"),
    "source_http_ratio": _least(0.7, "x", "POST to answer after the disk, 64 clients, against aiohttp that answers at once"),
    "source_coap_ratio": _least(0.7, "x", "POST to answer after the disk, 64 clients, against aiocoap that answers at once"),
    "source_nng_rep_ratio": _least(0.7, "x", "NNG's REQ to answer after the disk, 64 clients, against pynng that answers at once"),
    "source_nng_pull_ratio": _least(0.7, "x", "NNG's PUSH to disk, against pynng that receives and discards"),
    "source_rss_mib": _most(16, "MiB", "peak memory of the agent with a source, the largest, less that with a PULL input"),
    "archive_readings_per_core_s": _least(200_000, "1/s", "readings that archive lands a second of CPU time"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure. `rounds` are the single measurements of which `value` is the median; `note` says what a reader must know."""

    name: str
    value: float
    rounds: tuple[float, ...] = ()
    note: str = ""
    also: bool = True  # whether the other conditions of the goal hold
    goal: Goal | None = None  # None: the table's

    @property
    def target(self) -> Goal:
        """The goal that it is held against."""
        return self.goal or GOALS[self.name]

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.also and not math.isnan(self.value) and self.target.met_by(self.value)

    def document(self) -> dict[str, Any]:
        """Return what `results.json` holds of it; a figure that could not be measured has the value null."""
        goal = self.target
        found: dict[str, Any] = {
            "value": None if math.isnan(self.value) else round(self.value, 4), "goal": goal.value, "unit": goal.unit, "met": self.met,
            "goal_is": "at least" if goal.at_least else "at most", "measured": goal.says,
        }  # fmt: skip
        if self.rounds:
            found["rounds"] = [round(one, 4) for one in self.rounds]
        if self.note:
            found["note"] = self.note
        return found


def of_rounds(name: str, rounds: Sequence[float], *, note: str = "", also: bool = True) -> Figure:
    """Return the figure that is the median of `rounds`, at least one."""
    return Figure(name=name, value=median(rounds), rounds=tuple(rounds), note=note, also=also)


def not_measured(name: str, why: str) -> Figure:
    """Return a figure that could not be measured here."""
    return Figure(name=name, value=math.nan, note=f"not measured: {why}")


def ratios(ours: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return ours / reference round by round; a reference that was measured on both sides of a round counts with its mean.

    `reference` has as many rounds as `ours`, or one more: reference, ours, reference, ours, ..., reference.

    Raises:
        ValueError: the numbers of rounds do not fit.
    """
    if len(reference) == len(ours) + 1:
        reference = [(before + after) / 2 for before, after in pairwise(reference)]
    if not ours or len(reference) != len(ours):
        raise ValueError(f"{len(ours)} rounds cannot be held against {len(reference)} of the reference")
    return [mine / bare for mine, bare in zip(ours, reference, strict=True)]


def spread(rounds: Sequence[float]) -> float:
    """Return how far apart the rounds are: (largest - smallest) / median; 0 for fewer than two."""
    middle = median(rounds) if rounds else 0.0
    return (max(rounds) - min(rounds)) / middle if len(rounds) > 1 and middle else 0.0


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least `part` (0 to 1) of all values do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]
