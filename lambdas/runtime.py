"""Composition root of the functions: the environment becomes settings, settings become landing on AWS. Read once, at the first invocation.

No environment, clock or random number is read below this file.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from lambdas.landing.batch import Landing, Report, Verdict
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.messages import Message
from lambdas.landing.retry import CONFIG, THREADS, Retrying
from lambdas.landing.s3 import LakeBucket
from lambdas.landing.sqs import DeadLetters

#: Namespace of all metrics: the stage's, so that two stages in one account do not ring each other's alarms. No dimension beside the
#: function's name: CloudWatch bills each set of dimensions.
NAMESPACE = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "DeviceAgent")


class Context(Protocol):
    """What is used of Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this invocation is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says; see `infra/functions.py`."""

    lake: str
    ledger: str
    dead_letters: str
    state: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read LAKE_BUCKET, LEDGER_TABLE, DLQ_URL and, where there is one, STATE_TABLE.

        Raises:
            KeyError: one of the first three is missing.
        """
        return cls(
            lake=environment["LAKE_BUCKET"],
            ledger=environment["LEDGER_TABLE"],
            dead_letters=environment["DLQ_URL"],
            state=environment.get("STATE_TABLE", ""),
        )


def retrying() -> Retrying:
    """Return retries on the real clock."""
    return Retrying(sleep=time.sleep, random=random.random)


def landing(settings: Settings, *, function: str, pool: Executor) -> Landing:
    """Return landing on AWS. Endpoint, region and credentials are the environment's, as boto3 reads them."""
    call = retrying()
    return Landing(
        ledger=LedgerTable(boto3.client("dynamodb", config=CONFIG), settings.ledger, call),
        lake=LakeBucket(boto3.client("s3", config=CONFIG), settings.lake, call),
        aside=DeadLetters(boto3.client("sqs", config=CONFIG), settings.dead_letters, call, function=function),
        pool=pool,
        now=time.time,
        new_run=lambda: uuid.uuid4().hex,
    )


def threads() -> Executor:
    """Return the pool in which an invocation talks to AWS."""
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="aws")


def deadline(context: Context) -> float:
    """Return when this invocation will be cut off, seconds since 1970."""
    return time.time() + context.get_remaining_time_in_millis() / 1000


def tell(report: Report, messages: list[Message], *, logger: Logger, metrics: Metrics) -> None:
    """Count what a batch came to, and log why messages failed or were set aside: a line a reason, with ids and never a payload."""
    verdicts = Counter(settled.verdict for settled in report.settled)
    counts = {
        "Messages": len(report.settled),
        "Landed": verdicts[Verdict.LANDED],
        "Duplicates": verdicts[Verdict.DUPLICATE],
        "SetAside": verdicts[Verdict.ASIDE],
        "FailedMessages": verdicts[Verdict.FAILED],
        "Conflicts": report.conflicts,
        "Undecodable": report.undecodable,
        "Notices": report.notices,
        "Readings": report.readings,
        "Objects": report.objects,
    }
    for name, value in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    logger.info("landed", extra={"counts": counts})
    reasons: dict[tuple[str, str], list[str]] = {}
    for settled, message in zip(report.settled, messages, strict=True):
        if settled.verdict in {Verdict.ASIDE, Verdict.FAILED}:
            reasons.setdefault((settled.verdict.value, settled.reason), []).append(message.id)
    for (verdict, reason), ids in reasons.items():
        logger.warning(verdict, extra={"reason": reason, "messages": len(ids), "message_ids": ids[:5]})


def response(failed: list[str]) -> dict[str, Any]:
    """Return the partial batch response: these messages come back, all others are deleted."""
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
