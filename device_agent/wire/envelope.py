"""Envelope: one SQS message is one CloudEvents 1.0 event in JSON. This module writes and reads all three kinds.

    readings  device-agent.readings.v1  data blocks of many readings, in `data_base64`; id <epoch>-<firstseq>
    reading   device-agent.reading.v1   one reading for consumers that know nothing of this project (`pack = false`): a JSON payload stands
                                        unchanged in `data`, any other in `data_base64`; id <epoch>-<firstseq>
    notice    device-agent.notice.v1    sequence numbers that will not come, and why; id <epoch>-x<first>-<last>

Extension attributes: device, stream, epoch, firstseq (text: CloudEvents integers have 32 bits), count, agent; on a single reading also
clock, topic, client, framesizes. `type` carries the version: `decode` reads all versions ever shipped, the encoders write the newest.
Attributes are ASCII, so every body is text that SQS accepts. What is not a valid envelope raises `EnvelopeError`, whatever the input.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import msgpack

from device_agent.wire import block, names
from device_agent.wire.block import Payload, Readings
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.limits import MAX_DETAIL, MAX_FRAMES, MAX_MESSAGE, MAX_READING, MAX_READINGS, MAX_TIME
from device_agent.wire.text import is_text, json_text, refuse

READINGS_TYPE: Final = "device-agent.readings.v1"
READING_TYPE: Final = "device-agent.reading.v1"
NOTICE_TYPE: Final = "device-agent.notice.v1"
BLOCKS: Final = "application/vnd.device-agent.blocks+zstd"
#: Why numbers will not come: dropped by policy, damaged on disk, refused by the cloud and set aside.
REASONS: Final = ("dropped", "damaged", "quarantined")

_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATA: Final = ',"data":'
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Readings first, first + 1, ... of one stream and epoch, decoded.

    `readings` has 1 to `MAX_READINGS` rows.
    """

    device: str
    stream: str
    epoch: str
    first: int
    agent: str
    readings: Readings

    def __post_init__(self) -> None:
        """Check names and numbers."""
        names.check_identity(device=self.device, stream=self.stream, epoch=self.epoch)
        names.check_range(self.first, self.last)

    @property
    def last(self) -> int:
        """Sequence number of the last reading."""
        return self.first + len(self.readings) - 1

    @property
    def id(self) -> str:
        """CloudEvents id; the ledger's claim and the deduplication id."""
        return names.envelope_id(self.epoch, self.first)

    def digest(self) -> str:
        """BLAKE2b-128 over identity and decoded columns, as 32 hexadecimal digits.

        The same content gives the same digest however it was cut into blocks or compressed. Canonical form: MessagePack (smallest
        encodings) of [device, stream, epoch, first, received, synced, topics, clients, payloads], one value a reading in each column.
        """
        columns = [getattr(self.readings, column) for column in Readings.__slots__]
        return _digest([self.device, self.stream, self.epoch, self.first, *columns])


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The numbers first to last of one stream and epoch will not come; a received reading beats a notice.

    `reason` is one of `REASONS`, `detail` a sentence for people, of which the first `MAX_DETAIL` characters travel.
    """

    device: str
    stream: str
    epoch: str
    first: int
    last: int
    agent: str
    time: int  # microseconds since 1970 UTC
    reason: str
    detail: str = ""

    def __post_init__(self) -> None:
        """Check names, numbers and reason."""
        names.check_identity(device=self.device, stream=self.stream, epoch=self.epoch)
        names.check_range(self.first, self.last)
        if self.reason not in REASONS:
            raise EnvelopeError(f"a notice's reason is not one of {', '.join(REASONS)}")

    @property
    def id(self) -> str:
        """CloudEvents id, apart from every envelope's."""
        return names.notice_id(self.epoch, self.first, self.last)

    def digest(self) -> str:
        """BLAKE2b-128 over identity, range and reason, as 32 hexadecimal digits."""
        return _digest([self.device, self.stream, self.epoch, self.first, self.last, self.reason])


def _digest(content: list[Any]) -> str:
    return blake2b(msgpack.packb(content, use_bin_type=True), digest_size=16).hexdigest()


