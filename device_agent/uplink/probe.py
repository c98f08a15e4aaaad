"""Probe: one look from here to the queues, for `device-agent check --online` and `device-agent send`. No spool, no retry.

Promises: `probe` sends no message; each stream gets one sentence that says what is wrong and what to do, and whether that is for people to
mend or for the network. `send_once` sends one message in one try and raises what SQS says about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from device_agent.clock import Clock, SystemClock
from device_agent.config import AwsConfig, StreamConfig, UplinkConfig
from device_agent.errors import ConfigError
from device_agent.packer import Message
from device_agent.uplink.client import Transport, connect
from device_agent.uplink.sender import Connect
from device_agent.uplink.verdicts import Cause, NotSent, Refused
from device_agent.wire.limits import KIB

#: What no waiting mends: something must be changed, in the configuration or in the account.
_TO_MEND: Final = frozenset({Cause.QUEUE, Cause.SIZE, Cause.CONTENT, Cause.CREDENTIALS, Cause.PERMISSION, Cause.KEY, Cause.REQUEST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen of one stream's queue."""

    stream: str
    good: bool  # messages can be sent, as far as can be seen without sending one
    sentence: str
    mend: bool = False  # not good, and somebody must change something; else the queue could not be asked now
    key: tuple[str | int, ...] = ()  # of the configuration that it is about, as in ConfigError


def probe(
    aws: AwsConfig, streams: Sequence[StreamConfig], *, config: UplinkConfig | None = None, clock: Clock | None = None,
    connect: Connect = connect,
) -> list[Look]:  # fmt: skip
    """Look at the queue of each stream.

    Sends no message, so a missing permission for sqs:SendMessage alone is not seen; wrong credentials, clock, endpoint and queue are.
    """
    try:
        transport = connect(aws, config or UplinkConfig(senders=1), clock or SystemClock())
    except ConfigError as error:
        return [Look(stream=stream.name, good=False, sentence=str(error), mend=True, key=error.key) for stream in streams]
    try:
        return [_look(transport, stream) for stream in streams]
    finally:
        transport.close()


def _look(transport: Transport, stream: StreamConfig) -> Look:
    where = f"queue {stream.queue}"
    key = ("stream", stream.name, "queue")
    try:
        limit = transport.limit(stream.queue)
    except NotSent as error:
        if error.cause is Cause.PERMISSION:
            text = f"{where} answers, but its attributes may not be read, so its size limit is unknown; allow sqs:GetQueueAttributes"
            return Look(stream=stream.name, good=True, sentence=text)
        return Look(stream=stream.name, good=False, sentence=f"{where}: {error}", mend=error.cause in _TO_MEND, key=key)
    except Refused as error:
        return Look(stream=stream.name, good=False, sentence=f"{where}: {error}", mend=True, key=key)
    if stream.max_envelope > limit:
        text = f"{where} takes messages of {limit} bytes; lower max_envelope ({stream.max_envelope}) or raise MaximumMessageSize"
        return Look(stream=stream.name, good=False, sentence=text, mend=True, key=("stream", stream.name, "max_envelope"))
    return Look(stream=stream.name, good=True, sentence=f"{where} answers and takes messages of up to {limit // KIB} KiB")


def send_once(
    aws: AwsConfig, stream: StreamConfig, message: Message, *, config: UplinkConfig | None = None, clock: Clock | None = None,
    connect: Connect = connect,
) -> None:  # fmt: skip
    """Send one message of `packer.pack` to the stream's queue, without a spool behind it.

    Raises:
        NotSent: not this time (`NotNow`); nobody retries.
        Refused: SQS will never take it (`Never`).
        ConfigError: files of `[aws.iot]` are missing or open to others.
    """
    transport = connect(aws, config or UplinkConfig(senders=1), clock or SystemClock())
    try:
        verdict = transport.send(stream.queue, [message])[0]
    finally:
        transport.close()
    if verdict is not None:
        raise verdict
