"""What SQS keeps and checks, as far as its documentation says; no HTTP.

Bytes are counted in UTF-8, attributes included; illegal characters are refused; the queue's MaximumMessageSize holds for each message and
1 MiB for a batch; FIFO deduplicates for five minutes of the given clock, also after a delete. `Sqs.accepted` records first acceptances.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

BATCH = 1_048_576
ENTRIES = 10
DEDUPLICATION = 300.0  # seconds
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GROUP = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


class SqsError(Exception):
    """An answer that is an error. `code` in the short spelling of the JSON protocol."""

    def __init__(self, code: str, message: str = "", *, status: int = 400, sender_fault: bool = True) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.sender_fault = code, message or code, status, sender_fault


@dataclass(frozen=True)
class Accepted:
    """A message as it was accepted."""

    queue: str
    body: str
    group: str | None
    deduplication_id: str | None
    at: float


@dataclass
class _Queue:
    url: str
    fifo: bool
    limit: int
    messages: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[tuple[str, str], tuple[float, str, str]] = field(default_factory=dict)  # (group, id) -> when, message id, sequence number
    visibility: float = 30.0


class Sqs:
    """Queues by name. Safe between threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._queues: dict[str, _Queue] = {}
        self._numbers = 0
        self.accepted: list[Accepted] = []
        self.duplicates = 0  # sends that FIFO deduplication swallowed

    def create_queue(self, name: str, url: str, attributes: Mapping[str, str]) -> str:
        with self._lock:
            fifo = attributes.get("FifoQueue") == "true"
            if fifo != name.endswith(".fifo"):
                raise SqsError("InvalidParameterValue", "The name of a FIFO queue can only include .fifo at its end")
            limit = int(attributes.get("MaximumMessageSize", BATCH))
            visibility = float(attributes.get("VisibilityTimeout", 30))
            self._queues.setdefault(name, _Queue(url, fifo, limit, visibility=visibility))
            return self._queues[name].url

    def delete_queue(self, name: str) -> None:
        with self._lock:
            self._queue(name)
            del self._queues[name]

    def url(self, name: str) -> str:
        with self._lock:
            return self._queue(name).url

    def attributes(self, name: str) -> dict[str, str]:
        with self._lock:
            queue = self._queue(name)
            return {"MaximumMessageSize": str(queue.limit), "ApproximateNumberOfMessages": str(len(queue.messages))} | (
                {"FifoQueue": "true"} if queue.fifo else {}
            )

    def set_limit(self, name: str, limit: int) -> None:
        with self._lock:
            self._queue(name).limit = limit

    def send(self, name: str, entry: Mapping[str, Any]) -> dict[str, str]:
        """One SendMessage, or one entry of a batch that passed `check_batch`."""
        with self._lock:
            queue = self._queue(name)
            body = str(entry.get("MessageBody", ""))
            if not body:
                raise SqsError("MissingParameter", "The request must contain the parameter MessageBody.")
            if _ILLEGAL.search(body):
                raise SqsError("InvalidMessageContents", "Invalid characters found. Valid unicode characters are #x9 | #xA | ...")
            if size(entry) > queue.limit:
                raise SqsError(
                    "InvalidParameterValue",
                    f"One or more parameters are invalid. Reason: Message must be shorter than {queue.limit} bytes.",
                )
            group, ident = entry.get("MessageGroupId"), entry.get("MessageDeduplicationId")
            for value in (group, ident):
                if value is not None and not _GROUP.fullmatch(str(value)):
                    raise SqsError(
                        "InvalidParameterValue",
                        "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.",
                    )
            if not queue.fifo and ident is not None:
                raise SqsError("InvalidParameterValue", "The request include parameter that is not valid for this queue type")
            if queue.fifo and (group is None or ident is None):
                raise SqsError("MissingParameter", "The request must contain the parameter MessageGroupId and MessageDeduplicationId.")
            return self._accept(queue, body, group, ident)

    def _accept(self, queue: _Queue, body: str, group: str | None, ident: str | None) -> dict[str, str]:
        now = self._clock()
        md5 = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
        key = (str(group), str(ident))
        if queue.fifo and key in queue.seen and now - queue.seen[key][0] < DEDUPLICATION:
            self.duplicates += 1
            _, message_id, sequence = queue.seen[key]
            return {"MessageId": message_id, "MD5OfMessageBody": md5, "SequenceNumber": sequence}
        self._numbers += 1
        message_id, sequence = f"{self._numbers:08x}-0000-4000-8000-000000000000", f"{self._numbers:020d}"
        self.accepted.append(Accepted(queue.url, body, group, ident, now))
        queue.messages.append({"MessageId": message_id, "Body": body, "MD5OfBody": md5, "_group": group, "_visible": now})
        result = {"MessageId": message_id, "MD5OfMessageBody": md5}
        if queue.fifo:
            queue.seen[key] = (now, message_id, sequence)
            result["SequenceNumber"] = sequence
        return result

    @staticmethod
    def check_batch(entries: list[dict[str, Any]]) -> None:
        """Raise what makes SQS refuse a batch as a whole."""
        if not entries:
            raise SqsError("EmptyBatchRequest", "There should be at least one SendMessageBatchRequestEntry in the request.")
        if len(entries) > ENTRIES:
            raise SqsError(
                "TooManyEntriesInBatchRequest", f"Maximum number of entries per request are {ENTRIES}. You have sent {len(entries)}."
            )
        ids = [str(entry.get("Id")) for entry in entries]
        if not all(_ID.fullmatch(ident) for ident in ids):
            raise SqsError("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores.")
        if len(set(ids)) != len(ids):
            raise SqsError("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
        total = sum(map(size, entries))
        if total > BATCH:
            raise SqsError("BatchRequestTooLong", f"Batch requests cannot be longer than {BATCH} bytes. You have sent {total} bytes.")

    def receive(self, name: str, most: int) -> list[dict[str, str]]:
        """Good enough for tests: FIFO stops a group at its first message in flight."""
        with self._lock:
            queue, now = self._queue(name), self._clock()
            blocked = {message["_group"] for message in queue.messages if queue.fifo and message["_visible"] > now}
            given = []
            for message in queue.messages:
                if message["_visible"] > now or message["_group"] in blocked:
                    continue
                message["_visible"] = now + queue.visibility
                given.append(
                    {key: value for key, value in message.items() if not key.startswith("_")} | {"ReceiptHandle": message["MessageId"]}
                )
                if len(given) == most:
                    break
            return given

    def delete(self, name: str, receipt: str) -> None:
        with self._lock:
            queue = self._queue(name)
            queue.messages[:] = [message for message in queue.messages if message["MessageId"] != receipt]

    def _queue(self, name: str) -> _Queue:
        if name not in self._queues:
            raise SqsError("QueueDoesNotExist", "The specified queue does not exist.")
        return self._queues[name]


def size(entry: Mapping[str, Any]) -> int:
    """Bytes of a message as SQS counts them: body, and names, types and values of attributes."""
    total = len(str(entry.get("MessageBody", "")).encode())
    for name, value in (entry.get("MessageAttributes") or {}).items():
        total += len(name.encode()) + len(str(value.get("DataType", "")).encode())
        total += len(str(value.get("StringValue", value.get("BinaryValue", ""))).encode())
    return total
