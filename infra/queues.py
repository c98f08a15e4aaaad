"""Construct: a Point-to-Point Channel with its Dead Letter Channel, standard or FIFO.

Promises: TLS only, encrypted, nothing expires before its 14 days are over, a message stays invisible for longer than the
function that holds it can live, and good data is not buried by an outage of a few hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.review import accept

if TYPE_CHECKING:
    from infra.encryption import Encryption
    from infra.settings import Settings

RETENTION = Duration.days(14)
"""The longest that SQS keeps a message. The dead-letter queue has as much: on a standard queue the clock is not restarted."""

MAX_MESSAGE_BYTES = 1_048_576
"""SQS's limit since August 2025; stated, because the agent reads it from the queue."""


class Channel(Construct):
    """One queue and its dead-letter queue, of one kind."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's own name
        *,
        settings: Settings,
        encryption: Encryption,
        fifo: bool,
        visibility: Duration,
        max_receive_count: int,
    ) -> None:
        super().__init__(scope, id)
        self.fifo = fifo
        self._settings = settings
        self._encryption = encryption
        self.dead_letters = self._queue("DeadLetters", visibility=Duration.seconds(30), dead_letter_queue=None)
        accept(
            self.dead_letters,
            "Serverless-SQSRedrivePolicy",
            "It is the dead-letter queue: what lies here waits for an operator, who is called by an alarm.",
        )
        self.queue = self._queue(
            "Queue",
            visibility=visibility,
            dead_letter_queue=sqs.DeadLetterQueue(max_receive_count=max_receive_count, queue=self.dead_letters),
        )

    def _queue(self, id_: str, *, visibility: Duration, dead_letter_queue: sqs.DeadLetterQueue | None) -> sqs.Queue:
        key = self._encryption.key
        return sqs.Queue(
            self,
            id_,
            # CDK wants `None` on a standard queue, not `False`.
            fifo=True if self.fifo else None,
            # Both are needed for high throughput; any other pair silently means 300 calls a second.
            deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP if self.fifo else None,
            fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID if self.fifo else None,
            # The deduplication id is the envelope's id; content-based would hide a conflict (same id, other content).
            content_based_deduplication=False if self.fifo else None,
            encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=key,
            data_key_reuse=Duration.seconds(self._settings.stage.key_reuse_seconds) if key else None,
            enforce_ssl=True,
            max_message_size_bytes=MAX_MESSAGE_BYTES,
            retention_period=RETENTION,
            visibility_timeout=visibility,
            dead_letter_queue=dead_letter_queue,
            # What waits in a queue, or lies in a dead-letter queue, is data that is nowhere else.
            removal_policy=RemovalPolicy.RETAIN if self._settings.stage.keep_data else RemovalPolicy.DESTROY,
        )
