"""What RabbitMQ says about a message, as a CloudEvent (AMQP 0-9-1, 1.8.3: the properties of the class basic)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_agent.sources import cloudevents

if TYPE_CHECKING:
    from pika import BasicProperties, spec

#: Attributes by the properties that they hold. `message_id`, `timestamp`, `content_type` and `headers` have places of their own.
_KEPT: Final = {
    "correlationid": "correlation_id", "replyto": "reply_to", "contentencoding": "content_encoding", "expiration": "expiration",
    "priority": "priority", "messagetype": "type", "userid": "user_id", "appid": "app_id",
}  # fmt: skip


def event(body: bytes, method: spec.Basic.Deliver, properties: BasicProperties, *, source: str, subject: str) -> bytes:
    """Return the event of a message."""
    said: dict[str, str | int | bool | None] = {name: getattr(properties, kept) for name, kept in _KEPT.items()}
    said |= {
        "id": properties.message_id, "time": cloudevents.time(properties.timestamp), "subject": subject,
        "exchange": method.exchange or None,
        "redelivered": bool(method.redelivered), "headers": cloudevents.texts((properties.headers or {}).items()),
    }  # fmt: skip
    return cloudevents.wrap(body, source=source, content_type=properties.content_type or "", attributes=said)
