"""Scheduled Job: closes the days past: decides what landing left undecided, and folds what is received for good (`lambdas/closing`).

Promises to be safe at any crash point, when run twice and when two run at once. The event says which of how many buckets of devices
this invocation looks after: `{"bucket": 3, "buckets": 16}`; without them, all. It is scheduled several times a night: an invocation
that finds its bucket closed is done at once, one that finds it half done goes on from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from lambdas import runtime
from lambdas.closing import aws, rounds
from lambdas.closing.closer import Closed, Closer
from lambdas.closing.ports import Bookmark, Ledger, Listing
from lambdas.closing.rounds import Round
from lambdas.landing.ports import Lake, NotNow, Unknown

logger = Logger(service="close-day")
metrics = Metrics(namespace=runtime.NAMESPACE, service="close-day")

#: Seconds after midnight UTC in which a key of the day before may still be at work: longer than any lease (a function's 15 minutes
#: and 30 s). Only saves work.
LONGEST_LEASE = 3_600
#: Seconds before the end of an invocation in which no line is begun.
RESERVE = 30
#: Behind every mark.
DONE = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """Closes buckets. `listing` makes one that is fresh; `now` is seconds since 1970."""

    ledger: Ledger
    lake: Lake
    listing: Callable[[], Listing]
    pool: Executor
    now: Callable[[], float]

    def close(self, bucket: int, buckets: int, *, deadline: float) -> tuple[str, Round[Closed]]:
        """Close a bucket through the newest day that is past; return the day and what came of it.

        Raises:
            NotNow: registry or bookmark cannot be read.
            ValueError: there is no such bucket.
        """
        day = datetime.fromtimestamp(self.now() - LONGEST_LEASE - 86_400, tz=UTC).date().isoformat()
        old = self.ledger.bookmark(bucket, buckets)
        todo = rounds.entries(self.ledger, bucket=bucket, buckets=buckets, after=old.after if old.day == day else "")
        if old >= Bookmark(day, DONE):
            return day, Round(complete=True, after=DONE)
        closer = Closer(ledger=self.ledger, lake=self.lake, listing=self.listing(), now=self.now)

        def mark(after: str) -> None:
            with suppress(NotNow, Unknown):  # without it the next run does again what is done
                self.ledger.set_bookmark(bucket, buckets, Bookmark(day, after))

        found = rounds.run(
            lambda line: closer.close(line, through=day),
            todo,
            pool=self.pool,
            out_of_time=lambda: self.now() > deadline - RESERVE,
            passed=mark,
        )
        if found.complete and not found.failed:
            mark(DONE)
        return day, found


@cache
def _night() -> Night:
    parts = aws.parts(os.environ)
    return Night(ledger=parts.ledger, lake=parts.lake, listing=parts.listing, pool=runtime.threads(), now=time.time)


@metrics.log_metrics
def handler(event: dict[str, Any], context: runtime.Context) -> dict[str, Any]:
    """Close one bucket.

    Raises:
        NotNow, Unknown: the ledger does not answer; the next run of the night goes on.
        RuntimeError: lines failed; so that the function's errors, and with them its alarm, tell of it.
    """
    bucket, buckets = int(event.get("bucket", 0)), int(event.get("buckets", 1))
    try:
        day, found = _night().close(bucket, buckets, deadline=runtime.deadline(context))
    except (NotNow, Unknown) as error:
        logger.warning("not closed", extra={"bucket": bucket, "buckets": buckets, "reason": str(error)})
        raise
    counts = _counts(found)
    for name, value in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    summary = {"day": day, "bucket": bucket, "buckets": buckets, "complete": found.complete, "counts": counts}
    logger.info("closed", extra={**summary, "reasons": dict(found.reasons.most_common(10))})
    if found.failed:
        raise RuntimeError(f"{found.failed} lines of bucket {bucket} of {buckets} are not closed; see the log, the next run goes on there")
    return summary


def _counts(found: Round[Closed]) -> dict[str, int]:
    return {
        "LinesClosed": len(found.done),
        "LinesFailed": found.failed,
        "KeysVoided": sum(one.voided for one in found.done),
        "ClaimsFolded": sum(one.claims for one in found.done),
        "ReadingsFolded": sum(one.folded for one in found.done),
        "ClaimsPending": sum(one.pending for one in found.done),
    }
