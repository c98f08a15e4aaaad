"""Rows: readings as JSON objects with the lake's columns, for every command that prints readings."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from device_agent.wire import envelope
from device_agent.wire.block import Payload
from device_agent.wire.envelope import Envelope, Notice


def rows_of(decoded: Envelope | Notice) -> Iterator[dict[str, Any]]:
    """Yield a row for each reading, or one for a notice."""
    head = {"device": decoded.device, "stream": decoded.stream, "epoch": decoded.epoch}
    if isinstance(decoded, Notice):
        numbers = {"first": decoded.first, "last": decoded.last, "time": envelope.rfc3339(decoded.time)}
        yield head | {"notice": decoded.reason, **numbers, "detail": decoded.detail}
        return
    for seq, (received, synced, topic, client, payload) in enumerate(decoded.readings.rows(), decoded.first):
        yield row(head, seq=seq, received=received, synced=synced, topic=topic, client=client, payload=payload)


def row(
    head: dict[str, Any], *, seq: int, received: int, synced: bool, topic: str | None, client: str | None, payload: Payload
) -> dict[str, Any]:
    """Return the row of one reading. `head`: device, stream and epoch; `received`: microseconds since 1970 UTC."""
    found = head | {"seq": seq, "received": envelope.rfc3339(received), "clock": "synced" if synced else "unsynced"}
    if client is not None:
        found["client"] = client
    if topic is not None:
        found["topic"] = topic
    return found | value(payload)


def value(payload: Payload) -> dict[str, Any]:
    """Return a payload as the lake has it: text, base64 of a frame that is not UTF-8, or base64 of all frames."""
    if isinstance(payload, list):
        return {"frames": [b64encode(frame).decode("ascii") for frame in payload]}
    try:
        return {"data": payload.decode()}
    except UnicodeDecodeError:
        return {"data_base64": b64encode(payload).decode("ascii")}


def line(found: dict[str, Any]) -> str:
    """Return a row as one line of ASCII, which no payload can use to write to the terminal anything but text."""
    return json.dumps(found, separators=(",", ":"))
