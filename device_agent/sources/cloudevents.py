"""CloudEvents 1.0 in JSON: a message with what its broker says about it, or as an HTTP client sends it, is one event, one reading.

Promises
- The payload stays what it is: JSON stands in `data` byte for byte, text as a string, anything else in `data_base64`.
- What comes in as an event is passed on as the bytes that came, once it is seen to be one.

Sources: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/ - spec.md (attributes: names of `a-z0-9`, texts, whole numbers of
32 bits, truth), formats/json-format.md, bindings/http-protocol-binding.md.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from device_agent.sources.port import Place
from device_agent.wire.timestamps import rfc3339

#: `type` of an event that is made of a broker's message.
MESSAGE: Final = "device-agent.message.v1"
#: Content types of bodies that are events.
STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
_PAYLOAD: Final = frozenset({"data", "data_base64", "datacontenttype"})  # what the body and its type are
_REQUIRED: Final = ("id", "source", "type")
_DECODER: Final = json.JSONDecoder(parse_constant=lambda name: _refuse(f"{name} is not JSON"))
_BLANKS: Final = " \t\r\n"


class EventError(ValueError):
    """What came is no event; `str()` says why."""


def origin(place: Place, name: str) -> str:
    """Return the `source` of an input's events."""
    return f"/devices/{place.device}/inputs/{name}"


def wrap(
    payload: bytes, *, source: str, content_type: str = "", attributes: Mapping[str, str | int | bool | None], kind: str = MESSAGE
) -> bytes:
    """Return an event with a payload.

    Args:
        payload: any bytes.
        source: who sends, a URI reference.
        content_type: of the payload; empty: unknown.
        attributes: further ones, by names of `a-z0-9`; None is left out. Without `id` it gets a random one.
        kind: the event's `type`.
    """
    head = {"specversion": "1.0", "id": attributes.get("id") or uuid.uuid4().hex, "source": source, "type": kind}
    given = {name: value for name, value in attributes.items() if value is not None and name not in head}
    if content_type:
        given["datacontenttype"] = content_type
    return json.dumps(head | given, separators=(",", ":")).encode()[:-1] + b"," + _data(payload, content_type) + b"}"


def texts(pairs: Iterable[tuple[str, object]]) -> str | None:
    """Return what users have added to a message, JSON in one attribute: their names need not fit an event's; None if there is nothing."""
    found = [[name, value] for name, value in pairs]
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False, default=_plain) if found else None


def time(seconds: float | None) -> str | None:
    """Return seconds since 1970 as an event's `time`; None if there are none, or they are no time."""
    try:
        return None if seconds is None else rfc3339(round(seconds * 1_000_000))
    except (OverflowError, ValueError):  # what a sender calls a time may be any number
        return None


def from_headers(payload: bytes, headers: Mapping[str, str], content_type: str) -> bytes:
    """Return the event of a request in binary mode: attributes in headers `ce-...`, names in lower case. Raises `EventError`."""
    given = {name.removeprefix("ce-"): unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    _check(given)
    bad = [name for name in given if name in _PAYLOAD or not (name.isascii() and name.isalnum() and name == name.lower())]
    if bad:
        raise EventError(f"ce-{bad[0]} names no attribute of an event: only a-z and 0-9")
    return wrap(payload, source=given["source"], kind=given["type"], content_type=content_type, attributes=given)


def check(body: bytes) -> bytes:
    """Return a body that is one event. Raises `EventError`."""
    text = _text(body)
    _end(text, _event(text, _skip(text, 0)))
    return body


def split(body: bytes) -> list[bytes]:
    """Return the events of a batch, each as it stands there. Raises `EventError`."""
    text = _text(body)
    return [part.encode() for part in _elements(text)]


def _elements(text: str) -> Iterator[str]:
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise EventError("a batch is an array of events")
    at = _skip(text, at + 1)
    more = text[at : at + 1] != "]"
    while more:
        end = _event(text, at)
        yield text[at:end]
        at = _skip(text, end)
        more = text[at : at + 1] == ","
        at = _skip(text, at + 1) if more else at
    if text[at : at + 1] != "]":
        raise EventError("a batch is an array of events, with commas between them")
    _end(text, at + 1)


def _event(text: str, at: int) -> int:
    """Look at the event that begins there; return its end."""
    try:
        found, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        raise EventError(f"that is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise EventError("an event is a JSON object")
    _check(found)
    return end


def _check(attributes: Mapping[str, object]) -> None:
    if attributes.get("specversion") != "1.0":
        raise EventError('an event has "specversion": "1.0"')
    for name in _REQUIRED:
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            raise EventError(f"an event has {name!r}, a text")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _end(text: str, at: int) -> None:
    if _skip(text, at) != len(text):
        raise EventError("something stands behind the end")


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise EventError("that is not UTF-8") from None


def _data(payload: bytes, content_type: str) -> bytes:
    kind = content_type.partition(";")[0].strip().lower()
    if (not kind or kind == "application/json" or kind.endswith("+json")) and _is_json(payload):
        return b'"data":' + payload
    if kind.startswith("text/"):
        try:
            return b'"data":' + json.dumps(payload.decode()).encode()
        except UnicodeDecodeError:
            pass  # it says text, and is none: kept as it is
    return b'"data_base64":"' + base64.b64encode(payload) + b'"'


def _is_json(payload: bytes) -> bool:
    try:
        _end(text := payload.decode(), _DECODER.raw_decode(text, _skip(text, 0))[1])
    except (ValueError, RecursionError):
        return False
    return True


def _plain(value: object) -> object:
    """Return what JSON can hold of a header's value."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _refuse(why: str) -> None:
    raise ValueError(why)
