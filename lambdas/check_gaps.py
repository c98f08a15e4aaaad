"""Scheduled Job: looks for gaps that stay, and raises metrics that an alarm stands on; they fall again when gaps fill. Only reads.

The event says which of how many buckets of devices this invocation looks at, as for `close_day`; without them, all. Each metric is the
worst, or the sum, of one invocation: an alarm takes the maximum.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from lambdas import runtime
from lambdas.closing import aws, rounds
from lambdas.closing.checker import Checked, Checker
from lambdas.closing.ports import Ledger, Listing
from lambdas.closing.rounds import Round

logger = Logger(service="check-gaps")
metrics = Metrics(namespace=runtime.NAMESPACE, service="check-gaps")

#: Seconds that a gap may stay before it counts, unless GAP_SECONDS says otherwise: what a board or SQS sends again takes minutes.
PATIENCE = 3_600
#: Seconds before the end of an invocation in which no line is begun.
RESERVE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Checks buckets. `listing` makes one that is fresh; `now` is seconds since 1970, `patience` seconds."""

    ledger: Ledger
    listing: Callable[[], Listing]
    pool: Executor
    now: Callable[[], float]
    patience: int = PATIENCE

    def check(self, bucket: int, buckets: int, *, deadline: float) -> Round[Checked]:
        """Check every line of a bucket.

        Raises:
            NotNow: the registry cannot be read.
            ValueError: there is no such bucket.
        """
        checker = Checker(ledger=self.ledger, listing=self.listing(), now=self.now, patience=self.patience)
        todo = rounds.entries(self.ledger, bucket=bucket, buckets=buckets)
        return rounds.run(checker.check, todo, pool=self.pool, out_of_time=lambda: self.now() > deadline - RESERVE)


def patience(environment: Mapping[str, str]) -> int:
    """Return GAP_SECONDS, or the default."""
    return int(environment.get("GAP_SECONDS", PATIENCE))


@cache
def _watch() -> Watch:
    parts = aws.parts(os.environ)
    return Watch(ledger=parts.ledger, listing=parts.listing, pool=runtime.threads(), now=time.time, patience=patience(os.environ))


@metrics.log_metrics
def handler(event: dict[str, Any], context: runtime.Context) -> dict[str, Any]:
    """Check one bucket.

    Raises:
        NotNow: the registry cannot be read; the next run of the schedule looks again.
        RuntimeError: no line could be checked.
    """
    bucket, buckets = int(event.get("bucket", 0)), int(event.get("buckets", 1))
    found = _watch().check(bucket, buckets, deadline=runtime.deadline(context))
    counts = figures(found)
    for name, value in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Seconds if name == "PendingSeconds" else MetricUnit.Count, value=value)
    summary = {"bucket": bucket, "buckets": buckets, "complete": found.complete, "counts": counts}
    logger.info("checked", extra={**summary, "reasons": dict(found.reasons.most_common(10))})
    if found.failed and not found.done:
        raise RuntimeError(f"none of {found.failed} lines of bucket {bucket} of {buckets} could be checked; see the log")
    return summary


def figures(found: Round[Checked]) -> dict[str, int]:
    """Return the metrics of a round."""
    return {
        "Gaps": sum(one.gaps for one in found.done),
        "GapStreams": sum(one.gaps > 0 for one in found.done),
        "PendingSeconds": max((one.pending_seconds for one in found.done), default=0),
        "FoldingBehindDays": max((one.behind_days for one in found.done), default=0),
        "LinesChecked": len(found.done),
        "LinesFailed": found.failed,
        "LinesUnchecked": found.failed + (not found.complete),  # how many it had no time for, it does not know: at least one
    }
