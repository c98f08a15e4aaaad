"""Names: the metrics that the functions emit (`lambdas/runtime.py`, `lambdas/state.py`), as alarms and dashboard ask for them.

The only dimension is the function: CloudWatch bills each set of dimensions as a metric of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_cloudwatch as cloudwatch

if TYPE_CHECKING:
    from aws_cdk import Duration

    from infra.settings import Settings


def namespace(settings: Settings) -> str:
    """Return the stage's own namespace: two stages in one account do not ring each other's alarms."""
    return settings.name


def ours(
    name: str, function: str, *, settings: Settings, period: Duration, label: str | None = None, statistic: str = "Sum"
) -> cloudwatch.Metric:
    """Return a metric of ours; `function` is what it calls itself, in any case: `Archive`, `State`, `close-day`, `check-gaps`."""
    return cloudwatch.Metric(
        namespace=namespace(settings),
        metric_name=name,
        dimensions_map={"service": function.lower()},
        period=period,
        statistic=statistic,
        label=label,
    )
