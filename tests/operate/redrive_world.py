"""World of the redrive machine: a FIFO queue and its dead-letter queue, small and real, and a client whose calls meet any fate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from tests.lambdas.fakes import Crash, Fate

DEDUPLICATION = 300.0
VISIBILITY = 300.0
DEAD, SOURCE = "https://sqs/events-dead.fifo", "https://sqs/events.fifo"

_ids = count(1)


@dataclass
class Stored:
    """A message in a queue. `place` is its place in the order in which the queue took its messages."""

    id: str
    body: str
    group: str
    place: int = 0
    visible: float = 0.0
    receipt: str = ""


@dataclass
class Queue:
    """FIFO: in order within a group, which is hidden while one of it is held; deduplicates for five minutes."""

    messages: list[Stored] = field(default_factory=list)
    seen: dict[tuple[str, str], float] = field(default_factory=dict)
    given: dict[str, Stored] = field(default_factory=dict)  # by receipt, old ones too
    places: count[int] = field(default_factory=lambda: count(1))

    def take(self, stored: Stored) -> None:
        stored.place, stored.visible, stored.receipt = next(self.places), 0.0, ""
        self.messages.append(stored)

    def send(self, body: str, group: str, ident: str, now: float) -> bool:
        """Accept a message; False if it is taken for a repetition."""
        if now - self.seen.get((group, ident), -DEDUPLICATION) < DEDUPLICATION:
            return False
        self.seen[group, ident] = now
        self.take(Stored(f"m{next(_ids)}", body, group))
        return True

    def receive(self, most: int, now: float) -> list[Stored]:
        held = {one.group for one in self.messages if one.visible > now}
        given = [one for one in self.messages if one.group not in held][:most]
        for one in given:
            one.visible, one.receipt = now + VISIBILITY, f"r{next(_ids)}"
            self.given[one.receipt] = one
        return given


class Client:
    """As much of boto3's SQS client as a redrive uses; `gate` says what becomes of each call. After a crash there is no next call."""

    def __init__(self, queues: dict[str, Queue], now: Callable[[], float], gate: Callable[[str], Fate]) -> None:
        self._queues = queues
        self._now = now
        self._gate = gate
        self._crashed = False
        self._given: dict[str, Stored] = {}
        self.sent: list[Stored] = []  # letters, in the order in which their sends were applied

    def get_queue_attributes(self, **_: Any) -> Any:
        return self._call("attributes", lambda: {"Attributes": {}})

    def receive_message(self, *, QueueUrl: str, MaxNumberOfMessages: int, **_: Any) -> Any:  # noqa: N803  # boto3's spelling
        def effect() -> Any:
            given = self._queues[QueueUrl].receive(MaxNumberOfMessages, self._now())
            self._given |= {f"redrive-{one.id}": one for one in given}
            return {
                "Messages": [
                    {
                        "MessageId": one.id,
                        "Body": one.body,
                        "ReceiptHandle": one.receipt,
                        "Attributes": {"MessageGroupId": one.group},
                    }
                    for one in given
                ]
            }

        return self._call("receive", effect)

    def send_message(self, *, QueueUrl: str, MessageBody: str, MessageGroupId: str, MessageDeduplicationId: str, **_: Any) -> Any:  # noqa: N803
        def effect() -> Any:
            if MessageDeduplicationId in self._given:
                self.sent.append(self._given[MessageDeduplicationId])
            self._queues[QueueUrl].send(MessageBody, MessageGroupId, MessageDeduplicationId, self._now())
            return {}

        return self._call("send", effect)

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> Any:  # noqa: N803
        def effect() -> Any:
            queue = self._queues[QueueUrl]
            found = queue.given[ReceiptHandle]
            if found not in queue.messages:
                return {}  # deleted before
            if found.receipt != ReceiptHandle or found.visible <= self._now():  # what SQS says for FIFO queues
                error = {"Code": "InvalidParameterValue", "Message": "The receipt handle has expired"}
                raise ClientError({"Error": error}, "DeleteMessage")
            queue.messages.remove(found)
            return {}

        return self._call("delete", effect)

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803
        def effect() -> Any:
            for entry in Entries:
                found = self._queues[QueueUrl].given[entry["ReceiptHandle"]]
                if found.receipt == entry["ReceiptHandle"]:
                    found.visible = self._now() + entry["VisibilityTimeout"]
            return {}

        return self._call("give back", effect)

    def _call(self, name: str, effect: Callable[[], Any]) -> Any:
        if self._crashed:
            raise Crash
        fate = self._gate(name)
        if fate in {Fate.CRASH_BEFORE, Fate.CRASH_AFTER}:
            self._crashed = True
        if fate is Fate.CRASH_BEFORE:
            raise Crash
        if fate is Fate.REFUSED:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "not now"}}, name)
        if fate is Fate.LOST_BEFORE:
            raise ReadTimeoutError(endpoint_url=name)
        answer = effect()
        if fate is Fate.CRASH_AFTER:
            raise Crash
        if fate is Fate.LOST_AFTER:
            raise ReadTimeoutError(endpoint_url=name)
        return answer
