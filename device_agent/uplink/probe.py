"""Probe: one look from here to the queues, for `device-agent check --online` and `device-agent send`. No spool, no retry.

Promises: `probe` sends no message; each stream gets one sentence that says what is wrong and what to do. `send_once` sends one message in
one try and raises what SQS says about it.
"""

from __future__ import annotations

from collections.abc import Sequence

from device_agent.clock import Clock, SystemClock
from device_agent.config import AwsConfig, StreamConfig, UplinkConfig
from device_agent.errors import ConfigError
from device_agent.packer import Message
from device_agent.uplink.client import Transport, connect
from device_agent.uplink.sender import Connect
from device_agent.uplink.verdicts import Cause, NotSent, Refused
from device_agent.wire.limits import KIB


def probe(
    aws: AwsConfig, streams: Sequence[StreamConfig], *, config: UplinkConfig | None = None, clock: Clock | None = None,
    connect: Connect = connect,
) -> list[tuple[str, bool, str]]:  # fmt: skip
    """Return (stream, whether it can be sent for, one sentence) of each stream.

    Sends no message, so a missing permission for sqs:SendMessage alone is not seen; wrong credentials, clock, endpoint and queue are.
    """
    try:
        transport = connect(aws, config or UplinkConfig(senders=1), clock or SystemClock())
    except ConfigError as error:
        return [(stream.name, False, str(error)) for stream in streams]
    try:
        return [(stream.name, *_look(transport, stream)) for stream in streams]
    finally:
        transport.close()


def _look(transport: Transport, stream: StreamConfig) -> tuple[bool, str]:
    where = f"queue {stream.queue}"
    try:
        limit = transport.limit(stream.queue)
    except NotSent as error:
        if error.cause is Cause.PERMISSION:
            return True, f"{where} answers, but its attributes may not be read, so its size limit is unknown; allow sqs:GetQueueAttributes"
        return False, f"{where}: {error}"
    except Refused as error:
        return False, f"{where}: {error}"
    if stream.max_envelope > limit:
        return False, f"{where} takes messages of {limit} bytes; lower max_envelope ({stream.max_envelope}) or raise MaximumMessageSize"
    return True, f"{where} answers and takes messages of up to {limit // KIB} KiB"


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
