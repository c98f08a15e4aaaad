"""Reading an envelope: every version ever shipped. What is not one raises `EnvelopeError`, whatever the input; fuzzing finds no other."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from device_agent.wire import block, names
from device_agent.wire.block import Payload, Readings
from device_agent.wire.content import Envelope, Notice
from device_agent.wire.encoding import DATA, NOTICE_TYPE, READING_TYPE, READINGS_TYPE
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.labels import is_label
from device_agent.wire.limits import MAX_DETAIL, MAX_FRAMES, MAX_MESSAGE, MAX_READING
from device_agent.wire.text import is_text, json_text, refuse
from device_agent.wire.timestamps import microseconds


def decode(body: str) -> Envelope | Notice:
    """Read any body that any version ever wrote.

    Raises:
        EnvelopeError: it is not one; nothing else, whatever `body` holds.
    """
    if len(body) > MAX_MESSAGE:
        raise EnvelopeError(f"body is longer than {MAX_MESSAGE} characters, more than SQS carries")
    event = _loads(body)
    if not isinstance(event, dict):
        raise EnvelopeError("body is not a JSON object")
    if event.get("specversion") != "1.0":
        raise EnvelopeError("body is not a CloudEvents 1.0 event: specversion is not 1.0")
    reader = _READERS.get(event["type"]) if isinstance(event.get("type"), str) else None
    if reader is None:
        raise EnvelopeError("type is not one of " + ", ".join(_READERS) + "; a newer agent needs newer functions")
    first = _firstseq(event)
    envelope = reader(event, first, body)
    if event.get("id") != envelope.id or event.get("source") != names.source(envelope.device, envelope.stream):
        raise EnvelopeError("id or source does not fit device, stream, epoch and firstseq")
    return envelope


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise EnvelopeError("body is not JSON") from None


def _firstseq(event: dict[str, Any]) -> int:
    text = event.get("firstseq")
    if not isinstance(text, str) or not re.fullmatch(r"[1-9][0-9]{0,18}", text, re.ASCII):
        raise EnvelopeError("firstseq is not a sequence number in decimal text")
    return int(text)


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name, "")
    if not isinstance(value, str):
        raise EnvelopeError(f"{name} is not text")
    return value


def _identity(event: dict[str, Any]) -> dict[str, Any]:
    agent = _text(event, "agent")
    if not is_label(agent):
        raise EnvelopeError("agent is too long or not UTF-8")
    return {name: event.get(name) for name in ("device", "stream", "epoch")} | {"agent": agent}


def _check_count(event: dict[str, Any], count: int) -> None:
    if type(event.get("count")) is not int or event["count"] != count:
        raise EnvelopeError("count does not fit the data")


def _base64(event: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(_text(event, "data_base64"), validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeError("data_base64 is not base64") from None


def _read_readings(event: dict[str, Any], first: int, _body: str) -> Envelope:
    readings = block.decode(_base64(event))
    _check_count(event, len(readings))
    return Envelope(**_identity(event), first=first, readings=readings)


def _read_reading(event: dict[str, Any], first: int, body: str) -> Envelope:
    _check_count(event, 1)
    if "data" in event and "data_base64" in event:
        raise EnvelopeError("body has both data and data_base64")
    payload: Payload = _base64(event) if "data" not in event else _raw_data(event, body).encode()
    if "framesizes" in event:
        payload = _frames(payload, _text(event, "framesizes"))
    if sum(map(len, payload) if isinstance(payload, list) else (len(payload),)) > MAX_READING:
        raise EnvelopeError(f"a reading is longer than {MAX_READING} bytes")
    if _text(event, "clock") not in {"synced", "unsynced"}:
        raise EnvelopeError("clock is not synced or unsynced")
    labels = []
    for name in ("topic", "client"):
        if name in event and not is_label(_text(event, name)):
            raise EnvelopeError(f"{name} is too long or not UTF-8")
        labels.append(event.get(name))
    readings = Readings([microseconds(_text(event, "time"))], [event["clock"] == "synced"], [labels[0]], [labels[1]], [payload])
    return Envelope(**_identity(event), first=first, readings=readings)


def _raw_data(event: dict[str, Any], body: str) -> str:
    """Return the JSON text of `data`, to the letter where the body is as we wrote it, else written anew."""
    start = body.find(DATA)  # within a string the quotes would be escaped, so this is a member
    if start > 0 and body.endswith("}"):
        head = {name: value for name, value in event.items() if name != "data"}
        raw = body[start + len(DATA) : -1]
        try:
            if json.loads(body[:start] + "}") == head and json_text(raw.encode()) is not None:
                return raw
        except (ValueError, RecursionError):
            pass  # not as we wrote it: below
    try:
        return json.dumps(event["data"], separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        raise EnvelopeError("data is not JSON that can be written again") from None


def _frames(data: bytes | list[bytes], sizes: str) -> list[bytes]:
    if not re.fullmatch(r"(\d{1,7}(,\d{1,7})*)?", sizes, re.ASCII) or isinstance(data, list):
        raise EnvelopeError("framesizes is not a list of sizes")
    numbers = [int(size) for size in sizes.split(",")] if sizes else []
    if len(numbers) > MAX_FRAMES or len(numbers) == 1 or sum(numbers) != len(data):
        raise EnvelopeError("framesizes does not fit the data")
    return list(_slices(data, numbers))


def _slices(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size


def _read_notice(event: dict[str, Any], first: int, _body: str) -> Notice:
    data = event.get("data")
    last = data.get("last") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(last, str) or not re.fullmatch(r"[1-9][0-9]{0,18}", last, re.ASCII):
        raise EnvelopeError("a notice's data does not say last, reason and detail")
    _check_count(event, 0)
    detail = _text(data, "detail")
    if len(detail) > MAX_DETAIL or not is_text(detail):
        raise EnvelopeError(f"a notice's detail is longer than {MAX_DETAIL} characters or not UTF-8")
    return Notice(
        **_identity(event), first=first, last=int(last), time=microseconds(_text(event, "time")), reason=_text(data, "reason"),
        detail=detail,
    )  # fmt: skip


_READERS: Final[dict[str, Callable[[dict[str, Any], int, str], Envelope | Notice]]] = {
    READINGS_TYPE: _read_readings,
    READING_TYPE: _read_reading,
    NOTICE_TYPE: _read_notice,
}
