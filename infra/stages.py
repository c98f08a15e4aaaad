"""Data: everything in which one stage differs from another. Code asks a stage for a value, never for its name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The values of one stage.

    `key_reuse_seconds` is how long SQS uses one data key before it asks KMS again, 60 to 86,400; every sending principal
    pays for its own, so a fleet wants it long: 1,000 devices at 300 s make some $52 of KMS calls a month, at 24 h $0.18.
    """

    name: str
    keep_data: bool
    """Lake, tables, queues and key outlive `cdk destroy`, tables refuse deletion, and point-in-time recovery is on."""
    log_days: int
    archive_concurrency: int
    """Most `archive` invocations at a time, 2 to 1,000; a backlog after an outage must not take the account's whole quota."""
    state_concurrency: int
    reserve_concurrency: bool
    """Whether as many invocations are kept free for them, so that the account's other functions cannot starve them. AWS keeps 100 of an
    account's quota unreserved: a new account, whose quota is 10, can reserve none."""
    closing_buckets: int
    """In how many parts, each an invocation of its own, the devices are closed at night and checked for gaps.
    A power of two reads each device's registry entry once, others several times. `device-agent cost` says when there are too few."""
    gap_check_minutes: int
    gap_seconds: int
    """How long a gap may stay before it rings: what a board or SQS sends again takes minutes, an outage of a board's network makes none."""
    key_reuse_seconds: int
    query_scan_bytes: int
    """Athena cancels a query that reads more: a mistake costs at most this at $5 per TB."""
    oldest_message_alarm_seconds: int

    def __post_init__(self) -> None:
        """Hold the limits of the services."""
        if min(self.archive_concurrency, self.state_concurrency) < 2:
            raise ValueError(f"stage {self.name}: an SQS mapping's maximum concurrency is at least 2")
        if not 60 <= self.key_reuse_seconds <= 86_400:
            raise ValueError(f"stage {self.name}: key_reuse_seconds is 60 to 86,400, not {self.key_reuse_seconds}")
        if self.query_scan_bytes < 10_000_000:
            raise ValueError(f"stage {self.name}: query_scan_bytes is at least 10,000,000 (Athena's own minimum)")


_TABLE = (
    Stage(
        name="dev",
        keep_data=False,
        log_days=7,
        archive_concurrency=5,
        state_concurrency=5,
        reserve_concurrency=False,
        closing_buckets=1,
        gap_check_minutes=15,
        gap_seconds=3_600,
        key_reuse_seconds=3_600,
        query_scan_bytes=10_000_000_000,
        oldest_message_alarm_seconds=900,
    ),
    Stage(
        name="prod",
        keep_data=True,
        log_days=90,
        archive_concurrency=50,
        state_concurrency=50,
        reserve_concurrency=True,
        closing_buckets=4,
        gap_check_minutes=60,
        gap_seconds=3_600,
        key_reuse_seconds=86_400,
        query_scan_bytes=100_000_000_000,
        oldest_message_alarm_seconds=900,
    ),
)

STAGES = {stage.name: stage for stage in _TABLE}