def rfc3339(time: int) -> str:
    """Microseconds since 1970 UTC as RFC 3339 text with six decimals, `2026-01-31T12:00:00.000000Z`."""
    return (_EPOCH_START + timedelta(microseconds=time)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def microseconds(text: str) -> int:
    """Inverse of `rfc3339`; any RFC 3339 offset, at most six decimals.

    Raises:
        EnvelopeError: not a time, or outside the years 1970 to 9999.
    """
    if not _TIME.fullmatch(text):  # fromisoformat takes more than RFC 3339, and every Python more than the last
        raise EnvelopeError("time is not an RFC 3339 time with an offset")
    try:
        moment = datetime.fromisoformat(text)
        time = (moment - _EPOCH_START) // timedelta(microseconds=1)
    except (ValueError, TypeError, OverflowError):
        raise EnvelopeError("time is not an RFC 3339 time with an offset") from None
    if not 0 <= time <= MAX_TIME:
        raise EnvelopeError("time is outside the years 1970 to 9999")
    return time


# Writing


def _attributes(
    *,
    kind: str,
    ident: str,
    device: str,
    stream: str,
    epoch: str,
    first: int,
    count: int,
    agent: str,
    time: int,
    content: str,
) -> dict[str, str | int]:
    return {
        "specversion": "1.0",
        "id": ident,
        "source": names.source(device, stream),
        "type": kind,
        "time": rfc3339(time),
        "datacontenttype": content,
        "device": device,
        "stream": stream,
        "epoch": epoch,
        "firstseq": str(first),
        "count": count,
        "agent": agent,
    }


def _dump(attributes: dict[str, Any]) -> str:
    return json.dumps(attributes, separators=(",", ":"))


def encode_blocks(*, device: str, stream: str, epoch: str, first: int, count: int, agent: str, time: int, data: bytes) -> str:
    """Return the body of an envelope around data blocks.

    Args:
        device: device id.
        stream: stream name.
        epoch: epoch of the stream's log.
        first: sequence number of the first reading.
        count: readings in `data`.
        agent: name and version of the writer.
        time: receive time of the first reading, microseconds since 1970 UTC.
        data: blocks of `block.encode`, one behind the other; they are not looked into.
    """
    ident = names.envelope_id(epoch, first)
    head = _attributes(
        kind=READINGS_TYPE, ident=ident, device=device, stream=stream, epoch=epoch, first=first, count=count, agent=agent, time=time,
        content=BLOCKS,
    )  # fmt: skip
    # base64 needs no JSON escaping, so it is not scanned for it
    return f'{_dump(head)[:-1]},"data_base64":"{base64.b64encode(data).decode("ascii")}"}}'


def overhead(*, device: str, stream: str, agent: str) -> int:
    """Bytes of an envelope's body around its base64 at most: with the longest sequence number and count."""
    body = encode_blocks(device=device, stream=stream, epoch="0" * 16, first=2**63 - 1, count=MAX_READINGS, agent=agent, time=0, data=b"")
    return len(body)


def capacity(limit: int, *, overhead: int) -> int:
    """Bytes of data blocks that fit a body of `limit` bytes: three in four of what the attributes leave."""
    return max(0, (limit - overhead) // 4 * 3)


def encode_reading(
    *, device: str, stream: str, epoch: str, seq: int, agent: str, received: int, synced: bool, payload: Payload,
    topic: str | None = None, client: str | None = None,
) -> str:  # fmt: skip
    """Return the body of one reading as a plain CloudEvent: JSON text stands in `data` to the letter, all else in `data_base64`."""
    text = json_text(payload) if isinstance(payload, bytes) else None
    ident = names.envelope_id(epoch, seq)
    head = _attributes(
        kind=READING_TYPE, ident=ident, device=device, stream=stream, epoch=epoch, first=seq, count=1, agent=agent, time=received,
        content="application/octet-stream" if text is None else "application/json",
    ) | {"clock": "synced" if synced else "unsynced"}  # fmt: skip
    if topic is not None:
        head["topic"] = topic
    if client is not None:
        head["client"] = client
    if isinstance(payload, list):
        head["framesizes"] = ",".join(str(len(frame)) for frame in payload)
        payload = b"".join(payload)
    if text is not None:
        return f"{_dump(head)[:-1]}{_DATA}{text}}}"
    return f'{_dump(head)[:-1]},"data_base64":"{base64.b64encode(payload).decode("ascii")}"}}'


def encode_notice(notice: Notice) -> str:
    """Return the body of a notice."""
    head = _attributes(
        kind=NOTICE_TYPE, ident=notice.id, device=notice.device, stream=notice.stream, epoch=notice.epoch, first=notice.first,
        count=0, agent=notice.agent, time=notice.time, content="application/json",
    )  # fmt: skip
    detail = notice.detail[:MAX_DETAIL].encode("utf-8", "replace").decode()  # it may quote what is not text
    return _dump(head | {"data": {"last": str(notice.last), "reason": notice.reason, "detail": detail}})


# Reading


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
    if not block.is_label(agent):
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
        if name in event and not block.is_label(_text(event, name)):
            raise EnvelopeError(f"{name} is too long or not UTF-8")
        labels.append(event.get(name))
    readings = Readings([microseconds(_text(event, "time"))], [event["clock"] == "synced"], [labels[0]], [labels[1]], [payload])
    return Envelope(**_identity(event), first=first, readings=readings)


def _raw_data(event: dict[str, Any], body: str) -> str:
    """Return the JSON text of `data`, to the letter where the body is as we wrote it, else written anew."""
    start = body.find(_DATA)  # within a string the quotes would be escaped, so this is a member
    if start > 0 and body.endswith("}"):
        head = {name: value for name, value in event.items() if name != "data"}
        raw = body[start + len(_DATA) : -1]
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
