"""Cost model: what a fleet costs in a month, line by line, beside two naive ways and IoT Core. Pure: sizes and prices in, dollars out.

Every line is a quantity times a price, so that it can be checked by hand. What is assumed beyond the measured sizes stands in `Fleet` and
in the constants below, each with its source; they err towards dearer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from device_agent.operate.measured import Sizes
from device_agent.operate.prices import PRICES
from device_agent.wire.limits import BILLING_UNIT, MAX_BATCH_ENTRIES

DAY = 86_400  # seconds
MONTH = 30.4375 * DAY
#: Lambda hands at most 6 MB of JSON to a function (Lambda quotas), event attributes of each record included.
PAYLOAD = 6_000_000
RECORD = 700
#: Batches that Lambda's pollers collect at a time for a quiet queue (Lambda documentation: five concurrent batches).
POLLERS = 5
#: Readings a second that `archive` lands on one core: 400,000 measured (docs/landing.md), half of it taken. 1,769 MB of memory make a core.
LANDED = 200_000
CORE_MB = 1_769
#: Seconds that an invocation takes whatever is in it: the registry, one PUT. And for each envelope, its claim among 32 at a time.
INVOCATION = 0.25
CLAIM = 0.010 / 32
#: Bytes of log an invocation writes: start, end, report, one line of counts, one of metrics (measured on the local cloud, rounded up).
LOG = 3_000
#: Items: a claim is kept 60 days; folding reads it once (17 in 4 KiB) and writes one item a stream and day.
CLAIM_BYTES, CLAIM_DAYS, CLAIMS_A_READ = 350, 60, 17
#: What one stage has whether anything is sent or not.
METRICS, ALARMS, DASHBOARDS = 40, 17, 1
#: Looks for gaps a day (stage prod: every hour). Each reads the claims since midnight, and until the night's closing is done those of
#: the day before: 0.6 days' worth on average, at most one and a quarter.
LOOKS, UNFOLDED, MOST_UNFOLDED = 24, 0.6, 1.25
#: What one core of a scheduled function (infra/scheduled.py) reads in a second: claims, at 50 us each (35 us to parse and check
#: measured, and their way), and lines (device, stream, epoch), two queries each (docs/closing.md).
CLAIMS_A_SECOND, LINES_A_SECOND = 20_000, 350
#: Functions that share the devices in stage prod, and keys that one request lists.
BUCKETS, LISTED = 4, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What is asked about: `devices`, each with one stream of `rate` readings a second, sent in envelopes of `sizes`.

    `fifo`: through the events queue and the state table instead of the telemetry queue; `topics`: how many of an envelope's topics change;
    `kms`: a customer key, whose data keys SQS uses again for `reuse` seconds; `keep`: months that the lake holds.
    """

    devices: int
    rate: float
    sizes: Sizes
    fifo: bool = False
    topics: int = 1
    kms: bool = False
    reuse: int = 86_400
    keep: float = 12

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.devices < 1 or self.rate <= 0 or self.topics < 1 or not 60 <= self.reuse <= 86_400 or self.keep < 0:
            raise ValueError("a fleet has at least one device, a rate and a topic; a data key is used again for 60 to 86,400 s")

    @property
    def readings(self) -> float:
        """Readings a second of all devices."""
        return self.devices * self.rate

    @property
    def envelopes(self) -> float:
        """Envelopes a second of all devices."""
        return self.readings / self.sizes.readings

    @property
    def batch(self) -> float:
        """Envelopes an invocation: ten on FIFO; else what 20 s of window bring, at most 1,000 or 6 MB."""
        if self.fifo:
            return min(MAX_BATCH_ENTRIES, max(1.0, self.envelopes / 10))
        return max(1.0, min(1_000, PAYLOAD // (self.sizes.body + RECORD), self.envelopes * 20 / POLLERS))

    @property
    def invocations(self) -> float:
        """Invocations a second."""
        return self.envelopes / self.batch

    @property
    def duration(self) -> float:
        """Seconds an invocation takes, at `memory`."""
        work = self.batch * self.sizes.readings / LANDED * CORE_MB / self.memory
        applying = self.batch * (1 + self.topics) * 0.010 if self.fifo else 0.0
        return INVOCATION + work + self.batch * CLAIM + applying

    @property
    def memory(self) -> int:
        """MB of the function (infra/functions.py)."""
        return 512 if self.fifo else 1_024


@dataclass(frozen=True, slots=True)
class Cost:
    """One line: `quantity` of `unit` in a month at `price` each."""

    service: str
    what: str
    quantity: float
    price: float

    @property
    def dollars(self) -> float:
        """A month."""
        return self.quantity * self.price


def lines(fleet: Fleet) -> list[Cost]:
    """Return every line of a month."""
    return [*_sqs(fleet), *_lambda(fleet), *_dynamodb(fleet), *_s3(fleet), *_operations(fleet), *_kms(fleet)]


def total(costs: list[Cost]) -> float:
    """Sum of a month."""
    return sum(cost.dollars for cost in costs)


def _sqs(fleet: Fleet) -> Iterator[Cost]:
    price, month = PRICES["sqs_fifo" if fleet.fifo else "sqs"], fleet.envelopes * MONTH
    units = ceil(fleet.sizes.body / BILLING_UNIT)
    together = min(MAX_BATCH_ENTRIES, max(1.0, fleet.envelopes / 10))  # full receives only where there is something to receive
    received = max(1 / together, fleet.sizes.body / BILLING_UNIT)  # billed by payload, too
    yield Cost("SQS", "send: an envelope a request", month * units, price)
    yield Cost("SQS", "receive", month * received, price)
    yield Cost("SQS", "delete, by tens", month / together, price)
    yield Cost("SQS", "pollers of two queues, long polls of 20 s", 2 * POLLERS * MONTH / 20, PRICES["sqs_fifo"])


def _lambda(fleet: Fleet) -> Iterator[Cost]:
    month = fleet.invocations * MONTH
    yield Cost("Lambda", "invocations", month, PRICES["lambda_request"])
    yield Cost("Lambda", "GB-seconds", month * fleet.duration * fleet.memory / 1_024, PRICES["lambda_gb_second"])
    a_day = LOOKS * reading(fleet, UNFOLDED) + reading(fleet, 1)
    scheduled = a_day * MONTH / DAY * CORE_MB / 1_024
    yield Cost("Lambda", "check-gaps every hour, close-day: GB-seconds", scheduled, PRICES["lambda_gb_second"])


def reading(fleet: Fleet, days: float) -> float:
    """Seconds of one core in which all lines and the claims of so many days are read."""
    return fleet.devices / LINES_A_SECOND + fleet.envelopes * DAY * days / CLAIMS_A_SECOND


def _dynamodb(fleet: Fleet) -> Iterator[Cost]:
    month = fleet.envelopes * MONTH
    yield Cost("DynamoDB", "claims: a write an envelope", month, PRICES["dynamodb_write"])
    lookups = fleet.invocations * MONTH * min(fleet.batch, fleet.devices)
    yield Cost("DynamoDB", "look-ups: a read a device and invocation", lookups, PRICES["dynamodb_read"] / 2)
    yield Cost("DynamoDB", "folding: reads", month / CLAIMS_A_READ, PRICES["dynamodb_read"])
    yield Cost("DynamoDB", "folding: a write a stream and day", fleet.devices * MONTH / DAY, PRICES["dynamodb_write"])
    look = 2 * fleet.devices + fleet.envelopes * DAY * UNFOLDED / CLAIMS_A_READ
    yield Cost("DynamoDB", "check-gaps every hour: reads", LOOKS * MONTH / DAY * look, PRICES["dynamodb_read"] / 2)
    if fleet.fifo:
        yield Cost("DynamoDB", "state: position and topics an envelope", month * (1 + fleet.topics), PRICES["dynamodb_write"])
    held = fleet.envelopes * CLAIM_DAYS * DAY * CLAIM_BYTES / 1e9
    yield Cost("DynamoDB", "claims of 60 days, GB", held, PRICES["dynamodb_gb_month"])


def _s3(fleet: Fleet) -> Iterator[Cost]:
    yield Cost("S3", "objects: a PUT an invocation", fleet.invocations * MONTH, PRICES["s3_put"])
    lists = BUCKETS * (LOOKS * UNFOLDED + 1) * (1 + fleet.invocations * DAY / LISTED)
    yield Cost("S3", "check-gaps and close-day: listing the day", lists * MONTH / DAY, PRICES["s3_put"])
    held = fleet.readings * MONTH * fleet.sizes.lake * fleet.keep / 1e9
    yield Cost("S3", f"the lake with {fleet.keep:g} months in it, GB", held, PRICES["s3_gb_month"])


def _operations(fleet: Fleet) -> Iterator[Cost]:
    yield Cost("CloudWatch", "logs, GB", fleet.invocations * MONTH * LOG / 1e9, PRICES["logs_gb"])
    yield Cost("CloudWatch", "metrics", METRICS, PRICES["metric_month"])
    yield Cost("CloudWatch", "alarms", ALARMS, PRICES["alarm_month"])
    yield Cost("CloudWatch", "dashboard", DASHBOARDS, PRICES["dashboard_month"])


def _kms(fleet: Fleet) -> Iterator[Cost]:
    if fleet.kms:
        asks = fleet.devices * min(MONTH / fleet.reuse, fleet.envelopes / fleet.devices * MONTH)
        yield Cost("KMS", "key", 1, PRICES["kms_key_month"])
        yield Cost("KMS", "two requests a device and reuse period", 2 * asks, PRICES["kms_request"])


# The others


def naive(fleet: Fleet, *, together: int) -> list[Cost]:
    """A message a reading, `together` a request (1: send_message, 10: send_message_batch); received, but neither stored nor proven."""
    month, price = fleet.readings * MONTH, PRICES["sqs_fifo" if fleet.fifo else "sqs"]
    return [
        Cost("SQS", "send", month / together, price),
        Cost("SQS", "receive and delete, by tens", 2 * month / MAX_BATCH_ENTRIES, price),
        Cost("Lambda", "invocations, ten messages each", month / MAX_BATCH_ENTRIES, PRICES["lambda_request"]),
        Cost("Lambda", "GB-seconds, 128 MB for 50 ms", month / MAX_BATCH_ENTRIES * 0.05 / 8, PRICES["lambda_gb_second"]),
    ]


def iot_core(fleet: Fleet) -> list[Cost]:
    """A message a reading; messaging alone: no rule, no storage."""
    return [Cost("IoT Core", "messages", fleet.readings * MONTH, PRICES["iot_core_message"])]
