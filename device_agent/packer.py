"""Translator and Aggregator: the data blocks of one closed envelope become SQS messages.

Promises: the numbers of a border become messages in order, each number in one message at most (what the log lost has none); the same
border gives the same ids and the same content however often it is packed; a body that exists is text that SQS takes, and `size` counts it
as SQS does. Pure: no clock, no file, no network.

How: the log already holds blocks as they are sent, so packing is base64 and a head. Only many small blocks (a commit each of an input
that acknowledges) are decoded and written again as one: ids and digest are taken over the decoded readings, so they do not change.
With `pack = false` each reading is a message of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from device_agent.config import StreamConfig
from device_agent.ports import Block, Border
from device_agent.wire import block, envelope, names
from device_agent.wire.block import Readings, Run
from device_agent.wire.envelope import Notice
from device_agent.wire.errors import EnvelopeError

#: SQS: 1 to 128 letters, digits and punctuation (API reference, MessageGroupId and MessageDeduplicationId).
_GROUP: Final = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}", re.ASCII)
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_FIELDS: Final = ("device", "stream")
#: Default template of FIFO queues; standard queues have no group unless the stream asks for one.
FIFO_GROUP: Final = "{device}.{stream}"

#: Blocks are merged when they are on average smaller than this. Measured with sensor JSON of 100 bytes (docs/uplink.md): an envelope of
#: one-reading blocks (125 bytes) shrinks to 0.11, of ten-reading blocks (240 bytes) to 0.40, of 575 bytes to 0.78, of 1.8 KiB to 0.98.
MERGE_BELOW: Final = 512
#: ... and the result is taken only if it saves at least a tenth.
_WORTH: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One SQS message that settles the sequence numbers `first` to `last`.

    `size` is in bytes as SQS counts: the body in UTF-8 (there are no attributes). `group` is None where none is sent;
    `deduplication_id` is None on standard queues.
    """

    id: str
    first: int
    last: int
    body: str
    group: str | None
    deduplication_id: str | None
    size: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        names.check_range(self.first, self.last)
        if not self.body:
            raise ValueError("SQS takes no empty body")


def group_problem(template: str) -> str | None:
    """Return what is wrong with a template of `group`, one sentence, or None.

    Checked with the longest names that can be filled in, so that a valid template makes a valid group id on every device.
    """
    unknown = [field for field in _FIELD.findall(template) if field not in _FIELDS]
    if unknown:
        return f"group has an unknown field {{{unknown[0]}}}; the fields are {{device}} and {{stream}}"
    literal = _FIELD.sub("", template)
    if literal and not _GROUP.fullmatch(literal):
        return "group may hold letters, digits and punctuation only, 128 characters at most (SQS, MessageGroupId)"
    return None


def group_id(template: str, *, device: str, stream: str, fifo: bool) -> str | None:
    """Return the message group id of a stream's messages, or None for a standard queue without one.

    Raises:
        ValueError: the template is wrong, or the filled-in group id is longer than SQS takes.
    """
    template = template or (FIFO_GROUP if fifo else "")
    if not template:
        return None
    problem = group_problem(template)
    group = template.replace("{device}", device).replace("{stream}", stream)
    if problem is None and not _GROUP.fullmatch(group):
        problem = f"group becomes {len(group)} characters with this device and stream; SQS takes 1 to 128"
    if problem is not None:
        raise ValueError(problem)
    return group


def pack(device: str, agent: str, stream: StreamConfig, border: Border, blocks: list[Block]) -> list[Message]:
    """Return the messages of a border, in order of sequence numbers; [] when the log lost all of it.

    Args:
        device: device id.
        agent: name and version of this agent.
        stream: the stream's settings (`pack`, `group`, queue kind).
        border: what was taken.
        blocks: what `Source.read` gave for it; gaps where damage was left out.
    """
    return list(messages(device, agent, stream, border, blocks))


def messages(device: str, agent: str, stream: StreamConfig, border: Border, blocks: list[Block]) -> Iterator[Message]:
    """As `pack`, one message at a time: with `pack = false` a border may become 65,536 of them."""
    group = group_id(stream.group, device=device, stream=stream.name, fifo=stream.fifo)
    for ident, first, last, body in _bodies(device, agent, stream, border, blocks):
        size = len(body) if body.isascii() else len(body.encode())
        yield Message(
            id=ident, first=first, last=last, body=body, group=group, deduplication_id=ident if stream.fifo else None, size=size
        )  # fmt: skip


def _bodies(device: str, agent: str, stream: StreamConfig, border: Border, blocks: list[Block]) -> Iterator[tuple[str, int, int, str]]:
    if border.reason:
        notice = Notice(
            device=device, stream=border.stream, epoch=border.epoch, first=border.first, last=border.last, agent=agent, time=border.time,
            reason=border.reason, detail=border.detail,
        )  # fmt: skip
        yield notice.id, border.first, border.last, envelope.encode_notice(notice)
    elif stream.pack:
        for part in _gapless(blocks):
            yield _packed(device, agent, border, part)
    else:
        for one in blocks:
            yield from _single(device, agent, border, one)


def _gapless(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Cut where numbers are missing: an envelope's readings follow one by one."""
    part: list[Block] = []
    for one in blocks:
        if part and one.first != part[-1].first + part[-1].count:
            yield part
            part = []
        part.append(one)
    if part:
        yield part


def _packed(device: str, agent: str, border: Border, blocks: list[Block]) -> tuple[str, int, int, str]:
    first, count = blocks[0].first, sum(one.count for one in blocks)
    # an envelope after a gap cannot know its first reading's time without decoding; the border's is near, and only for people
    body = envelope.encode_blocks(
        device=device, stream=border.stream, epoch=border.epoch, first=first, count=count, agent=agent, time=border.time,
        data=merged([one.data for one in blocks]),
    )  # fmt: skip
    return names.envelope_id(border.epoch, first), first, first + count - 1, body


def merged(blocks: list[bytes]) -> bytes:
    """Return blocks one behind the other, or the same readings as one block where that is much smaller."""
    data = blocks[0] if len(blocks) == 1 else b"".join(blocks)
    if len(blocks) == 1 or len(data) >= MERGE_BELOW * len(blocks):
        return data
    try:
        readings = block.decode(data)
    except EnvelopeError:  # beyond a bound, or not ours: the functions say which, and keep it
        return data
    again = block.encode(_runs(readings))
    return again if len(again) <= _WORTH * len(data) else data


def _runs(readings: Readings) -> list[Run]:
    """The inverse of `block.decode`: readings that share time and clock state are a run."""
    runs: list[Run] = []
    start = 0
    for (received, synced), same in groupby(zip(readings.received, readings.synced, strict=True)):
        part = slice(start, start + sum(1 for _ in same))
        start = part.stop
        runs.append(Run(received, synced, readings.payloads[part], readings.topics[part], readings.clients[part]))
    return runs


def _single(device: str, agent: str, border: Border, one: Block) -> Iterator[tuple[str, int, int, str]]:
    for seq, (received, synced, topic, client, payload) in enumerate(block.decode(one.data).rows(), start=one.first):
        body = envelope.encode_reading(
            device=device, stream=border.stream, epoch=border.epoch, seq=seq, agent=agent, received=received, synced=synced,
            payload=payload, topic=topic, client=client,
        )  # fmt: skip
        yield names.envelope_id(border.epoch, seq), seq, seq, body
