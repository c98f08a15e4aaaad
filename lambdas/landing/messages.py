"""Messages: what SQS hands over, decoded one by one, and the port through which a message is set aside.

A message that cannot be decoded fails alone: the others of its batch do not notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from device_agent.wire import envelope
from device_agent.wire.envelope import Envelope, Notice
from device_agent.wire.errors import EnvelopeError

#: What a body is: content, or why it is neither an envelope nor a notice.
Content = Envelope | Notice | EnvelopeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One SQS message as a function receives it."""

    id: str
    body: str
    arrived: int  # when SQS took it, microseconds since 1970 (SQS says milliseconds)
    receives: int  # how often it was received, this time included
    group: str = ""  # FIFO only


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message and what it says."""

    message: Message
    content: Content


class Aside(Protocol):
    """The dead-letter queue, for what no later attempt could land."""

    def set_aside(self, message: Message, reason: str) -> None:
        """Send the message there unchanged, with the reason beside it. May repeat. Raises `NotNow` or `Unknown`."""


def decoded(messages: Iterable[Message]) -> Iterator[Arrival]:
    """Decode message after message, each when it is asked for: a batch of bombs is never in memory at once."""
    return (Arrival(message, _content(message.body)) for message in messages)


def _content(body: str) -> Content:
    try:
        return envelope.decode(body)
    except EnvelopeError as error:
        return error
    except Exception as error:  # noqa: BLE001  # a bug of ours, or memory: one hostile body must not bury the good ones beside it
        return EnvelopeError(f"decoding broke down: {type(error).__name__}")
