"""Shared vocabulary: the keys of the ledger, the state table and the lake, which functions write and operator commands read.

Frozen: what is stored under a key is looked for under the same key for ever (golden tests pin each format). `|` occurs in no device,
stream or epoch, so every key splits in one way only; a topic, which may hold anything, stands last.

Ledger table (pk, sk):

    <device>|<stream>|<epoch>   c|<first>          claim: the envelope that begins with `first` belongs to the object K
                                e                  ordinal of the epoch: a copy of its place in the registry, never changed
                                r|<n>              folded ranges: received for good, kept for ever; a part only ever grows
                                x|<first>|<last>   notice: these numbers will not come, and why
    epochs|<shard>              <device>|<stream>  registry: `epochs`, a list in order of first sight; an epoch's ordinal is index + 1
    closing                     <buckets>|<bucket> how far close-day has come: `day`, and `after`, the last stream of it that was closed

    Numbers in sort keys are padded to 20 digits, so they sort as numbers. `e` and `r|...` are neighbours: one query reads both.

State table: pk `<device>`, sk `stream|<stream>` (position) or `topic|<stream>|<topic or nothing>` (latest value).

Lake: `readings/stream=<stream>/dt=<UTC day of arrival>/<run id>.json.gz`.
"""

from __future__ import annotations

import re
import zlib
from math import gcd
from typing import Final, NamedTuple

from device_agent.wire import names
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.ranges import Ranges

#: The registry is spread over so many partitions: one would be a limit for a fleet whose devices all start at once.
SHARDS: Final = 16
#: Partition of close-day's bookmarks.
CLOSING: Final = "closing"
#: Sort key of an epoch's ordinal.
EPOCH: Final = "e"
#: First and last sort key of what is known of an epoch before its claims: its ordinal and its folded ranges.
KNOWN: Final = (EPOCH, "r~")
#: Prefixes of sort keys.
CLAIM: Final = "c|"
#: Days after which what is claimed, and is in no object, is missing: no message is left that could bring it. SQS keeps one for 14 days at
#: most (MessageRetentionPeriod of SetQueueAttributes), in the queue and once more in its dead-letter queue.
LOST_DAYS: Final = 28
FOLDED: Final = "r|"
NOTICE: Final = "x|"
POSITION: Final = "stream|"
TOPIC: Final = "topic|"
#: Prefix of all objects of readings.
READINGS: Final = "readings/"
#: Body of a void object: an empty gzip file. Any object with rows is larger, so a listing tells them apart by size.
VOID: Final = bytes.fromhex("1f8b08000000000000ff03000000000000000000")

_DIGITS: Final = 20
_LAKE_KEY: Final = re.compile(r"readings/stream=([a-z0-9_-]+)/dt=(\d{4}-\d\d-\d\d)/([0-9a-f]{32})\.json\.gz", re.ASCII)


class Line(NamedTuple):
    """One epoch of one stream of one device: within it, sequence numbers say everything about order."""

    device: str
    stream: str
    epoch: str

    @property
    def pk(self) -> str:
        """Partition of everything that is known of it."""
        return f"{self.device}|{self.stream}|{self.epoch}"


def claim_sk(first: int) -> str:
    """Sort key of the claim of the envelope that begins with `first`."""
    return f"{CLAIM}{first:0{_DIGITS}d}"


def notice_sk(first: int, last: int) -> str:
    """Sort key of the notice for `first` to `last`."""
    return f"{NOTICE}{first:0{_DIGITS}d}|{last:0{_DIGITS}d}"


def folded_sk(number: int) -> str:
    """Sort key of one part of the folded ranges, from 0."""
    return f"{FOLDED}{number:0{_DIGITS}d}"


def registry_pk(shard: int) -> str:
    """Partition of the registry with this number, 0 to `SHARDS` - 1."""
    return f"epochs|{shard}"


def shard(device: str) -> int:
    """Number of the registry's partition in which a device stands: CRC-32 (zlib's) of its name, modulo `SHARDS`."""
    return zlib.crc32(device.encode()) % SHARDS


def bucket(device: str, buckets: int) -> int:
    """Number of the bucket in which a device is looked after, of 0 to `buckets` - 1: CRC-32 of its name, modulo `buckets`."""
    return zlib.crc32(device.encode()) % buckets


def shards(bucket: int, buckets: int) -> range:
    """Numbers of the registry's partitions in which devices of a bucket stand; fewest where `buckets` is a power of two.

    Both numbers are remainders of the same CRC, so they agree modulo whatever divides both divisors.

    Raises:
        ValueError: there is no such bucket.
    """
    if not 0 <= bucket < buckets:
        raise ValueError(f"bucket {bucket} of {buckets}: say a bucket from 0 to one less than there are")
    step = gcd(buckets, SHARDS)
    return range(bucket % step, SHARDS, step)


def closing_sk(bucket: int, buckets: int) -> str:
    """Sort key of the bookmark of a bucket."""
    return f"{buckets}|{bucket}"


def registry_sk(device: str, stream: str) -> str:
    """Sort key of a stream of a device in the registry."""
    return f"{device}|{stream}"


def split_registry_sk(sk: str) -> tuple[str, str]:
    """Inverse of `registry_sk`: (device, stream)."""
    device, _, stream = sk.partition("|")
    return device, stream


def position_sk(stream: str) -> str:
    """Sort key in the state table of how far a stream has been applied."""
    return f"{POSITION}{stream}"


def topic_sk(stream: str, topic: str) -> str:
    """Sort key in the state table of the latest value of a topic; readings without a topic have the empty one."""
    return f"{TOPIC}{stream}|{topic}"


def lake_prefix(stream: str, day: str) -> str:
    """Prefix of a stream's objects of one UTC day of arrival, `2026-01-31`."""
    return f"{READINGS}stream={stream}/dt={day}/"


def lake_key(stream: str, day: str, run: str) -> str:
    """Key of the object of one invocation (`run`: 32 hexadecimal digits) and stream."""
    return f"{lake_prefix(stream, day)}{run}.json.gz"


def split_lake_key(key: str) -> tuple[str, str, str]:
    """Inverse of `lake_key`: (stream, day, run).

    Raises:
        EnvelopeError: not such a key.
    """
    match = _LAKE_KEY.fullmatch(key)
    if match is None or not names.is_stream(match[1]):
        raise EnvelopeError("not the key of an object of readings")
    return match[1], match[2], match[3]


def write_ranges(ranges: Ranges) -> str:
    """Return ranges as they stand in a folded item: `1-500,700-700`; nothing for the empty set."""
    return ",".join(f"{first}-{last}" for first, last in ranges)


def read_ranges(text: str) -> Ranges:
    """Inverse of `write_ranges`; the result is joined and sorted whatever the order in `text`.

    Raises:
        EnvelopeError: not such a text.
    """
    try:
        pairs = [part.split("-") for part in text.split(",") if part]
        return Ranges((int(first), int(last)) for first, last in pairs)
    except ValueError:
        raise EnvelopeError("folded ranges are not first-last pairs") from None
