"""What an envelope says, decoded: readings, or a notice that numbers will not come. An invalid one cannot be made.

Both have the id under which the cloud knows them, and a digest that tells whether two messages with one id say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgpack

from device_agent.wire import names
from device_agent.wire.block import Readings
from device_agent.wire.errors import EnvelopeError

#: Why numbers will not come: dropped by policy, damaged on disk, refused by the cloud and set aside.
REASONS: Final = ("dropped", "damaged", "quarantined")


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
