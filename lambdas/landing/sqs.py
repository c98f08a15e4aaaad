"""Adapter: SQS messages in, and the dead-letter queue as the place for what no later attempt could land."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from lambdas.landing.messages import Message
from lambdas.landing.retry import Retrying

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def messages(records: Iterable[SQSRecord]) -> Iterator[Message]:
    """Return the records of an event."""
    for record in records:
        attributes = record.attributes
        yield Message(
            id=record.message_id,
            body=record.body,
            arrived=int(attributes.sent_timestamp) * 1000,
            receives=int(attributes.approximate_receive_count),
            group=attributes.message_group_id or "",
        )


class DeadLetters:
    """The port `Aside` on a queue, standard or FIFO (which its URL tells)."""

    def __init__(self, client: SQSClient, url: str, call: Retrying, *, function: str) -> None:
        """Take the dead-letter queue's URL, and the name that stands beside each reason."""
        self._client = client
        self._url = url
        self._call = call
        self._function = function

    def set_aside(self, message: Message, reason: str) -> None:
        """SendMessage: the body unchanged, reason and origin as attributes."""
        notes = {"reason": reason[:1000], "function": self._function, "message_id": message.id, "receives": str(message.receives)}
        order: dict[str, Any] = {}
        if self._url.endswith(".fifo"):
            # Not the envelope's id: of two messages with one id and other contents the second would be swallowed.
            order = {"MessageGroupId": message.group, "MessageDeduplicationId": message.id}
        self._call(
            self._client.send_message,
            QueueUrl=self._url,
            MessageBody=message.body,
            MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in notes.items()},
            **order,
        )
