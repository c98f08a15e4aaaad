"""Envelopes and messages for tests."""

from __future__ import annotations

from itertools import count

from device_agent.wire import block, envelope
from device_agent.wire.block import Payload, Run
from device_agent.wire.envelope import Notice
from lambdas.landing.messages import Message

RECEIVED = 1_795_000_000_000_000
ARRIVED = 1_795_000_005_123_000
E1, E2, E3 = "1" * 16, "2" * 16, "3" * 16

_ids = count(1)


def body(
    first: int,
    payloads: list[Payload],
    *,
    device: str = "board-7",
    stream: str = "telemetry",
    epoch: str = E1,
    topics: str | list[str | None] | None = None,
    client: str | None = None,
    received: int = RECEIVED,
    synced: bool = True,
) -> str:
    data = block.encode([Run(received, synced, payloads, topics, client)])
    return envelope.encode_blocks(
        device=device, stream=stream, epoch=epoch, first=first, count=len(payloads), agent="device-agent/0.1.0", time=received, data=data
    )


def notice(first: int, last: int, *, device: str = "board-7", stream: str = "telemetry", epoch: str = E1, reason: str = "dropped") -> str:
    told = Notice(
        device=device, stream=stream, epoch=epoch, first=first, last=last, agent="device-agent/0.1.0", time=RECEIVED, reason=reason
    )
    return envelope.encode_notice(told)


def message(text: str, *, receives: int = 1, group: str = "", arrived: int = ARRIVED) -> Message:
    return Message(id=f"message-{next(_ids)}", body=text, arrived=arrived, receives=receives, group=group)
