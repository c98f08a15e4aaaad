"""Names on the wire: device, stream and epoch, and what is built of them.

A name is checked where it enters; everything behind may rely on it.
Names fit into SQS group ids, S3 keys, DynamoDB keys and URIs unescaped.
"""

from __future__ import annotations

import re
from typing import Final

from device_agent.wire.errors import EnvelopeError
from device_agent.wire.limits import MAX_SEQ

#: 80 + "." + 40 characters stay below the 128 of an SQS message group id; S3 and Glue partition names take all of them.
_DEVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", re.ASCII)
_STREAM: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)
_EPOCH: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)

DEVICE_RULE: Final = "1 to 80 letters, digits, '_', '.' or '-', beginning with a letter or digit"
STREAM_RULE: Final = "1 to 40 lower-case letters, digits, '_' or '-', beginning with a letter or digit"


def is_device(name: str) -> bool:
    """Tell whether `name` may be a device id (`DEVICE_RULE`)."""
    return _DEVICE.fullmatch(name) is not None


def is_stream(name: str) -> bool:
    """Tell whether `name` may be a stream name (`STREAM_RULE`); it has no dot, so `<device>.<stream>` is unambiguous."""
    return _STREAM.fullmatch(name) is not None


def is_epoch(name: str) -> bool:
    """Tell whether `name` is an epoch: 64 random bits as 16 lower-case hexadecimal digits."""
    return _EPOCH.fullmatch(name) is not None


def source(device: str, stream: str) -> str:
    """CloudEvents `source` of a stream: a URI reference; with the envelope's `id` unique for ever."""
    return f"/devices/{device}/streams/{stream}"


def envelope_id(epoch: str, first: int) -> str:
    """Id of the envelope that begins with sequence number `first`: `<epoch>-<first>`; also its deduplication id."""
    return f"{epoch}-{first}"


def notice_id(epoch: str, first: int, last: int) -> str:
    """Id of the notice that speaks for the sequence numbers `first` to `last`."""
    return f"{epoch}-x{first}-{last}"


def check_identity(*, device: object, stream: object, epoch: object) -> None:
    """Raise `EnvelopeError` unless all three are valid names."""
    if not isinstance(device, str) or not is_device(device):
        raise EnvelopeError(f"device is not {DEVICE_RULE}")
    if not isinstance(stream, str) or not is_stream(stream):
        raise EnvelopeError(f"stream is not {STREAM_RULE}")
    if not isinstance(epoch, str) or not is_epoch(epoch):
        raise EnvelopeError("epoch is not 16 lower-case hexadecimal digits")


def check_range(first: object, last: object) -> None:
    """Raise `EnvelopeError` unless 1 <= first <= last <= `MAX_SEQ`, both plain integers."""
    if type(first) is not int or type(last) is not int or not 1 <= first <= last <= MAX_SEQ:
        raise EnvelopeError(f"sequence numbers must be whole numbers with 1 <= first <= last <= {MAX_SEQ}")
