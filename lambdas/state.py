"""Event-Driven Consumer of the FIFO queue: lands its batch, then applies it in order to the state table.

Promises
1. Within a group nothing is applied after something that failed: it and all later records of the group come back, in order.
2. Other groups go on. Gaps, notices and what was set aside do not stop a group.
3. Landing and applying are idempotent, so an invocation may end anywhere and run again.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import SQSEvent

from device_agent.wire.envelope import Envelope
from lambdas import latest, runtime
from lambdas.landing.batch import Landing, Settled, Verdict
from lambdas.landing.messages import Arrival, decoded
from lambdas.landing.ports import NotNow, Unknown
from lambdas.landing.retry import CONFIG
from lambdas.landing.sqs import messages
from lambdas.latest import Applied, Standing, States
from lambdas.state_table import StateTable

logger = Logger(service="state")
metrics = Metrics(namespace=runtime.NAMESPACE, service="state")

#: Seconds before the end of an invocation in which nothing more is applied.
RESERVE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """Applies the landed messages of a batch."""

    states: States
    pool: Executor
    now: Callable[[], float]

    def apply(self, arrivals: list[Arrival], settled: list[Settled], *, deadline: float) -> tuple[list[int], list[Applied], list[str]]:
        """Return the indexes of all that failed, what was applied, and why groups stopped (one reason each)."""
        stopped: dict[str, str] = {}
        failed: list[int] = []
        applied: list[Applied] = []
        for index, (arrival, verdict) in enumerate(zip(arrivals, settled, strict=True)):
            group = arrival.message.group
            if group not in stopped:
                try:
                    self._one(arrival, verdict, applied, deadline=deadline)
                    continue
                except (NotNow, Unknown) as error:
                    stopped[group] = str(error)
            failed.append(index)
        return failed, applied, list(stopped.values())

    def _one(self, arrival: Arrival, settled: Settled, applied: list[Applied], *, deadline: float) -> None:
        if settled.verdict is Verdict.FAILED:
            raise NotNow(settled.reason)
        if settled.verdict is Verdict.ASIDE or not isinstance(arrival.content, Envelope):
            return
        if self.now() > deadline - RESERVE:
            raise NotNow("no time left in this invocation")
        applied.append(
            latest.apply(arrival.content, ordinal=settled.ordinal, arrived=arrival.message.arrived, states=self.states, pool=self.pool)
        )


@cache
def _parts() -> tuple[Landing, Applier]:
    settings, pool = runtime.Settings.from_environment(os.environ), runtime.threads()
    states = StateTable(boto3.client("dynamodb", config=CONFIG), settings.state, runtime.retrying())
    return runtime.landing(settings, function="state", pool=pool), Applier(states=states, pool=pool, now=time.time)


@metrics.log_metrics
def handler(event: dict[str, Any], context: runtime.Context) -> dict[str, Any]:
    """Land and apply a batch of SQS records."""
    landing, applier = _parts()
    deadline = runtime.deadline(context)
    arrivals = list(decoded(messages(SQSEvent(event).records)))
    report = landing.land(arrivals, deadline=deadline)
    batch = [arrival.message for arrival in arrivals]
    runtime.tell(report, batch, logger=logger, metrics=metrics)
    failed, applied, reasons = applier.apply(arrivals, report.settled, deadline=deadline)
    _tell(applied, reasons)
    return runtime.response([batch[index].id for index in failed])


def _tell(applied: list[Applied], reasons: list[str]) -> None:
    standings = Counter(one.standing for one in applied)
    counts = {
        "Applied": standings[Standing.ADVANCED],
        "Repeated": standings[Standing.REPEATED],
        "Late": standings[Standing.LATE],
        "Superseded": standings[Standing.SUPERSEDED],
        "ValuesChanged": sum(one.changed for one in applied),
        "TopicsSkipped": sum(one.skipped for one in applied),
        "GroupsStopped": len(reasons),
    }
    for name, value in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    logger.info("applied", extra={"counts": counts, "reasons": sorted(set(reasons))})
