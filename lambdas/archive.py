"""Event-Driven Consumer of the standard queue: lands batches of up to 1,000 envelopes in the lake.

Promises never to fail a batch because of a message in it: each that could not be landed is named in the partial batch response.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.data_classes import SQSEvent

from lambdas import runtime
from lambdas.landing.batch import Landing, Verdict
from lambdas.landing.messages import decoded
from lambdas.landing.sqs import messages

logger = Logger(service="archive")
metrics = Metrics(namespace=runtime.NAMESPACE, service="archive")


@cache
def _landing() -> Landing:
    return runtime.landing(runtime.Settings.from_environment(os.environ), function="archive", pool=runtime.threads())


@metrics.log_metrics
def handler(event: dict[str, Any], context: runtime.Context) -> dict[str, Any]:
    """Land a batch of SQS records."""
    batch = list(messages(SQSEvent(event).records))
    report = _landing().land(decoded(batch), deadline=runtime.deadline(context))
    runtime.tell(report, batch, logger=logger, metrics=metrics)
    failed = [message.id for message, settled in zip(batch, report.settled, strict=True) if settled.verdict is Verdict.FAILED]
    return runtime.response(failed)
