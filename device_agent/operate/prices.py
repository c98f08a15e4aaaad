"""Data: what AWS charges and where AWS stops, us-east-1, on the day in `DATED`. Check them against the price list before a decision.

Without free tiers and without volume discounts, so a real bill is lower. All in USD.
"""

from __future__ import annotations

from typing import Final

DATED: Final = "2026-11-23"
REGION: Final = "us-east-1"

#: Price and its unit, by name.
PRICES: Final = {
    "sqs": 0.40e-6,  # a request of a standard queue, per started 64 KiB
    "sqs_fifo": 0.50e-6,
    "lambda_request": 0.20e-6,
    "lambda_gb_second": 0.0000133334,  # arm64
    "dynamodb_write": 0.625e-6,  # on demand, per started KiB
    "dynamodb_read": 0.125e-6,  # strongly consistent, per started 4 KiB; half of it eventually consistent
    "dynamodb_gb_month": 0.25,
    "s3_put": 0.005e-3,
    "s3_gb_month": 0.023,
    "logs_gb": 0.50,
    "metric_month": 0.30,
    "alarm_month": 0.10,
    "dashboard_month": 3.00,
    "kms_key_month": 1.00,
    "kms_request": 0.03e-4,
    "iot_core_message": 1.00e-6,  # messaging alone, up to 5 KB, without rules
}

#: Quotas: what cannot be exceeded, or only by asking AWS.
FIFO_CALLS_A_SECOND: Final = 70_000  # high throughput, each of send, receive, delete; us-east-1, less elsewhere (SQS quotas)
IN_FLIGHT: Final = 120_000  # messages of one queue, standard or FIFO (SQS quotas)
LAMBDA_CONCURRENCY: Final = 1_000  # an account's default quota; also the most that an SQS mapping may be given
LAMBDA_SECONDS: Final = 900  # the longest that an invocation may take
TABLE_WRITES_A_SECOND: Final = 40_000  # on demand, a table's default quota (DynamoDB quotas)
PARTITION_WRITES_A_SECOND: Final = 1_000  # one partition key's worth (DynamoDB quotas)
PUTS_A_SECOND: Final = 3_500  # S3, one prefix
