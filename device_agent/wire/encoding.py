"""Writing an envelope: always the newest version. `envelope` describes the format; `decoding` reads it.

Attributes are ASCII, so every body is text that SQS accepts.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from device_agent.wire import names
from device_agent.wire.block import Payload
from device_agent.wire.content import Notice
from device_agent.wire.limits import MAX_DETAIL, MAX_READINGS
from device_agent.wire.text import json_text
from device_agent.wire.timestamps import rfc3339

READINGS_TYPE: Final = "device-agent.readings.v1"
READING_TYPE: Final = "device-agent.reading.v1"
NOTICE_TYPE: Final = "device-agent.notice.v1"
BLOCKS: Final = "application/vnd.device-agent.blocks+zstd"
#: What stands before a JSON payload, which travels to the letter.
DATA: Final = ',"data":'


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
        return f"{_dump(head)[:-1]}{DATA}{text}}}"
    return f'{_dump(head)[:-1]},"data_base64":"{base64.b64encode(payload).decode("ascii")}"}}'


def encode_notice(notice: Notice) -> str:
    """Return the body of a notice."""
    head = _attributes(
        kind=NOTICE_TYPE, ident=notice.id, device=notice.device, stream=notice.stream, epoch=notice.epoch, first=notice.first,
        count=0, agent=notice.agent, time=notice.time, content="application/json",
    )  # fmt: skip
    detail = notice.detail[:MAX_DETAIL].encode("utf-8", "replace").decode()  # it may quote what is not text
    return _dump(head | {"data": {"last": str(notice.last), "reason": notice.reason, "detail": detail}})
