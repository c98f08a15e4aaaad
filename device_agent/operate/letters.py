"""Dead letter: a message that no function could land, read for people. Pure.

Promises that whatever a body holds there is something to say about it, and that nothing in it reaches a terminal unescaped: names are
checked, all else is printed as JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from device_agent.wire import envelope, names
from device_agent.wire.envelope import Envelope, Notice
from device_agent.wire.errors import EnvelopeError

#: Attributes that `lambdas.landing.sqs` writes beside a message that it sets aside. A redrive leaves them behind.
NOTES = frozenset({"reason", "function", "message_id", "receives"})
UNKNOWN = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message of a dead-letter queue.

    `attributes` are its message attributes as SQS has them. `looks` counts every receive of this very message, those of this command too.
    """

    id: str
    body: str
    receipt: str
    sent: int  # milliseconds since 1970; of a buried message of a standard queue, when the device sent it
    looks: int
    group: str
    attributes: Mapping[str, Any]

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Letter:
        """Read a message of ReceiveMessage with all its attributes."""
        system = message.get("Attributes", {})
        return cls(
            id=message["MessageId"],
            body=message["Body"],
            receipt=message["ReceiptHandle"],
            sent=int(system.get("SentTimestamp", 0)),
            looks=int(system.get("ApproximateReceiveCount", 0)),
            group=system.get("MessageGroupId", ""),
            attributes=message.get("MessageAttributes", {}),
        )

    def note(self, name: str) -> str:
        """Return one of `NOTES`, or nothing."""
        return str(self.attributes.get(name, {}).get("StringValue", ""))

    @property
    def reason(self) -> str:
        """Why it is here."""
        return self.note("reason") or "received too often: its function failed, or had no time, each time"

    @property
    def receives(self) -> int:
        """How often the source queue gave it to a function; where SQS itself buried it, looks at it here are counted too."""
        noted = self.note("receives")
        return int(noted) if noted.isdecimal() else self.looks

    def content(self) -> Envelope | Notice | EnvelopeError:
        """Decode it, or say why not."""
        try:
            return envelope.decode(self.body)
        except EnvelopeError as error:
            return error

    def sender(self) -> tuple[str, str]:
        """(device, stream) as far as the body or the message group says, `UNKNOWN` otherwise; a claim, not proof."""
        try:
            event = json.loads(self.body)
        except (ValueError, RecursionError):
            event = None
        said = event if isinstance(event, dict) else {}
        device, stream = said.get("device"), said.get("stream")
        if not isinstance(device, str) or not isinstance(stream, str):
            device, _, stream = self.group.rpartition(".")
        return device if names.is_device(device) else UNKNOWN, stream if names.is_stream(stream) else UNKNOWN

    def document(self) -> dict[str, Any]:
        """Everything as JSON; `body` is the body to the letter."""
        device, stream = self.sender()
        return {
            "id": self.id,
            "device": device,
            "stream": stream,
            "sent": envelope.rfc3339(self.sent * 1000),
            "reason": self.reason,
            "function": self.note("function") or None,
            "receives": self.receives,
            "group": self.group or None,
            "attributes": {name: value.get("StringValue") for name, value in sorted(self.attributes.items())},
            "body": self.body,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which letters are meant: those that fit all that is said; with nothing said, all."""

    ids: frozenset[str] = frozenset()
    device: str | None = None
    stream: str | None = None
    reason: str | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is said."""
        return self == Choice()

    def __contains__(self, letter: Letter) -> bool:
        device, stream = letter.sender()
        return (
            (not self.ids or letter.id in self.ids)
            and self.device in {None, device}
            and self.stream in {None, stream}
            and (self.reason is None or self.reason in letter.reason)
        )


def summary(letters: Sequence[Letter]) -> list[tuple[str, str, str, int, str]]:
    """Return (device, stream, reason, letters, oldest) of each combination, most letters first."""
    kinds = Counter((*letter.sender(), letter.reason) for letter in letters)
    oldest: dict[tuple[str, str, str], int] = {}
    for letter in letters:
        kind = (*letter.sender(), letter.reason)
        oldest[kind] = min(letter.sent, oldest.get(kind, letter.sent))
    return [(*kind, count, envelope.rfc3339(oldest[kind] * 1000)[:19] + "Z") for kind, count in kinds.most_common()]
